"""The contract of backends, over every backend, on the tiny real student."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime import EdgescopeError, InputError, Segmenter, backend
from runtime.artifact.artifact import open_artifact
from runtime.artifact.probes import replay
from runtime.backends.tensorrt import probe
from runtime.execution import Execution
from runtime.system import extras

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Made

    from runtime.artifact.manifest import Manifest

NAMES = backend.names()


SLOW = {"tflite"}  # its converter needs ten seconds to import
PARAMS = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in NAMES]


@pytest.fixture(params=PARAMS)
def artifact(
    request: pytest.FixtureRequest, make: Callable[[str], Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EDGESCOPE_CACHE", str(tmp_path / "cache"))  # of engines, where there is a GPU
    name = request.param
    if backend.load(name).library() is None:
        pytest.skip(f"{name} is not installed")
    if name == "tensorrt" and (reason := probe.absence()):
        pytest.skip(f"TensorRT cannot run here: {reason}")
    return open_artifact(make(name).write(tmp_path / "artifact"))


@pytest.fixture
def session(artifact):
    session = backend.load(artifact.manifest.backend).open(artifact, Execution(threads=1))
    yield session
    session.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_backend_is_named_like_its_file(name: str):
    assert backend.load(name).name == name


def test_listing_the_names_imports_no_backend():
    code = (
        "import sys; from runtime import backend; backend.names();"
        "print([m for m in sys.modules if m.startswith('runtime.backends.')])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_probes_are_reproduced(artifact, session):
    probes = artifact.probes()
    assert replay(session.run, probes, 0.5).misses(artifact.manifest.tolerance) == ()


def test_a_result_is_a_fresh_float32_array(artifact, session):
    tiles = artifact.probes().inputs
    first = session.run(tiles[:1])
    kept = first.copy()
    session.run(tiles[1:2])
    assert first.dtype == np.float32
    assert first.shape == (1, 2, *artifact.manifest.tile)
    np.testing.assert_array_equal(first, kept)


def test_a_tile_is_not_changed(artifact, session):
    tile = artifact.probes().inputs[:1].copy()
    session.run(tile)
    np.testing.assert_array_equal(tile, artifact.probes().inputs[:1])


def test_a_session_describes_itself(session):
    assert {"library", "version", "device", "precision_hint", "threads"} <= set(session.description)
    assert session.description["device"]
    assert session.description["version"][0].isdigit()


def test_closing_twice_is_harmless(artifact):
    session = backend.load(artifact.manifest.backend).open(artifact, Execution(threads=1))
    session.close()
    session.close()


def test_an_unknown_device_is_refused(artifact):
    with pytest.raises(InputError, match=r"(?i)toaster"):
        backend.load(artifact.manifest.backend).open(artifact, Execution(device="toaster", threads=1))


def test_an_unknown_precision_hint_is_refused(artifact):
    with pytest.raises(InputError, match="f17"):
        backend.load(artifact.manifest.backend).open(artifact, Execution(threads=1, precision_hint="f17"))


def test_a_payload_that_is_no_model_is_an_error_in_one_line(artifact):
    damaged = replace(
        artifact, files={n: b"no model" if n.startswith("model") else d for n, d in artifact.files.items()}
    )
    with pytest.raises(EdgescopeError, match=r"cannot (load|read)"):
        backend.load(artifact.manifest.backend).open(damaged, Execution(threads=1))


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_library_is_said_with_the_line_that_installs_it(
    name: str, manifest_for: Callable[[str], Manifest], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(extras, "available", lambda _module: False)
    reason = backend.load(name).refuses(manifest_for(name))
    assert reason is not None
    assert 'pip install "edgescope[' in reason


@pytest.mark.parametrize("name", NAMES)
def test_an_artefact_without_its_payload_is_refused(name: str, manifest: Manifest):
    reason = backend.load(name).refuses(replace(manifest, payload={}, target="jetson"))
    assert reason is not None
    assert "jetson" in reason


def test_an_unknown_backend_is_refused_with_the_names(manifest: Manifest):
    with pytest.raises(InputError, match=r"coreml.*onnxruntime, openvino, tensorrt, tflite"):
        backend.choose(manifest, "coreml")


def test_the_wanted_backend_is_never_replaced(manifest: Manifest):
    with pytest.raises(InputError, match="tflite cannot run"):
        backend.choose(manifest, "tflite")


def test_a_jetson_bundle_is_checked_with_onnxruntime_and_one_warning(
    made: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(extras, "available", lambda module: module != "tensorrt")
    bundle = replace(made, manifest=replace(made.manifest, target="jetson", backend="tensorrt"))
    with caplog.at_level(logging.WARNING), Segmenter.open(bundle.write(tmp_path / "bundle")) as segment:
        assert segment.backend == "onnxruntime"
    (record,) = caplog.records
    assert "not of the device" in record.getMessage()


def test_with_nothing_that_can_run_every_reason_is_given(manifest: Manifest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "available", lambda module: module != "tensorrt")
    bundle = replace(manifest, target="jetson", backend="tensorrt", payload={"onnx_fp16": "model.onnx"})
    with pytest.raises(
        InputError, match=r"tensorrt: TensorRT's Python module is not installed.*onnxruntime: .*no ONNX model"
    ):
        backend.choose(bundle)


def test_openvino_pins_its_precision_hint(make: Callable[[str], Made], tmp_path: Path):
    path = make("openvino").write(tmp_path / "artifact")
    with Segmenter.open(path) as plain, Segmenter.open(path, precision_hint="bf16") as hinted:
        assert plain.description["precision_hint"] == "f32"
        assert hinted.description["precision_hint"] == "bf16"


def test_openvino_neither_forks_nor_reports_on_import():
    pytest.importorskip("openvino")
    code = (
        "import os, sys\n"
        "os.fork = lambda: sys.exit('forked')\n"
        "from runtime.backends.openvino import load_openvino\n"
        "load_openvino().Core()\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"}  # where it would report
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
