"""Student + scheme -> ONNX. One place decides where a tensor is rounded; every target receives its graph from here.

The quantised graph stores weights as int8 codes behind DequantizeLinear, one scale per output channel, and rounds
activations with QuantizeLinear/DequantizeLinear pairs at the scheme's scales. Biases stay float.
"""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxsim
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from compile.layers import ROUND_ALL, Floats, kept_in_float, layer_name, layers_of, members
from compile.naming import ROUNDED, name_nodes
from distill.int8.graph import convolutions, groups_of, parameter, tensor_name
from distill.int8.quantize import (
    ACTIVATION_MAX,
    ACTIVATION_MIN,
    WEIGHT_MAX,
    WEIGHT_MIN,
    copy_of,
    fake_quantize_weight,
    is_pass_through,
    weight_codes,
    weight_scales,
)
from runtime.errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from distill.student.student import Student
    from runtime.artifact.manifest import QuantScheme

OPSET = 19  # the first with QuantizeLinear in half precision
INPUT, OUTPUT = "image", "probability"
QUANTIZED = ("int8", "mixed")


@dataclass(frozen=True, eq=False)
class QuantizedGraph:
    """A student as ONNX.

    reference : every tensor rounded that any backend stores as int8 (or plain fp32): what probes are made with
    prepared : the student with the fake quantisation of training, of which `reference` was made; None in float
    floats : what is not rounded in a "mixed" graph
    """

    student: Student
    tile: tuple[int, int]
    precision: str
    reference: onnx.ModelProto
    prepared: GraphModule | None = None
    floats: Floats = ROUND_ALL

    @property
    def quantized(self) -> bool:
        """Whether the graph holds int8."""
        return self.precision in QUANTIZED

    @property
    def scheme(self) -> QuantScheme | None:
        """The scales of the tensors that are rounded; None when nothing is."""
        scheme = self.student.scheme if self.quantized else None
        if scheme is None or not self.floats.tensors:
            return scheme
        floats = members(self.student.graph(self.tile), self.floats.tensors)
        return replace(scheme, activations={k: v for k, v in scheme.activations.items() if k not in floats})

    def rounded_weights(self) -> GraphModule:
        """The float student, but for the weights that are stored as int8: those already hold code * scale.

        A converter that rounds weights by a rule of its own finds the codes of training in them, whatever the rule.
        """
        graph = copy_of(self.student.graph(self.tile))
        if self.quantized:
            for node in convolutions(graph):
                if layer_name(node) not in self.floats.convolutions:
                    source = node.args[1]
                    assert isinstance(source, Node)
                    weight = parameter(graph, source)
                    weight.data = fake_quantize_weight(weight.detach())
        return graph

    def rounded_where(self, takes: Callable[[Node], bool], narrow: int = 0) -> onnx.ModelProto:
        """The quantised student with fewer tensors rounded than in `reference`, for a target that wants it so.

        takes : which tensors are rounded; narrow : convolutions with fewer channels keep float weights
        """
        assert self.prepared is not None
        return _rounded(self.prepared, self.tile, takes, self.floats, narrow)

    def unquantized(self) -> onnx.ModelProto:
        """The same student with nothing rounded."""
        return to_onnx(self.student.graph(self.tile), self.tile) if self.quantized else self.reference


def export(student: Student, tile: tuple[int, int], precision: str) -> QuantizedGraph:
    """The student's graph for one tile of (h, w) pixels. precision : "int8", "fp16" or "fp32".

    InputError when the tile does not fit the student's stride, when int8 is asked of a student without scheme, and for
    one that sees several channels.
    """
    if len(student.spec.channels) > 1:
        seen = ", ".join(student.spec.channels)
        msg = f"{student.spec.name} sees {seen}: a teacher; only students of the nucleus alone are compiled."
        raise InputError(msg)
    if precision != "int8":
        model = to_onnx(student.graph(tile), tile)
        return QuantizedGraph(student, tile, precision, model)
    return _quantized(student, tile, precision, ROUND_ALL)


