"""intel -> OpenVINO: the Q/DQ graph as intermediate representation, which the CPU plugin fuses to int8."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compile import lint
from compile.lowered import Lowered
from compile.unsigned import to_unsigned
from runtime.backends.openvino import load_openvino
from runtime.errors import InputError

if TYPE_CHECKING:
    import onnx
    import openvino

    from compile.export import QuantizedGraph

CONVOLUTIONS = ("Convolution", "GroupConvolution")
INT8 = ("u8", "i8")
HINT = "INFERENCE_PRECISION_HINT"


@dataclass(frozen=True)
class Intel:
    """Intel (and other x86-64) CPUs."""

    name: str = "intel"

    def refuses(self, graph: QuantizedGraph) -> str | None:
        """Everything that can be exported runs in OpenVINO."""
        return None

    def lower(self, graph: QuantizedGraph) -> Lowered:
        """model.xml and model.bin; fp16 stores the weights in half precision (CPUs compute them in float32)."""
        openvino = load_openvino()
        core = openvino.Core()
        source = to_unsigned(graph.reference)[0] if graph.quantized else graph.reference
        lint.check(source, lint.OPENVINO, "the graph for OpenVINO")
        model = _read(core, source)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.xml"
            openvino.save_model(model, path, compress_to_fp16=graph.precision == "fp16")
            files = {name: (path.parent / name).read_bytes() for name in ("model.xml", "model.bin")}
        return Lowered(
            backend="openvino",
            files=files,
            payload={"openvino_xml": "model.xml", "openvino_bin": "model.bin"},
            operators=_operators(core, model),
            hints={HINT: "f32"},
            notes=_notes(graph),
        )


def _read(core: openvino.Core, source: onnx.ModelProto) -> openvino.Model:
    try:
        return core.read_model(source.SerializeToString(), b"")
    except RuntimeError as error:  # all that it raises
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["it gives no reason"]
        said = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")] or lines[-1:]
        msg = f"OpenVINO cannot read the graph: {'; '.join(said)}. Try another target."
        raise InputError(msg) from error


def _operators(core: openvino.Core, model: openvino.Model) -> dict[str, Any]:
    """Count the convolutions that OpenVINO's CPU plugin really runs in int8, by asking its runtime model."""
    compiled = core.compile_model(model, "CPU", {HINT: "f32"})
    found = [_precision(op) for op in compiled.get_runtime_model().get_ops() if _kind(op) in CONVOLUTIONS]
    return {
        "convolutions": len(found),
        "int8_convolutions": sum(precision in INT8 for precision in found),
        "measured": f"runtime model of OpenVINO {version('openvino')}, CPU, {HINT}=f32",
    }


def _kind(op: openvino.Node) -> str:
    return op.get_rt_info()["layerType"].astype(str)


def _precision(op: openvino.Node) -> str:
    return op.get_rt_info()["runtimePrecision"].astype(str)


def _notes(graph: QuantizedGraph) -> tuple[str, ...]:
    if graph.precision == "fp16":
        return ("fp16 halves the file; the CPU plugin computes it in float32, as pinned by the hint.",)
    return ()


TARGET = Intel()
