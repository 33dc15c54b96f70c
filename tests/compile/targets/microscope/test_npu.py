"""--npu: Vela compiles the INT8 file for a microcontroller's NPU, and what it says of it is kept."""

import json
import re
import sys

import numpy as np
import pytest

from compile import targets
from compile.bundle.card import write_card
from compile.request import checked
from compile.targets.microscope import npu
from compile.targets.microscope.graph import interpreter
from runtime.artifact.artifact import open_artifact
from runtime.artifact.manifest import Operators
from runtime.errors import EdgescopeError, InputError

WANTED = ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")


@pytest.fixture(scope="module")
def compiled(lower):
    """The tiny student for all three families."""
    pytest.importorskip("ethosu.vela", reason="ethos-u-vela is not installed")
    return npu.add(lower("mobilenetv3", "microscope"), WANTED)


def run(model, image):
    """int8 or float32 in and out, of a file as it is."""
    found = interpreter(model)
    found.set_tensor(found.get_input_details()[0]["index"], image)
    found.invoke()
    return found.get_tensor(found.get_output_details()[0]["index"]).copy()


def test_a_family_means_the_npu_with_256_multiply_adds():
    names = npu.check(["ethos-u55", "ethos-u85-512", "ethos-u55"], "int8")
    assert names == ("ethos-u55-256", "ethos-u85-512")


def test_every_npu_is_one_that_vela_knows():
    features = pytest.importorskip("ethosu.vela.architecture_features")
    ours = {f"{family}-{macs}" for family, sold in npu.CONFIGURATIONS.items() for macs in sold}
    assert ours == set(features.Accelerator.member_list())


@pytest.mark.parametrize("name", ["ethos-u99", "u55", "ethos-u55-512", "", "ethos-u55-128-1"])
def test_an_unknown_npu_is_told_which_there_are(name):
    with pytest.raises(InputError, match=r"ethos-u55-32, .*ethos-u85-2048"):
        npu.check([name], "int8")


@pytest.mark.parametrize("precision", ["fp16", "fp32", "auto"])
def test_only_int8_runs_on_an_npu(precision):
    with pytest.raises(InputError, match=f"int8 alone, and --precision is {precision}"):
        npu.check(["ethos-u55"], precision)


def test_only_the_microscope_has_an_npu():
    with pytest.raises(InputError, match="not for intel, jetson; use --target microscope or all"):
        checked(["intel", "jetson"], options={"npu": ["ethos-u55"]})


def test_a_missing_vela_is_told_how_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ethosu.vela", None)
    with pytest.raises(InputError, match=r'ethos-u-vela, which is not installed; run: pip install "edgescope\[npu\]"'):
        npu.check(["ethos-u55"], "int8")


@pytest.mark.slow
def test_without_an_npu_nothing_is_added(lower):
    lowered = lower("mobilenetv3", "microscope")
    assert npu.add(lowered, ()) is lowered


def test_every_npu_that_was_asked_for_reaches_the_target():
    pytest.importorskip("ethosu.vela", reason="ethos-u-vela is not installed")
    request = checked("all", options={"npu": ["ethos-u55", "ethos-u85-512"]})
    assert request.options["microscope"] == {"npu": ("ethos-u55-256", "ethos-u85-512")}
    assert request.options["intel"] == request.options["jetson"] == {}


@pytest.mark.slow
def test_int8_ends_compute_what_float_ends_do(lower, fields):
    lowered = lower("mobilenetv3", "microscope")
    plain = lowered.files["model.tflite"]
    inner = npu.integer_edges(plain)
    image, result = interpreter(inner).get_input_details()[0], interpreter(inner).get_output_details()[0]
    (scale, zero), (out_scale, out_zero) = image["quantization"], result["quantization"]
    assert (image["dtype"], result["dtype"], image["name"], result["name"]) == (
        np.int8,
        np.int8,
        "image",
        "probability",
    )
    tile = fields[:1].transpose(0, 2, 3, 1)
    codes = np.clip(np.round(tile / np.float32(scale)) + zero, -128, 127).astype(np.int8)
    found = np.float32(out_scale) * (run(inner, codes).astype(np.float32) - out_zero)
    np.testing.assert_array_equal(found, run(plain, tile))


@pytest.mark.slow
def test_a_file_without_float_ends_is_refused(lower):
    inner = npu.integer_edges(lower("mobilenetv3", "microscope").files["model.tflite"])
    with pytest.raises(EdgescopeError, match="QUANTIZE and DEQUANTIZE are due"):
        npu.integer_edges(inner)


