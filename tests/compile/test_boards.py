"""What a bundle expects on the board it is for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from onnx import helper

from compile import boards, build
from compile.__main__ import main
from compile.card import write_card
from runtime.errors import InputError
from runtime.manifest import Manifest


@pytest.fixture(scope="module")
def draft(make_graph, lower):
    """draft(precision) -> the graph, the manifest and the files of a jetson bundle."""

    def make(precision="int8", target="jetson"):
        graph, lowered = make_graph("mobilenetv3", precision), lower("mobilenetv3", "jetson", precision)
        return graph, build._manifest(graph, target, lowered, 2), dict(lowered.files)

    return make


@pytest.mark.parametrize("device", boards.SHEETS)
def test_a_board_is_in_the_manifest_and_survives_its_file(device, draft):
    graph, manifest, files = draft()
    found = boards.expect(manifest, files, graph, device)
    assert found.board is not None
    assert found.board.name == device
    assert Manifest.from_json(found.to_json()) == found
    assert any(f"For {device} (SM {found.board.sm}" in note for note in found.notes)
    assert not any("Warning" in note for note in found.notes), "a tile of 64x64 fits every board"


def test_without_a_board_the_manifest_is_what_older_readers_know(draft):
    graph, manifest, files = draft()
    assert boards.expect(manifest, files, graph, None) == manifest
    assert "board" not in manifest.to_dict()


def test_another_target_of_the_same_call_has_no_board(draft):
    graph, manifest, files = draft(target="intel")
    assert boards.expect(manifest, files, graph, "thor") == manifest


def test_int8_is_not_expected_to_pay_on_thor_nor_for_narrow_students(draft, monkeypatch):
    graph, manifest, files = draft()
    thor = boards.expect(manifest, files, graph, "thor").board
    assert thor.precision.startswith("fp16, for int8 is not expected to pay: the board is built for fp8")
    monkeypatch.setattr(boards, "FEW_CHANNELS", 10_000)
    narrow = boards.expect(manifest, files, graph, "orin-nano").board
    assert "convolutions are between fewer than 10000 channels" in narrow.precision
    monkeypatch.setattr(boards, "FEW_CHANNELS", 1)
    wide = boards.expect(manifest, files, graph, "orin-nano").board
    assert wide.precision.startswith("int8 or fp16, which only the device can tell")


def test_every_convolution_is_counted_whether_or_not_its_weight_is_quantised(make_graph):
    counts = {
        precision: boards._narrow(make_graph("mobilenetv3", precision).reference) for precision in ("int8", "fp32")
    }
    assert counts["int8"] == counts["fp32"]
    assert 0 < counts["int8"][0] < counts["int8"][1]


def test_a_bundle_of_one_precision_expects_that_one(draft):
    graph, manifest, files = draft("fp32")
    assert boards.expect(manifest, files, graph, "agx-orin").board.precision == "fp32: the bundle holds nothing else"


def test_what_does_not_fit_the_memory_is_warned_of(draft, monkeypatch):
    graph, manifest, files = draft()
    monkeypatch.setattr(boards, "_activations_mb", lambda model: 9000.0)
    notes = boards.expect(manifest, files, graph, "orin-nano").notes
    assert any("usually free on orin-nano; compile with a smaller --tile than 64x64" in note for note in notes)


def test_what_is_alive_at_a_time_grows_with_the_largest_tensor():
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Concat", ["a", "a"], ["b"], axis=1), helper.make_node("Sigmoid", ["b"], ["c"])]
    graph = helper.make_graph(nodes, "g", [value("a", 1, [1, 8, 256, 256])], [value("c", 1, [1, 16, 256, 256])])
    assert boards._activations_mb(helper.make_model(graph)) == 3 * 4 * 16 * 256 * 256 / 2**20


def test_the_card_tells_of_the_board(draft):
    graph, manifest, files = draft()
    figures = ("dice_mean", "dice_pooled", "iou_mean", "ap50_pooled", "boundary_f1", "object_count_error")
    accuracy = {name: 0.9 for name in (*figures, *(f"fp32_{figure}" for figure in figures))}
    accuracy |= {"images": 1, "data": "d", "drop_points": 0.0, "protocol": "p", "intervals": {"drop_points": None}}
    manifest = replace(boards.expect(manifest, files, graph, "orin-nx"), accuracy=accuracy)
    assert "- For orin-nx (SM 8.7, 8 GB or more" in write_card(manifest, "tiny")


@pytest.mark.parametrize(
    ("device", "targets"), [("nano", ("jetson",)), ("thor", ("intel",)), ("thor", ("intel", "microscope"))]
)
def test_a_board_that_does_not_fit_the_call_is_refused(device, targets):
    with pytest.raises(InputError, match=r"choose one of orin-nano|use --target jetson or all"):
        boards.check(device, targets)


def test_it_is_refused_before_anything_is_loaded(capsys, tmp_path):
    assert main(["--target", "intel", "--device", "orin-nano", "--out", str(tmp_path / "a")]) == 2
    assert "use --target jetson or all" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
