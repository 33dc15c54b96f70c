"""The building part of the one code path with a REAL TensorRT: TensorRT-RTX parses and builds on a CPU, without a GPU.

Its Python interface is TensorRT's, of a version that is strongly typed alone, like 11. A pass is necessary and not
sufficient: its parser is newer than JetPack's, it takes other kernels, and what it built was run nowhere.
"""

from __future__ import annotations

import ctypes
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime.backends.tensorrt.api import Recipe, Refused, TensorRTModule, recipes

if TYPE_CHECKING:
    from runtime.artifact.artifact import Artifact


@pytest.fixture(scope="module")
def rtx() -> Any:
    """The module tensorrt_rtx_bindings; its libraries are loaded first, from the package that brings them."""
    spec = find_spec("tensorrt_rtx_libs")
    if spec is None or spec.origin is None or find_spec("tensorrt_rtx_bindings") is None:
        pytest.skip("TensorRT-RTX is not installed (edgescope[rtx])")
    for name in ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"):
        ctypes.CDLL(str(Path(spec.origin).with_name(name)), mode=ctypes.RTLD_GLOBAL)
    return import_module("tensorrt_rtx_bindings")


def for_orin(rtx: Any, config: Any) -> None:
    """Without a GPU it must be told what to build for. JetPack's TensorRT builds for the GPU that it is on."""
    config.num_compute_capabilities = 1
    config.set_compute_capability(rtx.ComputeCapability.SM86, 0)


def half(bundle: Artifact) -> bytes:
    """The tiny student with Q/DQ, typed in half precision by the compiler itself."""
    onnx = pytest.importorskip("onnx")
    to_float16 = import_module("compile.targets.jetson.half").to_float16
    model = onnx.version_converter.convert_version(onnx.ModelProto.FromString(bundle.payload("onnx")), 19)
    return to_float16(model).SerializeToString()


def build(rtx: Any, onnx: bytes, workspace_mb: int = 64) -> tuple[bytes, list[float]]:
    steps: list[float] = []
    trt = TensorRTModule(rtx)
    network = trt.parse(onnx)
    config = trt.configure(network, Recipe("onnx", "int8"), workspace_mb, 1, steps.append)
    for_orin(rtx, config)
    return trt.build(network, config), steps


def test_it_is_taken_for_strongly_typed(rtx: Any, bundle: Artifact):
    found = recipes(bundle.manifest.payload, strongly_typed=TensorRTModule(rtx).strongly_typed, hint="auto")
    assert [one.role for one in found] == ["onnx_fp16_qdq", "onnx_fp16"]


@pytest.mark.parametrize("kind", ["fp32", "int8 typed in fp16"])
def test_a_student_is_parsed_and_built_with_progress(kind: str, rtx: Any, bundle: Artifact):
    plan, steps = build(rtx, bundle.payload("onnx_fp16") if kind == "fp32" else half(bundle))
    assert len(plan) > 1000
    assert steps == sorted(steps)
    assert 0 <= steps[0] < steps[-1] == 1.0


def test_a_file_that_is_no_network_is_refused_in_its_own_words(rtx: Any):
    with pytest.raises(Refused, match=r"TensorRT cannot read the network: .*[Ff]ailed to parse"):
        TensorRTModule(rtx).parse(b"no network")


def test_a_zero_point_that_is_not_0_is_refused_in_its_own_words(rtx: Any, bundle: Artifact):
    onnx = pytest.importorskip("onnx")
    model = onnx.ModelProto.FromString(bundle.payload("onnx"))
    for item in model.graph.initializer:
        if item.name == "zero":
            item.CopyFrom(onnx.numpy_helper.from_array(np.array(3, np.int8), "zero"))
    with pytest.raises(Refused, match="zero"):
        TensorRTModule(rtx).parse(model.SerializeToString())
