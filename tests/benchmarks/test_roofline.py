"""`benchmarks roofline`: what is counted, what OpenVINO really runs, and the share that follows from both."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import roofline
from benchmarks import roofline_layers as layers
from benchmarks.noise import calibrate
from benchmarks.roofline import BareLayer, Plan, Rate, Roofline
from benchmarks.roofline_layers import LAYERS, Layer
from runtime.artifact import open_artifact
from runtime.backends.openvino import load_openvino, settings
from runtime.errors import EdgescopeError, InputError

openvino = pytest.importorskip("openvino")

TINY = (Layer(32, 32, 3, 16), Layer(32, 32, 3, 16, groups=32))
PLAN = Plan(threads=1, rounds=2, repeats=3, layers=TINY)


@pytest.fixture(scope="module", autouse=True)
def short_calibration() -> Iterator[None]:
    """Whether the machine is quiet is no question here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roofline, "calibrate", partial(calibrate, 2))
        yield


@pytest.fixture(scope="module")
def found(short_calibration: None) -> Roofline:
    """Two tiny layers, no artefact."""
    return roofline.run({}, PLAN, lambda what: None)


def compiled(layer: Layer, precision: layers.Precision):
    return load_openvino().Core().compile_model(layers.build(layer, precision), "CPU", settings({}))


def has_int8() -> bool:
    """Whether OpenVINO runs a plain convolution in 8 bits on this processor, as it does on all of x86-64."""
    import platform

    return platform.machine() in ("x86_64", "AMD64")


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize(
    ("layer", "due"),
    [
        (Layer(8, 16, 3, 10), 8 * 16 * 9 * 100),
        (Layer(8, 16, 1, 10), 8 * 16 * 100),
        (Layer(8, 8, 3, 10, groups=8), 8 * 9 * 100),
    ],
)
def test_every_weight_is_counted_once_for_every_pixel(layer: Layer, due: int, precision: layers.Precision):
    assert layers.multiply_adds(layers.build(layer, precision)) == due


def test_transposed_convolutions_and_matrix_products_are_counted_too():
    ops = openvino.opset13
    image = ops.parameter([2, 4, 5, 5], np.float32)
    up = ops.convolution_backprop_data(
        image, ops.constant(np.ones((4, 3, 2, 2), np.float32)), strides=[2, 2], pads_begin=[0, 0], pads_end=[0, 0],
        dilations=[1, 1],
    )  # fmt: skip
    rows = ops.parameter([7, 6], np.float32)
    product = ops.matmul(rows, ops.constant(np.ones((6, 9), np.float32)), False, False)
    turned = ops.matmul(rows, ops.constant(np.ones((7, 9), np.float32)), True, False)
    results = [ops.result(value) for value in (up, product, turned)]
    model = openvino.Model(results, [image, rows], "both")
    assert layers.multiply_adds(model) == 2 * 25 * 4 * 3 * 4 + 7 * 6 * 9 + 6 * 7 * 9


@pytest.mark.skipif(not has_int8(), reason="OpenVINO runs int8 otherwise on this processor")
@pytest.mark.parametrize("layer", TINY)
def test_an_int8_layer_really_runs_in_8_bits(layer: Layer):
    (int8,) = layers.kernels(compiled(layer, "int8"))
    (fp32,) = layers.kernels(compiled(layer, "fp32"))
    assert int8.precision in layers.INT8
    assert fp32.precision == "f32"


def test_an_int8_layer_computes_a_quantised_convolution():
    layer = Layer(4, 4, 1, 4)
    image = np.random.default_rng(1).random((1, 4, 4, 4), np.float32)
    outputs = {how: compiled(layer, how)(image)[0] for how in roofline.PRECISIONS}
    assert np.abs(outputs["int8"] - outputs["fp32"]).max() <= 4 / 255 + 4 * 1.27 / 255
    assert len(np.unique(outputs["int8"])) > 4


def test_the_layers_of_a_full_run_have_names_of_their_own():
    assert len({layer.name for layer in LAYERS}) == len(LAYERS)


def test_the_roof_is_the_quickest_layer_of_its_precision(found: Roofline):
    assert [(layer.name, layer.precision) for layer in found.layers] == [
        (layer.name, how) for layer in TINY for how in roofline.PRECISIONS
    ]
    fp32 = next(roof for roof in found.roofs if roof.precision == "fp32")
    assert fp32.gmac_per_s == max(layer.rate.gmac_per_s for layer in found.layers if layer.precision == "fp32")
    assert found.threads == 1 and found.settings["INFERENCE_PRECISION_HINT"] == "f32"
    assert all(len(layer.rate.rounds_ms) == PLAN.rounds and layer.rate.ms > 0 for layer in found.layers)


