"""What a bundle expects on the board it is for."""

from __future__ import annotations

import pytest
from onnx import helper

from compile import targets
from compile.__main__ import main
from compile.bundle.card import write_card
from compile.request import checked
from compile.targets.jetson import boards
from compile.trial import manifest_of
from runtime.artifact.manifest import Manifest
from runtime.errors import InputError


@pytest.fixture(scope="module")
def expect(make_graph, lower):
    """expect(device, precision) -> what a jetson bundle says of a board."""

    def make(device, precision="int8"):
        return boards.expect(lower("mobilenetv3", "jetson", precision), make_graph("mobilenetv3", precision), device)

    return make


@pytest.mark.parametrize("device", boards.SHEETS)
def test_a_board_is_in_the_manifest_and_survives_its_file(device, expect, make_graph):
    lowered = expect(device)
    manifest = manifest_of(make_graph("mobilenetv3"), "jetson", lowered, 2)
    assert manifest.board is not None
    assert manifest.board.name == device
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert any(f"For {device} (SM {manifest.board.sm}" in note for note in manifest.notes)
    assert not any("Warning" in note for note in manifest.notes), "a tile of 64x64 fits every board"


def test_without_a_board_none_is_in_the_manifest(lower, make_graph):
    manifest = manifest_of(make_graph("mobilenetv3"), "jetson", lower("mobilenetv3", "jetson"), 2)
    assert "board" not in manifest.to_dict()


def test_another_target_of_the_same_call_gets_no_board():
    request = checked(["jetson", "intel"], options={"device": ["thor"]})
    assert request.options == {"jetson": {"device": ("thor",)}, "intel": {}}


def test_int8_is_not_expected_to_pay_on_thor_nor_for_narrow_students(expect, monkeypatch):
    thor = expect("thor").board
    assert thor.precision.startswith("fp16, for int8 is not expected to pay: the board is built for fp8")
    monkeypatch.setattr(boards, "FEW_CHANNELS", 10_000)
    narrow = expect("orin-nano").board
    assert "convolutions are between fewer than 10000 channels" in narrow.precision
    monkeypatch.setattr(boards, "FEW_CHANNELS", 1)
    wide = expect("orin-nano").board
    assert wide.precision.startswith("int8 or fp16, which only the device can tell")


def test_every_convolution_is_counted_whether_or_not_its_weight_is_quantised(make_graph):
    counts = {
        precision: boards._narrow(make_graph("mobilenetv3", precision).reference) for precision in ("int8", "fp32")
    }
    assert counts["int8"] == counts["fp32"]
    assert 0 < counts["int8"][0] < counts["int8"][1]


def test_a_bundle_of_one_precision_expects_that_one(expect):
    assert expect("agx-orin", "fp32").board.precision == "fp32: the bundle holds nothing else"


def test_what_does_not_fit_the_memory_is_warned_of(expect, monkeypatch):
    monkeypatch.setattr(boards, "_activations_mb", lambda model: 9000.0)
    notes = expect("orin-nano").notes
    assert any("usually free on orin-nano; compile with a smaller --tile than 64x64" in note for note in notes)


def test_what_is_alive_at_a_time_grows_with_the_largest_tensor():
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Concat", ["a", "a"], ["b"], axis=1), helper.make_node("Sigmoid", ["b"], ["c"])]
    graph = helper.make_graph(nodes, "g", [value("a", 1, [1, 8, 256, 256])], [value("c", 1, [1, 16, 256, 256])])
    assert boards._activations_mb(helper.make_model(graph)) == 3 * 4 * 16 * 256 * 256 / 2**20


def test_the_card_tells_of_the_board(expect, make_graph):
    manifest = manifest_of(make_graph("mobilenetv3"), "jetson", expect("orin-nx"), 2)
    card = write_card(manifest, "tiny", targets.load("jetson"))
    assert "- For orin-nx (SM 8.7, 8 GB or more" in card


@pytest.mark.parametrize(
    ("device", "chosen"), [("nano", ("jetson",)), ("thor", ("intel",)), ("thor", ("intel", "microscope"))]
)
def test_a_board_that_does_not_fit_the_call_is_refused(device, chosen):
    with pytest.raises(InputError, match=r"choose one of orin-nano|use --target jetson or all"):
        checked(chosen, options={"device": [device]})


def test_it_is_refused_before_anything_is_loaded(capsys, tmp_path):
    assert main(["--target", "intel", "--device", "orin-nano", "--out", str(tmp_path / "a")]) == 2
    assert "use --target jetson or all" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
