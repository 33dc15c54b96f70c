"""Reading a .tflite file with LiteRT's own interpreter: its operators, and the value of every tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}  # of the output channels in a convolution's weight
CONSTANT_BIAS = 2  # position of the bias among a convolution's inputs


@dataclass(frozen=True)
class Operator:
    """One operator: its kind, its tensors by name (constants among the inputs), and the dtypes it computes with."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dtypes: set[str]


def interpreter(model: bytes) -> Any:
    """A LiteRT interpreter without delegates, so that every tensor of the file can be looked at."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    found = Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    found.allocate_tensors()
    return found


def operators(model: bytes) -> Iterator[Operator]:
    """The operators of the file, in order of execution."""
    found = interpreter(model)
    tensors = {tensor["index"]: tensor for tensor in found.get_tensor_details()}
    for op in found._get_ops_details():
        inputs = [tensors[index] for index in op["inputs"] if index in tensors]
        outputs = [tensors[index] for index in op["outputs"] if index in tensors]
        computed = [*inputs[:CONSTANT_BIAS], *outputs]
        dtypes = {np.dtype(item["dtype"]).name for item in computed if np.dtype(item["dtype"]).kind in "fi"}
        yield Operator(
            op["op_name"],
            tuple(item["name"] for item in inputs),
            tuple(item["name"] for item in outputs),
            dtypes - {"int32"},
        )


def weights(model: bytes) -> dict[str, NDArray[Any]]:
    """The weight of every convolution, by the name of its tensor; the file is not run."""
    found = interpreter(model)
    index = {item["name"]: item["index"] for item in found.get_tensor_details()}
    names = (op.inputs[1] for op in operators(model) if op.name in CHANNEL_AXIS)
    return {name: found.get_tensor(index[name]).copy() for name in names}


def values(model: bytes, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Every tensor's value after running on an image (1, h, w, 1), by name; constants included."""
    found = interpreter(model)
    found.set_tensor(found.get_input_details()[0]["index"], image)
    found.invoke()
    return {
        item["name"]: found.get_tensor(item["index"]).copy()
        for item in found.get_tensor_details()
        if item["name"] and 0 not in item["shape"]
    }
