"""Which scale belongs to which TFLite tensor: recognised by value, never guessed and never calibrated.

Both graphs are run on the same probe in float. A TFLite tensor that equals a named tensor of the student takes its
scale. What the converter added (padding, the halves of a hard-sigmoid) follows from its neighbours by rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.fx import Interpreter, Node

from compile.layers import members
from compile.targets.microscope.graph import CHANNEL_AXIS, Operator, operators, values, weights
from distill.int8.graph import tensor_name
from distill.int8.quantize import ACTIVATION_MAX, WEIGHT_MAX, WEIGHT_MIN, half_exact, to_codes
from runtime.errors import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch.fx import GraphModule

    from compile.export import QuantizedGraph

SAME_SCALE = ("PAD", "PADV2", "RESIZE_NEAREST_NEIGHBOR", "MAX_POOL_2D", "CONCATENATION", "RESHAPE", "TRANSPOSE")
CLOSE = 1e-3  # of a tensor's largest value: float kernels of two libraries differ by about 1e-5
Range = dict[str, "NDArray[np.float32] | np.float32"]
Scales = dict[str, "float | None"]  # None for a tensor that is not rounded


@dataclass(frozen=True)
class QuantizerSettings:
    """The quantiser's settings for a float .tflite file.

    ranges : {tensor name: {"min", "max"}}, such that it arrives at the student's own scales and zero-point 0
    floats : the operators, by their outputs, that read or make a tensor which is not rounded
    """

    ranges: dict[str, Range]
    floats: tuple[tuple[str, ...], ...]


def calibration(model: bytes, graph: QuantizedGraph) -> QuantizerSettings:
    """The ranges of every tensor of the file. EdgescopeError names one that could not be recognised."""
    scheme = graph.student.scheme
    assert scheme is not None
    probe = _probe(graph)
    found = values(model, probe.transpose(0, 2, 3, 1))
    student = graph.rounded_weights()
    floats = members(student, graph.floats.tensors)
    wanted: Scales = {name: None if name in floats else scale for name, scale in scheme.activations.items()}
    scales = _recognise(found, _student_values(student, probe), wanted)
    ranges = _logistic_outputs(model)
    for op in operators(model):
        _follow_rules(op, scales, found)
        ranges.update(_constants(op, found))
    for op in operators(model):
        for name in (*op.inputs[:1], *op.outputs):
            if name not in scales and name not in ranges:
                msg = (
                    f"{op.name} has a tensor {name!r} that is not in the student's scheme; please report this student."
                )
                raise EdgescopeError(msg)
    ranges |= {name: _activation(scale) for name, scale in scales.items() if scale is not None}
    unrounded = {name for name, scale in scales.items() if scale is None}
    concerned = (op for op in operators(model) if unrounded & {*op.inputs, *op.outputs})
    return QuantizerSettings(ranges, tuple(op.outputs for op in concerned))


def _probe(graph: QuantizedGraph) -> NDArray[np.float32]:
    """A tile that excites every channel differently: smooth structure plus noise, float32 (1, 1, h, w)."""
    rng = np.random.default_rng(0)
    rows, cols = np.ogrid[: graph.tile[0], : graph.tile[1]]
    waves = 0.5 + 0.25 * np.sin(rows / 5.0) + 0.25 * np.cos(cols / 7.0)
    return np.clip(waves + rng.normal(0, 0.15, graph.tile), 0, 1).astype(np.float32)[None, None]


class _RangeRecorder(Interpreter):
    """Run a flat graph and keep the value of every named tensor."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: dict[str, NDArray[np.float32]] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if "tensor" in n.meta:
            self.seen[tensor_name(n)] = result.detach().numpy().copy()
        return result


