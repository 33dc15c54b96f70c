"""A tiny real student, built in the test and lowered for every backend, and manifests to go with it.

It is one 3x3 convolution to two channels and a sigmoid: enough to see that pixels, channels and layouts arrive.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime.artifact.artifact import write_artifact
from runtime.artifact.manifest import (
    SCHEMA_VERSION,
    DataSource,
    Lineage,
    Manifest,
    Normalization,
    Objects,
    Operators,
    Probes,
    QuantScheme,
    TensorSpec,
    Tolerance,
)
from runtime.artifact.probes import ProbeSet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

TILE = (32, 48)


def weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A blur with a steep threshold at 0.5 (foreground) and at 0.7 (core)."""
    kernel = np.zeros((2, 1, 3, 3), np.float32)
    kernel[:, 0] = np.float32(20 / 9)
    return kernel, np.array([-10, -14], np.float32)


def reference(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    """The student in numpy: (1, 1, h, w) -> (1, 2, h, w)."""
    kernel, bias = weights()
    padded = np.pad(tile[0, 0].astype(np.float64), 1)
    h, w = tile.shape[2:]
    logits = [
        sum(kernel[c, 0, i, j] * padded[i : i + h, j : j + w] for i in range(3) for j in range(3)) + bias[c]
        for c in range(2)
    ]
    return (1 / (1 + np.exp(-np.stack(logits)[None]))).astype(np.float32)


@dataclass(frozen=True)
class Made:
    """An artefact's manifest and files, before it is written."""

    manifest: Manifest
    files: dict[str, bytes]

    def write(self, path: Path, *, zipped: bool = False) -> Path:
        """Write it and return where."""
        return write_artifact(path, self.manifest, self.files, zip=zipped).path


@pytest.fixture(scope="session")
def probes() -> ProbeSet:
    inputs = np.random.default_rng(0).random((3, 1, *TILE), np.float32)
    return ProbeSet(inputs, np.concatenate([reference(tile[None]) for tile in inputs]))


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """A manifest without files."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        student="tiny",
        target="intel",
        backend="onnxruntime",
        precision="fp32",
        inputs=(TensorSpec("input", (1, 1, *TILE), "float32", "NCHW", ("nucleus",)),),
        outputs=(TensorSpec("output", (1, 2, *TILE), "float32", "NCHW", ("foreground", "core")),),
        normalization=Normalization(),
        tile=TILE,
        overlap=8,
        threshold=0.5,
        objects=Objects(0.5, 4),
        scheme=QuantScheme({"input": 1 / 127}),
        probes=Probes("probes.npz", 3, "numpy"),
        tolerance=Tolerance(1e-3, 1e-4, 0.999),
        payload={"onnx": "model.onnx"},
        files={},
        accuracy=None,
        agreement={},
        operators=Operators(2, 0, "a test", details={"n": [1, None, "x"]}),
        hints={},
        notes=("made for tests",),
        pixel_size_um=0.5,
        lineage=Lineage(
            None, "0" * 64, (DataSource("none", "CC0", ""),), ("CC0",), {"numpy": "2"}, "pytest", ("0" * 12,)
        ),
    )


@pytest.fixture(scope="session")
def onnx_bytes() -> bytes:
    helper = pytest.importorskip("onnx.helper")
    numpy_helper = pytest.importorskip("onnx.numpy_helper")
    kernel, bias = weights()
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "w", "b"], ["logits"], pads=[1, 1, 1, 1]),
            helper.make_node("Sigmoid", ["logits"], ["output"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("input", 1, [1, 1, *TILE])],
        [helper.make_tensor_value_info("output", 1, [1, 2, *TILE])],
        [numpy_helper.from_array(kernel, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


@pytest.fixture(scope="session")
def openvino_bytes(onnx_bytes: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    openvino = pytest.importorskip("openvino")
    folder = tmp_path_factory.mktemp("ir")
    (folder / "model.onnx").write_bytes(onnx_bytes)
    model = openvino.convert_model(folder / "model.onnx")
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return {name: (folder / name).read_bytes() for name in ("model.xml", "model.bin")}


@pytest.fixture(scope="session")
def tflite_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Through litert_torch, channels last, like a real student."""
    torch = pytest.importorskip("torch")
    litert_torch = pytest.importorskip("litert_torch")
    kernel, bias = weights()
    conv = torch.nn.Conv2d(1, 2, 3, padding=1)
    conv.weight.data, conv.bias.data = torch.from_numpy(kernel), torch.from_numpy(bias)
    model = torch.nn.Sequential(conv, torch.nn.Sigmoid()).eval()
    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own
        channels_last = litert_torch.to_channel_last_io(model, args=[0], outputs=[0])
        litert_torch.convert(channels_last, (torch.zeros(1, *TILE, 1),)).export(str(path))
    return path.read_bytes()


@pytest.fixture(scope="session")
def made(manifest: Manifest, probes: ProbeSet, onnx_bytes: bytes) -> Made:
    """The tiny student for onnxruntime."""
    files = {
        "model.onnx": onnx_bytes,
        "probes.npz": probes.to_bytes(),
        "rdf.yaml": b"name: tiny\n",
        "CARD.md": b"# tiny\n",
    }
    return Made(manifest, files)


@pytest.fixture(scope="session")
def manifest_for(manifest: Manifest) -> Callable[[str], Manifest]:
    """The manifest of the tiny student for a backend, by the backend's name."""
    last = {
        "inputs": (TensorSpec("input", (1, *TILE, 1), "float32", "NHWC", ("nucleus",)),),
        "outputs": (TensorSpec("output", (1, *TILE, 2), "float32", "NHWC", ("foreground", "core")),),
    }
    payloads = {
        "onnxruntime": {"onnx": "model.onnx"},
        "tensorrt": {"onnx": "model.onnx"},
        "openvino": {"openvino_xml": "model.xml", "openvino_bin": "model.bin"},
        "tflite": {"tflite": "model.tflite"},
    }

    def build(backend: str) -> Manifest:
        layout = last if backend == "tflite" else {}
        return replace(manifest, backend=backend, payload=payloads[backend], **layout)

    return build


@pytest.fixture(scope="session")
def make(made: Made, manifest_for: Callable[[str], Manifest], request: pytest.FixtureRequest) -> Callable[[str], Made]:
    """The tiny student for a backend, by the backend's name."""

    def build(backend: str) -> Made:
        files = {name: data for name, data in made.files.items() if name != "model.onnx"}
        if backend in ("onnxruntime", "tensorrt"):
            files = made.files
        elif backend == "openvino":
            files |= request.getfixturevalue("openvino_bytes")
        else:
            files["model.tflite"] = request.getfixturevalue("tflite_bytes")
        return Made(manifest_for(backend), files)

    return build


@pytest.fixture
def artifact_path(made: Made, tmp_path: Path) -> Path:
    """The tiny student for onnxruntime, written as a folder."""
    return made.write(tmp_path / "artifacts" / "tiny-intel-fp32")