def export_mixed(student: Student, tile: tuple[int, int], layers: Iterable[str]) -> QuantizedGraph:
    """The int8 graph with some layers kept in float: neither their weights nor what they read is rounded.

    layers : convolutions by their names in the graph; InputError when there is no such convolution
    """
    every = layers_of(student.graph(tile))
    chosen = frozenset(layers)
    if unknown := sorted(chosen - {layer.name for layer in every}):
        msg = f"{student.spec.name} has no layer {unknown[0]!r}; its first is {every[0].name!r}."
        raise InputError(msg)
    return _quantized(student, tile, "mixed", kept_in_float(every, chosen))


def _quantized(student: Student, tile: tuple[int, int], precision: str, floats: Floats) -> QuantizedGraph:
    prepared = student.quantized(tile)
    reference = _rounded(prepared, tile, lambda node: True, floats)
    return QuantizedGraph(student, tile, precision, reference, prepared, floats)


def _rounded(
    prepared: GraphModule, tile: tuple[int, int], takes: Callable[[Node], bool], floats: Floats, narrow: int = 0
) -> onnx.ModelProto:
    model = to_onnx(_with_quantize_nodes(prepared, takes, floats, narrow), tile)
    check_codes(stored_codes(model), prepared)
    return model


def stored_codes(model: onnx.ModelProto) -> dict[str, NDArray[np.int8]]:
    """The int8 weights (O, I, kh, kw) of a Q/DQ model, by the name of their convolution."""
    constants = {item.name: item for item in model.graph.initializer}
    weights = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    read = {n.name: weights.get(n.input[1]) for n in model.graph.node if n.op_type == "Conv"}
    return {name: onnx.numpy_helper.to_array(constants[codes]) for name, codes in read.items() if codes in constants}


def check_codes(stored: Mapping[str, NDArray[np.int8]], prepared: GraphModule) -> None:
    """Compare exported weight codes, by convolution, with those that training computes with.

    EdgescopeError names the first convolution that differs: what was trained would not be what is exported.
    """
    for node in prepared.graph.nodes:
        if node.target is not fake_quantize_weight:
            continue
        name = layer_name(next(iter(node.users)))
        if name in stored:
            weight = parameter(prepared, node.all_input_nodes[0])
            trained = fake_quantize_weight(weight).detach() / weight_scales(weight).reshape(-1, 1, 1, 1)
            if count := int((torch.from_numpy(stored[name].astype(np.float32)) != trained).sum()):
                msg = (
                    f"{count} of {trained.numel()} exported int8 weights of layer {name} are not those of training; "
                    "nothing was written. Please report this with the student and the output of `runtime doctor`."
                )
                raise EdgescopeError(msg)