def test_a_layer_that_openvino_runs_in_float_is_no_int8_roof(found: Roofline):
    in_float = [replace(layer, runs_in="f32") for layer in found.layers]
    assert roofline._roof(in_float, "int8") is None
    text = roofline.to_markdown(replace(found, roofs=tuple(roof for roof in found.roofs if roof.precision != "int8")))
    assert "There is no roof of int8" in text


def test_rounds_are_compared_with_themselves():
    own = Rate.of(10**9, [10.0, 100.0, 1000.0])  # the machine became slower from round to round, for both alike
    best = Rate.of(2 * 10**9, [10.0, 100.0, 1000.0])
    assert roofline._share(own, best) == pytest.approx(0.5)
    assert own.gmac_per_s == pytest.approx(10.0)


def test_an_artefact_is_timed_beside_the_layers_and_measured_by_its_own_roof(write_tiny):
    tiny = open_artifact(write_tiny())
    found = roofline.run({"tiny": tiny}, replace(PLAN, layers=TINY[:1]), lambda what: None)
    (network,) = found.networks
    assert (network.roof, network.convolutions, network.int8_convolutions) == ("fp32", 1, 0)
    assert network.rate.gmac == pytest.approx(2 * 64 * 64 / 1e9)
    assert network.share is not None and 0 < network.share < 1
    assert network.share == pytest.approx(roofline._share(network.rate, found.layers[1].rate))


def test_mostly_int8_is_measured_by_the_int8_roof(found: Roofline, write_tiny):
    manifest = open_artifact(write_tiny()).manifest
    kernels = tuple(layers.Kernel(precision, "k") for precision in ("u8", "u8", "f32"))
    runner = roofline.Runner(10**6, kernels, 1, lambda: 1.0)
    rate = Rate.of(10**6, [1.0, 1.0])
    quick = [BareLayer("q", "int8", "u8", "k", Rate.of(10**6, [0.5, 0.5])), *found.layers]
    network = roofline._judged("mixed", manifest, runner, rate, quick[:1])
    assert (network.roof, network.int8_convolutions, network.share) == ("int8", 2, 0.5)
    assert roofline._judged("mixed", manifest, runner, rate, []).share is None


def test_what_is_written_is_read_back(found: Roofline, tmp_path: Path):
    file = tmp_path / "roofline.json"
    file.write_text(found.to_json())
    assert roofline.read_roofline(file) == found
    file.write_text(json.dumps({**found.to_dict(), "schema_version": 99}))
    with pytest.raises(InputError, match="schema_version is 99"):
        roofline.read_roofline(file)


def test_the_command_prints_what_it_writes(bench, write_tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(roofline, "Plan", partial(Plan, layers=TINY[:1]))
    artifact = write_tiny()
    json_file, markdown = tmp_path / "r.json", tmp_path / "r.md"
    how = ("--rounds", "1", "--repeats", "2", "--threads", "1", "--json", json_file, "--markdown", markdown)
    said = bench("roofline", "--artifact", artifact, artifact, *how)
    assert said.code == 0, said.err
    assert markdown.read_text().strip() == said.out.strip()
    assert "| tiny-intel-fp32-2 | 64x64 |" in said.out and "of the roof" in said.out
    found = roofline.read_roofline(json_file)
    assert [network.name for network in found.networks] == ["tiny-intel-fp32", "tiny-intel-fp32-2"]


def test_an_artefact_of_another_backend_is_refused(bench, write_tiny):
    said = bench("roofline", "--artifact", write_tiny("jetson"))
    assert said.code == 2
    assert "holds no OpenVINO model" in said.err


def test_without_openvino_it_says_what_to_install(bench, monkeypatch: pytest.MonkeyPatch):
    def missing():
        raise EdgescopeError("openvino is not installed; run: pip install")

    monkeypatch.setattr(roofline, "load_openvino", missing)
    said = bench("roofline")
    assert said.code == 1
    assert said.err.strip() == "error: openvino is not installed; run: pip install"


def test_a_folder_in_place_of_a_file_is_refused(bench, tmp_path: Path):
    said = bench("roofline", "--json", tmp_path)
    assert said.code == 2
    assert "is a folder" in said.err
