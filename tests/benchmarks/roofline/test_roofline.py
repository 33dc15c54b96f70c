"""`benchmarks roofline`: what is counted, what OpenVINO really runs, and the share that follows from both."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from benchmarks.roofline import roofline
from benchmarks.roofline.roofline import LAYERS, BareLayer, MacRate, Roofline, RooflinePlan
from benchmarks.roofline.table import to_markdown
from runtime.artifact.artifact import open_artifact
from runtime.errors import InputError
from runtime.profiles import ConvolutionLayer, Kernel, Profile

pytest.importorskip("openvino")

TINY = (ConvolutionLayer(32, 32, 3, 16), ConvolutionLayer(32, 32, 3, 16, groups=32))
PLAN = RooflinePlan(threads=1, rounds=2, repeats=3, layers=TINY)


@pytest.fixture(scope="module")
def found(short_calibration: None) -> Roofline:
    """Two tiny layers, no artefact."""
    return roofline.run([], PLAN)


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
    in_float = [replace(layer, ran_in="fp32", runs_in="f32") for layer in found.layers]
    assert roofline.roof_of(in_float, "int8") is None
    text = to_markdown(replace(found, roofs=tuple(roof for roof in found.roofs if roof.precision != "int8")))
    assert "There is no roof of int8" in text


def test_rounds_are_compared_with_themselves():
    own = MacRate.of(10**9, [10.0, 100.0, 1000.0])  # the machine became slower from round to round, for both alike
    best = MacRate.of(2 * 10**9, [10.0, 100.0, 1000.0])
    assert roofline.share_of(own, best) == pytest.approx(0.5)
    assert own.gmac_per_s == pytest.approx(10.0)


def test_an_artefact_is_timed_beside_the_layers_and_measured_by_its_own_roof(write_tiny):
    tiny = open_artifact(write_tiny())
    found = roofline.run([tiny], replace(PLAN, layers=TINY[:1]))
    (network,) = found.networks
    assert (network.roof, network.convolutions, network.int8_convolutions) == ("fp32", 1, 0)
    assert network.rate.gmac == pytest.approx(2 * 64 * 64 / 1e9)
    assert network.share is not None and 0 < network.share < 1
    assert network.share == pytest.approx(roofline.share_of(network.rate, found.layers[1].rate))


def test_mostly_int8_is_measured_by_the_int8_roof(found: Roofline, write_tiny):
    manifest = open_artifact(write_tiny()).manifest
    kernels = tuple(Kernel(precision, "", "k") for precision in ("int8", "int8", "fp32"))
    profile = Profile(10**6, kernels, 1, lambda: 1.0, {})
    rate = MacRate.of(10**6, [1.0, 1.0])
    quick = [BareLayer("q", "int8", "int8", "u8", "k", MacRate.of(10**6, [0.5, 0.5])), *found.layers]
    network = roofline.judged("mixed", manifest, profile, rate, quick[:1])
    assert (network.roof, network.int8_convolutions, network.share) == ("int8", 2, 0.5)
    assert roofline.judged("mixed", manifest, profile, rate, []).share is None


def test_what_is_written_is_read_back(found: Roofline, tmp_path: Path):
    file = tmp_path / "roofline.json"
    file.write_text(found.to_json())
    assert roofline.read_roofline(file) == found
    file.write_text(json.dumps({**found.to_dict(), "schema_version": 99}))
    with pytest.raises(InputError, match="schema_version is 99"):
        roofline.read_roofline(file)


def test_the_command_prints_what_it_writes(bench, write_tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(roofline, "RooflinePlan", partial(RooflinePlan, layers=TINY[:1]))
    artifact = write_tiny()
    json_file, markdown = tmp_path / "r.json", tmp_path / "r.md"
    how = ("--rounds", "1", "--repeats", "2", "--threads", "1", "--json", json_file, "--markdown", markdown)
    said = bench("roofline", "--artifact", artifact, artifact, *how)
    assert said.code == 0, said.err
    assert markdown.read_text().strip() == said.out.strip()
    assert "| tiny-intel-fp32-2 | 64x64 |" in said.out and "of the roof" in said.out
    found = roofline.read_roofline(json_file)
    assert [network.name for network in found.networks] == ["tiny-intel-fp32", "tiny-intel-fp32-2"]


def test_an_artefact_of_a_backend_that_tells_nothing_is_refused(bench, write_tiny):
    said = bench("roofline", "--artifact", write_tiny("jetson"))
    assert said.code == 2
    assert "tells nothing about single layers; these do: openvino" in said.err
    said = bench("roofline", "--artifact", write_tiny("jetson"), "--backend", "openvino")
    assert said.code == 2
    assert "holds no OpenVINO model" in said.err


def test_without_its_library_it_says_what_to_install(bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runtime.system.extras.available", lambda module: False)
    said = bench("roofline")
    assert said.code == 1
    assert said.err.startswith("error: openvino is not installed; run: pip install")


def test_a_folder_in_place_of_a_file_is_refused(bench, tmp_path: Path):
    said = bench("roofline", "--json", tmp_path)
    assert said.code == 2
    assert "is a folder" in said.err
