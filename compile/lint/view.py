"""An ONNX model as the rules look at it: who makes a tensor, who reads it, and what is constant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import onnx
    from numpy.typing import NDArray

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


class ModelView:
    """A model, indexed once. Constants are read when a rule asks for one."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.maker = {name: node for node in self.nodes for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._stored = {item.name: item for item in model.graph.initializer}
        self._stored |= {node.output[0]: tensor for node in self.nodes if (tensor := _value(node)) is not None}

    def kind(self, *kinds: str) -> Iterator[onnx.NodeProto]:
        """The nodes of these operators, in order of execution."""
        return (node for node in self.nodes if node.op_type in kinds)

    def opset(self) -> int:
        """Version of the standard operators that the model is written in."""
        return next((item.version for item in self.model.opset_import if item.domain in ("", "ai.onnx")), 0)

    def constant(self, name: str) -> NDArray[Any] | None:
        """A tensor's values, or None when it is computed."""
        stored = self._stored.get(name)
        return None if stored is None else numpy_helper.to_array(stored)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """A constant's shape, or None when the tensor is computed."""
        stored = self._stored.get(name)
        return None if stored is None else tuple(stored.dims)

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor."""
        return self._readers.get(name, [])

    def dequantizer(self, name: str) -> onnx.NodeProto | None:
        """The DequantizeLinear that makes a tensor, or None."""
        node = self.maker.get(name)
        return node if node is not None and node.op_type == DEQUANTIZE else None

    def scale(self, pair: onnx.NodeProto) -> NDArray[np.floating] | None:
        """The constant scale of a QuantizeLinear or DequantizeLinear, or None when it is computed or missing."""
        return self.constant(pair.input[1]) if len(pair.input) > 1 else None

    def source(self, name: str) -> str:
        """The tensor behind rounding: what the QuantizeLinear read, or the tensor itself."""
        node = self.dequantizer(name)
        if node is None:
            return name
        behind = self.maker.get(node.input[0])
        return behind.input[0] if behind is not None and behind.op_type == QUANTIZE else node.input[0]

    def groups(self, convolution: onnx.NodeProto) -> int:
        """How many groups a convolution has."""
        return attribute(convolution, "group", 1)

    def weight_codes(self, convolution: onnx.NodeProto) -> str:
        """The tensor that holds a convolution's weight: int8 codes behind DequantizeLinear, or floats."""
        node = self.dequantizer(convolution.input[1])
        return convolution.input[1] if node is None else node.input[0]


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """A node's attribute."""
    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def called(node: onnx.NodeProto) -> str:
    """A node as a message names it; ONNX lets a node go without a name, and then its tensor has one."""
    return node.name or f"the {node.op_type} that makes {', '.join(node.output)}"


def _value(node: onnx.NodeProto) -> onnx.TensorProto | None:
    return attribute(node, "value", None) if node.op_type == "Constant" else None