@pytest.mark.slow
@pytest.mark.parametrize("name", WANTED)
def test_all_of_the_student_is_on_the_npu(name, compiled):
    record = compiled.operators.details["npu"][name]
    assert record["operators"]["npu"] == record["operators"]["total"] == compiled.operators.details["operators"] - 2
    assert record["multiply_adds"]["share"] == 1
    assert record["cpu"] == []


@pytest.mark.slow
def test_what_is_left_on_the_cpu_is_named(lower):
    pytest.importorskip("ethosu.vela")
    plain = lower("mobilenetv3", "microscope").files["model.tflite"]  # with the float ends that no NPU computes
    found = npu.placement(plain, npu.vela(plain, "ethos-u55-128").model)
    assert [text.partition(" (")[0] for text in found["cpu"]] == ["QUANTIZE", "DEQUANTIZE"]
    assert found["operators"]["npu"] == found["operators"]["total"] - 2
    assert found["multiply_adds"]["share"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", WANTED)
def test_vela_s_file_is_one_operator_from_int8_to_int8(name, compiled):
    from compile.targets.microscope.file import operator_name, unpack

    role = "tflite_" + name.replace("-", "_")
    held = unpack(compiled.files[compiled.payload[role]])
    assert [operator_name(held, operator) for operator in held.subgraphs[0].operators] == ["ethos-u"]
    record = compiled.operators.details["npu"][name]
    assert record["bytes"] == len(compiled.files[record["file"]])
    assert record["input"]["shape"] == [1, 64, 64, 1]
    assert (record["output"]["scale"], record["output"]["zero_point"]) == (1 / 256, -128)


@pytest.mark.slow
def test_memory_and_estimates_are_vela_s(compiled):
    small, big = (compiled.operators.details["npu"][name] for name in ("ethos-u55-128", "ethos-u85-256"))
    for record in (small, big):
        estimate = record["estimate"]
        assert "not a measurement" in estimate["by"]
        assert estimate["milliseconds"] == pytest.approx(1e3 * estimate["cycles"] / estimate["clock_hz"], rel=1e-2)
        assert record["memory_bytes"]["sram"] > 64 * 64 * 16  # the widest tensor of the student at least
    assert small["memory_bytes"]["off_chip_flash"] > 0
    assert small["memory_bytes"]["dram"] == 0
    assert big["memory_bytes"]["dram"] > 0


@pytest.mark.slow
def test_the_plain_file_stays_as_it_is(compiled, lower):
    plain = lower("mobilenetv3", "microscope")
    assert compiled.files["model.tflite"] == plain.files["model.tflite"]
    assert compiled.payload["tflite"] == "model.tflite"
    assert any("compiled and not run" in note for note in compiled.notes)


@pytest.mark.slow
def test_the_record_is_json_and_the_card_has_it(compiled, write_tiny):
    operators = Operators.from_dict(json.loads(json.dumps(compiled.operators.to_dict())))
    manifest = open_artifact(write_tiny(operators=operators)).manifest
    card = write_card(manifest, "tiny", targets.load("microscope"))
    for name in WANTED:
        assert f"| {name} |" in card
    assert re.search(r"code = round\(image / 0\.\d+\), probability = 0\.00390625 \* \(code \+ 128\)", card)


def test_a_table_row_has_a_cell_for_every_column():
    record = {
        "operators": {"total": 84, "npu": 82, "share": 0.9762},
        "multiply_adds": {"total": 2_000_000_000, "npu": 1_000_000_000, "share": 0.5},
        "cpu": ["SOFTMAX (mask)"],
        "memory_bytes": {"sram": 1_500_000, "dram": 0, "on_chip_flash": 0, "off_chip_flash": 700_000},
        "estimate": {"by": "Vela", "cycles": 20_000_000, "clock_hz": 5e8, "milliseconds": 40.0},
        "bytes": 1_730_000,
    }
    row = npu.cells("ethos-u55-128", record)
    assert len(row) == len(npu.COLUMNS)
    assert row[1:5] == ("82/84, 97.6 %", "50.0 % of 2.00 G", "1.50", "0.70")


def test_what_vela_cannot_read_is_said_with_its_own_words():
    pytest.importorskip("ethosu.vela")
    with pytest.raises(EdgescopeError, match="Vela could not compile for ethos-u55-128"):
        npu.vela(b"no model at all", "ethos-u55-128")
