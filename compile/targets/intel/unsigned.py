"""Give OpenVINO's CPU plugin unsigned input where its signed one computes nonsense.

Before an int8 convolution the plugin stores signed tensors as u8 with zero-point 128. For dense, padded convolutions
that path gives wrong results (OpenVINO 2026.4.1, AVX512-VNNI: probabilities off by 0.3; depthwise and 1x1
convolutions are right). So the shift is written into the graph, where it is exact: with x' = x + 128 s >= 0,

    conv(x) + b  =  conv(pad(x', 128 s)) + (b - 128 s sum(w))

x' has codes 0..255 and zero-point 0, padding is explicit, and the correction goes into the bias. The codes, shifted
by 128, are those of the scheme. Weight codes within 63 keep the sums right on processors without VNNI, too: see
distill.int8.quantize.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OFFSET = 128
PASS_THROUGH = ("Concat", "Resize")
NON_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid")
# Not a concatenation: the plugin stores it as signed, also where all of its parts come from a Relu.
SEEN_THROUGH = ("Resize", "MaxPool", "QuantizeLinear", "DequantizeLinear")


def to_unsigned(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """A copy of a Q/DQ model whose dense padded convolutions read unsigned codes, and how many were rewritten."""
    graph = _Graph(onnx.ModelProto.FromString(model.SerializeToString()))
    concerned = [node for node in graph.model.graph.node if node.op_type == "Conv" and _is_concerned(graph, node)]
    for node in concerned:
        _rewrite(graph, node)
    return graph.finish(), len(concerned)


@dataclass
class _Graph:
    """A model under change: who makes which tensor, the constants, and the tensors that were already shifted."""

    model: onnx.ModelProto
    shifted: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.maker = {name: node for node in self.model.graph.node for name in node.output}
        self.constants = {item.name: numpy_helper.to_array(item) for item in self.model.graph.initializer}

    def constant(self, name: str, value: np.ndarray) -> str:
        """Store a constant once under this name."""
        if name not in self.constants:
            self.constants[name] = value
            self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append an operation; order is restored in `finish`."""
        node = helper.make_node(kind, inputs, [output], f"{output}_{kind.lower()}", **attributes)
        self.model.graph.node.append(node)
        self.maker[output] = node
        return output

    def copy(self, node: onnx.NodeProto, inputs: list[str], output: str) -> str:
        """Append an operation like ``node`` that reads and makes other tensors."""
        twin = onnx.NodeProto.FromString(node.SerializeToString())
        twin.name, twin.input[:], twin.output[:] = output, inputs, [output]
        self.model.graph.node.append(twin)
        self.maker[output] = twin
        return output

    def finish(self) -> onnx.ModelProto:
        """Drop what is no longer read, restore the order, and check."""
        graph = self.model.graph
        nodes = in_order(graph)
        used = {name for node in nodes for name in node.input}
        constants = [item for item in graph.initializer if item.name in used]
        for name, value in (("node", nodes), ("initializer", constants), ("value_info", [])):
            graph.ClearField(name)
            getattr(graph, name).extend(value)
        onnx.checker.check_model(self.model, full_check=True)
        return self.model


def _is_concerned(graph: _Graph, convolution: onnx.NodeProto) -> bool:
    attributes = {item.name: helper.get_attribute_value(item) for item in convolution.attribute}
    dense = attributes.get("group", 1) == 1 and any(attributes.get("pads", ()))
    quantizer = _quantizer(graph, convolution.input[0])
    weight = graph.maker.get(convolution.input[1])  # None for a float one: then the convolution is no int8 one
    if quantizer is None or weight is None or weight.op_type != "DequantizeLinear":
        return False
    return dense and not _is_non_negative(graph, quantizer.input[0])


