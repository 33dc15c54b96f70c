"""Where the error of int8 enters: every layer rounded alone, and everything but that layer.

Measured on the fake-quantised student (distill.int8.quantize) in torch, on crops of frames, against the float student.
A layer's rounding alone says what it does; the whole without it says what keeping it in float would save.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from compile.layers import ROUND_ALL, Floats, Layer, kept_in_float, layer_name, layers_of
from distill.int8.graph import parameter
from distill.int8.quantize import FakeQuantize, fake_quantize_weight
from runtime.frames.normalize import normalize
from runtime.metrics import dice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray
    from torch.fx import GraphModule

    from distill.student.student import Student

FRAMES = 4
SIDE = 128  # pixels of a crop: a quarter of a common tile, and its every layer still sees a neighbourhood
STRIDE = 32  # of all families


@dataclass(frozen=True)
class Effect:
    """What a rounding does to the probabilities: their mean difference, and Dice of the masks, against float."""

    difference: float
    mask_dice: float


@dataclass(frozen=True)
class LayerError:
    """One layer. alone : only it is rounded; without : everything else is; reads : the tensor that it rounds first."""

    layer: str
    reads: str
    alone: Effect
    without: Effect


@dataclass(frozen=True)
class Sensitivity:
    """The error of int8 by layers, the worst first. whole : everything is rounded; crops : how many were measured."""

    whole: Effect
    rows: tuple[LayerError, ...]
    crops: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class Sensor:
    """The fake-quantised student with a switch at every rounding.

    frames : (H, W) of any size; the middle of each is looked at
    """

    def __init__(self, student: Student, frames: Sequence[NDArray[Any]], threshold: float) -> None:
        tiles = [_middle(normalize(frame, student.spec.normalization)) for frame in frames[:FRAMES]]
        size = min(tile.shape[0] for tile in tiles), min(tile.shape[1] for tile in tiles)
        self.crops = torch.from_numpy(np.stack([tile[: size[0], : size[1]] for tile in tiles])[:, None])
        self.layers = layers_of(student.graph(size))
        self.threshold = threshold
        self._graph = student.quantized(size).eval()
        self._weights = _switchable_weights(self._graph)
        self._tensors = _switchable_tensors(self._graph)
        self._float = self._probabilities(frozenset(), frozenset())

    def effect(self, floats: Floats) -> Effect:
        """Of rounding everything but these."""
        return self._effect(self._tensors.keys() - floats.tensors, self._weights.keys() - floats.convolutions)

    def alone(self, layer: Layer) -> Effect:
        """Of rounding nothing but this layer's weight and tensors."""
        return self._effect(layer.tensors, {layer.name})

    def _effect(self, tensors: Iterable[str], weights: Iterable[str]) -> Effect:
        found = self._probabilities(frozenset(tensors), frozenset(weights))
        masks = [array[:, 0] > self.threshold for array in (self._float, found)]
        return Effect(float(np.abs(found - self._float).mean(dtype=np.float64)), dice(*masks))

    def _probabilities(self, tensors: frozenset[str], weights: frozenset[str]) -> NDArray[np.float32]:
        for name, switch in self._tensors.items():
            switch.on = name in tensors
        for name, weight in self._weights.items():
            weight.turn(on=name in weights)
        with torch.inference_mode():
            return torch.sigmoid(self._graph(self.crops)).numpy()


def sensitivity(sensor: Sensor, step: Callable[[str], None] = lambda what: None) -> Sensitivity:
    """Measure every layer. step is called with its name."""
    rows = []
    for number, layer in enumerate(sensor.layers, 1):
        step(f"where the error enters: layer {number} of {len(sensor.layers)}")
        without = sensor.effect(kept_in_float(sensor.layers, [layer.name]))
        rows.append(LayerError(layer.name, layer.reads, sensor.alone(layer), without))
    rows.sort(key=lambda row: (row.alone.difference, -row.without.difference), reverse=True)
    return Sensitivity(sensor.effect(ROUND_ALL), tuple(rows), len(sensor.crops))


class _Switch(nn.Module):
    """A rounding of a tensor that can be turned off."""

    def __init__(self, rounding: FakeQuantize) -> None:
        super().__init__()
        self.rounding, self.on = rounding, True

    def forward(self, tensor: Tensor) -> Tensor:
        """The tensor, on its int8 grid or as it is."""
        return self.rounding(tensor) if self.on else tensor


@dataclass(frozen=True, eq=False)
class _Weight:
    """A convolution's weight, and what both of its forms are."""

    weight: Tensor
    plain: Tensor
    rounded: Tensor

    def turn(self, *, on: bool) -> None:
        self.weight.data = self.rounded if on else self.plain


def _switchable_tensors(graph: GraphModule) -> dict[str, _Switch]:
    found: dict[str, _Switch] = {}
    for node in graph.graph.nodes:
        group = node.meta.get("group")
        if node.op == "call_module" and group is not None and group not in found:
            module = graph.get_submodule(str(node.target))
            found[group] = _Switch(cast("FakeQuantize", module))
            graph.set_submodule(str(node.target), found[group])
    return found


def _switchable_weights(graph: GraphModule) -> dict[str, _Weight]:
    """Round every weight once, beforehand, and take the rounding out of the graph."""
    found: dict[str, _Weight] = {}
    for node in list(graph.graph.nodes):
        if node.target is fake_quantize_weight:
            source, (convolution,) = node.all_input_nodes[0], node.users
            weight = parameter(graph, source)
            plain = weight.detach().clone()
            found[layer_name(convolution)] = _Weight(weight, plain, fake_quantize_weight(plain))
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
    graph.recompile()
    return found


def _middle(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The middle SIDE pixels of an image, or as many as are a multiple of the stride; small ones are mirrored."""
    for axis, size in enumerate(image.shape):
        due = min(SIDE, max(STRIDE, size // STRIDE * STRIDE))
        if size < due:
            pads = [(0, due - size) if other == axis else (0, 0) for other in range(2)]
            image = np.pad(image, pads, mode="symmetric")
        start = (image.shape[axis] - due) // 2
        image = image.take(range(start, start + due), axis=axis)
    return image
