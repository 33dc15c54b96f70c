"""A machine with a Jetson, as the stand-in plays it, and the tiny student as a jetson bundle."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime.artifact.artifact import open_artifact
from runtime.artifact.manifest import Tolerance
from runtime.backends.tensorrt import probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Made

    from runtime.artifact.artifact import Artifact

STAND_IN = Path(__file__).parents[2] / "tensorrt_stand_in"
FILES = {"onnx": "model.int8-fp32.onnx", "onnx_fp16_qdq": "model.int8-fp16.onnx", "onnx_fp16": "model.fp16.onnx"}
MEMORY = "MemTotal: 8000000 kB\nMemAvailable:    6000000 kB\n"


@pytest.fixture(scope="session")
def cudart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in for libcudart, compiled."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform == "win32":
        pytest.skip("no C compiler for the stand-in of libcudart")
    library = tmp_path_factory.mktemp("cudart") / "libcudart_stand_in.so"
    source = STAND_IN / "cudart_stand_in.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source], check=True)
    return library


@pytest.fixture
def jetson(cudart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """jetson(version="10.3.0", faults={"int8": "kill"}, SM="8.7") makes this machine one; returns its cache folder."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(MEMORY)
    cache = tmp_path / "cache"
    monkeypatch.setenv("EDGESCOPE_LIBCUDART", str(cudart))
    monkeypatch.setenv("EDGESCOPE_CACHE", str(cache))
    monkeypatch.setattr(probe, "MEMINFO", meminfo)
    monkeypatch.syspath_prepend(str(STAND_IN))

    def become(version: str = "10.3.0", faults: dict[str, str] | None = None, **environment: str) -> Path:
        monkeypatch.setenv("STAND_IN_TENSORRT", version)
        monkeypatch.setenv("STAND_IN_FAULTS", json.dumps(faults or {}))
        for name, value in environment.items():
            monkeypatch.setenv(f"STAND_IN_{name}", value)
        sys.modules.pop("tensorrt", None)  # not by monkeypatch, which would put the last one back at the end
        return cache / "engines"

    yield become
    sys.modules.pop("tensorrt", None)


@pytest.fixture(scope="session")
def bundle(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The tiny student for jetson in int8: with Q/DQ around its image, and without."""
    files = {name: data for name, data in made.files.items() if name != "model.onnx"}
    files |= {FILES["onnx"]: _with_rounding(made.files["model.onnx"], "tiny-int8-fp32")}
    files |= {FILES["onnx_fp16_qdq"]: _with_rounding(made.files["model.onnx"], "tiny-int8-fp16")}
    files |= {FILES["onnx_fp16"]: _named(made.files["model.onnx"], "tiny-fp16")}
    manifest = replace(
        made.manifest,
        target="jetson",
        backend="tensorrt",
        precision="int8",
        payload=FILES,
        tolerance=Tolerance(0.2, 0.02, 0.95),
    )
    path = replace(made, manifest=manifest, files=files).write(tmp_path_factory.mktemp("bundle") / "tiny-jetson-int8")
    return open_artifact(path)


def _named(data: bytes, name: str) -> bytes:
    onnx = pytest.importorskip("onnx")
    model = onnx.ModelProto.FromString(data)
    model.graph.name = name
    return model.SerializeToString()


def _with_rounding(data: bytes, name: str) -> bytes:
    """The image rounded to int8 codes and back, as the first convolution of a real student has it."""
    onnx = pytest.importorskip("onnx")
    model = onnx.ModelProto.FromString(data)
    model.graph.name = name
    model.graph.node[0].input[0] = "rounded"
    make, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    model.graph.node.insert(0, make("QuantizeLinear", ["input", "scale", "zero"], ["codes"]))
    model.graph.node.insert(1, make("DequantizeLinear", ["codes", "scale", "zero"], ["rounded"]))
    scale, zero = np.array(1 / 127, np.float32), np.array(0, np.int8)
    model.graph.initializer.extend([tensor(scale, "scale"), tensor(zero, "zero")])
    return model.SerializeToString()