def _rewrite(graph: _Graph, convolution: onnx.NodeProto) -> None:
    quantizer = _quantizer(graph, convolution.input[0])
    assert quantizer is not None
    scale = graph.constants[quantizer.input[1]]
    shift = np.float32(OFFSET * scale)
    codes = _codes(graph, convolution.input[0], quantizer.input[1], shift)
    pads = next(item for item in convolution.attribute if item.name == "pads")
    height_width = list(pads.ints)
    amounts = np.array([0, 0, *height_width[:2], 0, 0, *height_width[2:]], np.int64)
    inputs = [
        codes,
        graph.constant(f"{convolution.name}.pads", amounts),
        graph.constant("unsigned_offset", np.asarray(OFFSET, np.uint8)),
    ]
    padded = graph.add("Pad", inputs, f"{convolution.name}.padded", mode="constant")
    zero = graph.constant("unsigned_zero", np.asarray(0, np.uint8))
    real = graph.add("DequantizeLinear", [padded, quantizer.input[1], zero], f"{convolution.name}.unsigned")
    pads.ints[:] = [0] * len(pads.ints)
    old = graph.constants[convolution.input[2]].astype(np.float64) if len(convolution.input) > 2 else 0.0
    bias = old - float(shift) * _weight_sums(graph, convolution)
    inputs = [real, convolution.input[1], graph.constant(f"{convolution.name}.bias_shifted", bias.astype(np.float32))]
    convolution.input[:] = inputs


def _codes(graph: _Graph, tensor: str, scale: str, shift: np.float32) -> str:
    """Unsigned codes of a dequantised tensor plus ``shift``; concatenations and resizes work on the codes."""
    if tensor in graph.shifted:
        return graph.shifted[tensor]
    quantizer = _quantizer(graph, tensor)
    source = quantizer.input[0] if quantizer is not None else tensor
    node = graph.maker.get(source)
    if node is not None and node.op_type in PASS_THROUGH:
        count = len(node.input) if node.op_type == "Concat" else 1
        inputs = [_codes(graph, name, scale, shift) for name in node.input[:count]]
        result = graph.copy(node, [*inputs, *node.input[count:]], f"{source}_codes")
    else:
        offset = graph.constant(f"{scale}_shift", np.asarray(shift))
        moved = graph.add("Add", [source, offset], f"{source}_moved")
        zero = graph.constant("unsigned_zero", np.asarray(0, np.uint8))
        result = graph.add("QuantizeLinear", [moved, scale, zero], f"{source}_codes")
    graph.shifted[tensor] = result
    return result


def _quantizer(graph: _Graph, tensor: str) -> onnx.NodeProto | None:
    """The QuantizeLinear behind a dequantised tensor, or None."""
    node = graph.maker.get(tensor)
    if node is None or node.op_type != "DequantizeLinear":
        return None
    found = graph.maker.get(node.input[0])
    return found if found is not None and found.op_type == "QuantizeLinear" else None


def _is_non_negative(graph: _Graph, tensor: str) -> bool:
    node = graph.maker.get(tensor)
    if node is None:  # the image, in [0, 1]
        return True
    if node.op_type in NON_NEGATIVE:
        return True
    if node.op_type in SEEN_THROUGH:
        return _is_non_negative(graph, node.input[0])
    return False


def _weight_sums(graph: _Graph, convolution: onnx.NodeProto) -> np.ndarray:
    """Sum of the real weights of every output channel, float64 (O,)."""
    node = graph.maker[convolution.input[1]]
    codes, scales = (graph.constants[name] for name in node.input[:2])
    return codes.astype(np.float64).sum(axis=(1, 2, 3)) * scales


def in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that the output depends on, each after those it reads."""
    maker = {name: node for node in graph.node for name in node.output}
    ordered: list[onnx.NodeProto] = []
    seen: set[str] = set()
    stack = [(graph.output[0].name, False)]
    while stack:
        name, ready = stack.pop()
        node = maker.get(name)
        if node is None or (name in seen and not ready):
            continue
        if ready:
            ordered.append(node)
            continue
        seen.add(name)
        stack.append((name, True))
        stack.extend((item, False) for item in reversed(node.input) if item and item not in seen)
    return ordered