def to_onnx(graph: GraphModule, tile: tuple[int, int]) -> onnx.ModelProto:
    """Export logits -> probability for a batch of one, simplified; nodes are named after the student's modules.

    InputError names the operator that ONNX has no form for.
    """
    buffer = io.BytesIO()
    with _quiet():
        try:
            program = torch.onnx.export(
                WithSigmoid(graph).eval(),
                (torch.zeros(1, 1, *tile),),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            msg = f"The student cannot be written as ONNX: {_reason(error)} Build it from other operators."
            raise InputError(msg) from error
        assert program is not None
        program.save(buffer)  # pyright: ignore[reportArgumentType] - it takes any file; its types know paths alone
    model, fine = onnxsim.simplify(onnx.load_from_string(buffer.getvalue()))
    if not fine:
        msg = "onnxsim changed the graph's result; please report this with the student."
        raise RuntimeError(msg)
    name_nodes(model, graph)
    onnx.checker.check_model(model, full_check=True)
    return model


def _reason(error: BaseException) -> str:
    """What the exporter says at the bottom of its chain of errors, in a line; above it are its steps and advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()).rstrip(".") + "."


class WithSigmoid(nn.Module):
    """Logits -> probability."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.student = graph

    def forward(self, image: Tensor) -> Tensor:
        """(1, 1, h, w) in [0, 1] -> (1, C, h, w) in [0, 1]."""
        return torch.sigmoid(self.student(image))


def _with_quantize_nodes(
    prepared: GraphModule, takes: Callable[[Node], bool], floats: Floats, narrow: int
) -> GraphModule:
    """Replace the fake quantisation of training by quantise and dequantise nodes, and weights by int8 codes.

    takes : which tensors are rounded; floats : what of them is not, after all
    narrow : convolutions with fewer channels keep float weights
    """
    graph = copy_of(prepared)
    scales: dict[Node, float] = {}
    for node in list(graph.graph.nodes):
        if node.target is fake_quantize_weight:
            _store_codes(graph, node, floats, narrow)
        elif node.op == "call_module" and "group" in node.meta:
            keep = node.meta["group"] not in floats.tensors and takes(node.all_input_nodes[0])
            _round_activation(graph, node, keep, scales)
    for node in list(graph.graph.nodes):
        if is_pass_through(node) and (scale := _scale_behind(node, scales)) is not None:
            _insert_pair(graph, node, scale, scales)  # rounding again changes nothing, and shows backends int8 input
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    graph.recompile()
    return graph


def _store_codes(graph: GraphModule, node: Node, floats: Floats, narrow: int) -> None:
    source = node.args[0]
    assert isinstance(source, Node)
    weight = parameter(graph, source).detach()
    if layer_name(next(iter(node.users))) in floats.convolutions or _is_narrow(node, weight, narrow):
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
        return
    scales = weight_scales(weight)
    name = str(source.target).replace(".", "_")
    codes, zeros = weight_codes(weight).to(torch.int8), torch.zeros_like(scales, dtype=torch.int64)
    buffers = {"codes": codes, "scales": scales, "zeros": zeros}
    with graph.graph.inserting_before(node):
        found = []
        for suffix, value in buffers.items():
            graph.register_buffer(f"{name}_{suffix}", value)
            found.append(graph.graph.get_attr(f"{name}_{suffix}"))
        dequantize = _decomposed().dequantize_per_channel.default
        real = graph.graph.call_function(dequantize, (*found, 0, WEIGHT_MIN, WEIGHT_MAX, torch.int8))
    node.replace_all_uses_with(real)
    graph.graph.erase_node(node)


def _is_narrow(node: Node, weight: Tensor, narrow: int) -> bool:
    convolution = next(iter(node.users))
    return groups_of(convolution) == 1 and min(weight.shape[:2]) < narrow


def _round_activation(graph: GraphModule, node: Node, keep: bool, scales: dict[Node, float]) -> None:
    source = node.args[0]
    assert isinstance(source, Node)
    scale = float(graph.get_submodule(str(node.target)).scale)  # type: ignore[arg-type]
    node.replace_all_uses_with(source)
    graph.graph.erase_node(node)
    if keep:
        _insert_pair(graph, source, scale, scales)


def _insert_pair(graph: GraphModule, source: Node, scale: float, scales: dict[Node, float]) -> None:
    decomposed = _decomposed()
    limits = (scale, 0, ACTIVATION_MIN, ACTIVATION_MAX, torch.int8)
    with graph.graph.inserting_after(source):
        codes = graph.graph.call_function(decomposed.quantize_per_tensor.default, (source, *limits))
        codes.meta[ROUNDED] = tensor_name(source)
    with graph.graph.inserting_after(codes):
        real = graph.graph.call_function(decomposed.dequantize_per_tensor.default, (codes, *limits))
    source.replace_all_uses_with(real, delete_user_cb=lambda user: user is not codes)
    scales[real] = scale


def _scale_behind(node: Node, scales: dict[Node, float]) -> float | None:
    """The one scale of everything that a pass-through operation reads, or None where something is float."""
    found = {scales.get(source) for source in node.all_input_nodes}
    return found.pop() if len(found) == 1 else None


def _decomposed() -> torch._ops._OpNamespace:
    import torch.ao.quantization.fx._decomposed

    return torch.ops.quantized_decomposed


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns and prints about its own internals; a user can do nothing about it."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
