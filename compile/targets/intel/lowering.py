"""The Q/DQ graph as OpenVINO's intermediate representation, which the CPU plugin fuses to int8."""

from __future__ import annotations

import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compile import lint
from compile.target import Lowered
from compile.targets.intel.signed import no_signed_convolution
from compile.targets.intel.subpixel import place_pixels
from compile.targets.intel.unsigned import to_unsigned
from runtime import __version__
from runtime.artifact.manifest import Operators
from runtime.backends.openvino import load_openvino
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx
    import openvino

    from compile.export import QuantizedGraph

CONVOLUTIONS = ("Convolution", "GroupConvolution")
NOT_EXECUTED = ("Const", "Input", "Output", "Reshape")  # Reshape: of constants; it computes nothing
INT8 = ("u8", "i8")
HINT = "INFERENCE_PRECISION_HINT"


def lower(graph: QuantizedGraph, payload: Mapping[str, str]) -> Lowered:
    """See Intel.lower. payload : role to file name"""
    openvino = load_openvino()
    core = openvino.Core()
    source = to_unsigned(graph.reference)[0] if graph.quantized else graph.reference
    lint.check(source, (no_signed_convolution,), "the graph for OpenVINO")
    model = _read(core, place_pixels(source))
    for name, value in _model_info(graph).items():
        model.set_rt_info(value, ["model_info", name])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(model, path, compress_to_fp16=graph.precision == "fp16")
        files = {name: (path.parent / name).read_bytes() for name in payload.values()}
    return Lowered(
        backend="openvino",
        files=files,
        payload=payload,
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


def _operators(core: openvino.Core, model: openvino.Model) -> Operators:
    """What OpenVINO's CPU plugin really runs in which precision, by asking its runtime model."""
    compiled = core.compile_model(model, "CPU", {HINT: "f32"})
    layers = [(_kind(op), _precision(op)) for op in compiled.get_runtime_model().get_ops()]
    convolutions = [precision for kind, precision in layers if kind in CONVOLUTIONS]
    executed = Counter(precision for kind, precision in layers if kind not in NOT_EXECUTED)
    return Operators(
        convolutions=len(convolutions),
        int8_convolutions=sum(precision in INT8 for precision in convolutions),
        measured=f"runtime model of OpenVINO {version('openvino')}, CPU, {HINT}=f32",
        details={"layers_by_precision": dict(sorted(executed.items()))},
    )


def _kind(op: openvino.Node) -> str:
    return op.get_rt_info()["layerType"].astype(str)


def _precision(op: openvino.Node) -> str:
    return op.get_rt_info()["runtimePrecision"].astype(str)


def _model_info(graph: QuantizedGraph) -> dict[str, Any]:
    """What OpenVINO's own tools look for in a model's rt_info, and what they have no word for.

    model_type is none of theirs on purpose: "segmentation" takes the greatest of exclusive classes, and foreground
    contains core.
    """
    spec, lineage = graph.student.spec, graph.student.lineage
    low, high, rule = spec.normalization.low, spec.normalization.high, spec.objects
    info: dict[str, Any] = {
        "model_type": "edgescope",
        "model_name": spec.name,
        "task": "segmentation of nuclei or cells",
        "labels": " ".join(spec.outputs),
        "multilabel": "True",
        "output_raw_scores": "False",
        "confidence_threshold": spec.threshold,
        "core_threshold": rule.core_threshold,
        "min_area": rule.min_area,
        "color_space": "GRAY",
        "reverse_input_channels": "False",
        "normalization": f"percentiles {low:g} and {high:g} of the whole frame to 0 and 1, clipped",
        "percentile_low": low,
        "percentile_high": high,
        "precision": graph.precision,
        "licenses": ", ".join(lineage.licences),
        "non_commercial": str(lineage.non_commercial),
        "weights_sha256": lineage.weights_sha256,
        "edgescope_version": __version__,
    }
    return info if spec.pixel_size_um is None else {**info, "pixel_size_um": spec.pixel_size_um}


def _notes(graph: QuantizedGraph) -> tuple[str, ...]:
    if graph.precision == "fp16":
        return ("fp16 halves the file; the CPU plugin computes it in float32, as pinned by the hint.",)
    return ()