def _student_values(student: GraphModule, probe: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    recorder = _RangeRecorder(student)
    with torch.no_grad():
        recorder.run(torch.from_numpy(probe))
    return recorder.seen


def _recognise(found: Mapping[str, NDArray[Any]], known: Mapping[str, NDArray[np.float32]], scales: Scales) -> Scales:
    """Scales of the TFLite tensors that equal a tensor of the student (channels last against channels first)."""
    result: Scales = {}
    for name, value in found.items():
        if value.dtype != np.float32 or value.ndim != 4:
            continue
        channels_first = value.transpose(0, 3, 1, 2)
        for tensor, scale in scales.items():
            if tensor in known and _equal(channels_first, known[tensor]):
                result[name] = scale
                break
    return result


def _equal(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    if a.shape != b.shape:
        return False
    return bool(np.abs(a - b).max() <= CLOSE * max(float(np.abs(b).max()), 1e-6))


def _follow_rules(op: Operator, scales: Scales, found: Mapping[str, NDArray[Any]]) -> None:
    """Scales of what the converter added, from its neighbours."""
    if op.name in SAME_SCALE and op.inputs[0] in scales:
        scales.setdefault(op.outputs[0], scales[op.inputs[0]])
    if op.name == "MUL" and op.outputs[0] in scales and op.inputs[0] not in scales and found[op.inputs[1]].size == 1:
        # hard-sigmoid(x) = relu6(x + 3) / 6: the clipped sum is six times the gate
        gate = scales[op.outputs[0]]
        scales[op.inputs[0]] = None if gate is None else 6 * gate


def _constants(op: Operator, found: Mapping[str, NDArray[Any]]) -> dict[str, Range]:
    """Ranges of an operator's weights (one per output channel, the rule of training) and of scalar factors."""
    if op.name in CHANNEL_AXIS:
        # The quantiser divides a range by 127, also where the codes of training stop earlier.
        limit = ACTIVATION_MAX * _weight_scales(found[op.inputs[1]], CHANNEL_AXIS[op.name]).numpy()
        return {op.inputs[1]: {"min": -limit, "max": limit}}
    if op.name == "MUL" and found[op.inputs[1]].size == 1:
        limit = np.abs(found[op.inputs[1]]).reshape(-1)[0]
        return {op.inputs[1]: {"min": np.float32(-limit), "max": np.float32(limit)}}
    return {}


def _weight_scales(weight: NDArray[np.float32], axis: int) -> torch.Tensor:
    """One scale per output channel, by the rule of training; it broadcasts against the weight."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    return half_exact(torch.from_numpy(np.abs(weight).max(axis=others, keepdims=True)) / WEIGHT_MAX)


def check_codes(before: bytes, after: bytes) -> None:
    """Compare the int8 weights of the quantised file with the codes that training finds for the float file's.

    EdgescopeError names the first tensor that differs.
    """
    stored = weights(after)
    axes = {op.inputs[1]: CHANNEL_AXIS[op.name] for op in operators(before) if op.name in CHANNEL_AXIS}
    for name, weight in weights(before).items():
        if stored[name].dtype != np.int8:
            continue
        trained = to_codes(torch.from_numpy(weight), _weight_scales(weight, axes[name]), WEIGHT_MIN, WEIGHT_MAX)
        if count := int((trained.numpy() != stored[name]).sum()):
            msg = (
                f"{count} of {weight.size} int8 weights of the .tflite file's tensor {name!r} are not those of "
                "training; nothing was written. Please report this student with the output of `runtime doctor`."
            )
            raise EdgescopeError(msg)


def _logistic_outputs(model: bytes) -> dict[str, Range]:
    """TFLite fixes the format of a sigmoid, and of what only lays it out anew: scale 1/256, zero-point -128."""
    fixed: Range = {"min": np.float32(0.0), "max": np.float32(255 / 256)}
    found: dict[str, Range] = {}
    for op in operators(model):
        if op.name == "LOGISTIC" or (op.name in SAME_SCALE and op.inputs[0] in found):
            found.update({name: dict(fixed) for name in op.outputs})
    return found


def _activation(scale: float) -> Range:
    return {"min": np.float32(-128 * scale), "max": np.float32(127 * scale)}
