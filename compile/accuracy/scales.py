"""Do the scales fit what the student computes? Said before anything is lowered, by the name of tensor and layer.

The scheme was learnt in training. A scale that is many times what a tensor's values need leaves a few of its 255 codes
in use; one that is much too small clips nearly all of them. Either was damaged, or belongs to other weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from compile.layers import layers_of
from distill.int8.graph import tensor_name
from distill.int8.magnitudes import largest
from distill.int8.quantize import ACTIVATION_MAX, SMALLEST_SCALE, is_output, tied_tensors
from runtime.errors import BudgetMissed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch.fx import GraphModule

    from compile.layers import Floats
    from distill.student.student import Student

# Of a tensor's largest value on the recorded tiles. In the bundled students its scale is 0.6 to 11 times what that
# needs: it follows the largest values of all training crops, and deep channels are idle in many images.
TOO_COARSE, TOO_FINE = 16.0, 1 / 8
NAMED = 3  # misfits in a message


@dataclass(frozen=True)
class Misfit:
    """A tensor whose scale is `times` what its values need; layer : who reads it, or else (`made`) who makes it."""

    tensor: str
    layer: str
    made: bool
    scale: float
    times: float

    def __str__(self) -> str:
        need = "times what its values need" if self.times > 1 else "times too small for its values"
        verb = "makes" if self.made else "reads"
        return (
            f"layer {self.layer}: the scale of {self.tensor}, which it {verb}, is {self.scale:.4g}, "
            f"{self.severity:.0f} {need}"
        )

    @property
    def severity(self) -> float:
        """How many times it is off, either way."""
        return max(self.times, 1 / self.times)


class ScaleMisfit(BudgetMissed):
    """Scales that do not fit. layers : one convolution to keep in float for each of them, by name."""

    def __init__(self, message: str, layers: tuple[str, ...]) -> None:
        super().__init__(message)
        self.layers = layers

    @classmethod
    def of(cls, student: str, found: Sequence[Misfit]) -> ScaleMisfit:
        """With the message for a person."""
        said = "; ".join(str(one) for one in found[:NAMED])
        more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        msg = (
            f"The scheme of {student} does not fit its weights: {said}{more}. Nothing was written; train the "
            "quantised phase again, keep such layers in float with --precision auto, or use --precision fp16."
        )
        return cls(msg, tuple(dict.fromkeys(one.layer for one in found)))


def misfits(student: Student, inputs: NDArray[np.float32], floats: Floats) -> list[Misfit]:
    """The tensors whose scales do not fit what they hold on these tiles, float32 (n, 1, h, w).

    The worst come first, among equals (within a factor of 2) in the order of execution.
    floats : what is not rounded, and needs no scale
    """
    assert student.scheme is not None
    graph = student.graph((inputs.shape[2], inputs.shape[3]))
    groups, layers = tied_tensors(graph), layers_of(graph)
    sizes = _largest(graph, inputs, groups)
    of_group: dict[str, float] = {}
    for name, group in groups.items():
        of_group[group] = max(of_group.get(group, 0.0), sizes.get(name, 0.0))
    cut = {tensor_name(node) for node in graph.graph.nodes if "tensor" in node.meta and is_output(node)}  # on purpose
    found = []
    for name, group in groups.items():
        scale = student.scheme.activations.get(name)
        if scale is None or group in floats.tensors:
            continue
        coarse = scale / max(of_group[group] / ACTIVATION_MAX, SMALLEST_SCALE)
        fine = scale / max(sizes.get(name, 0.0) / ACTIVATION_MAX, SMALLEST_SCALE)  # whoever overflows, not its mates
        if coarse > TOO_COARSE or (fine < TOO_FINE and name not in cut):
            times = coarse if coarse > TOO_COARSE else fine
            layer = next(layer for layer in layers if group in layer.tensors)
            found.append(Misfit(name, layer.name, layer.reads != group, scale, times))
    worst = max((one.severity for one in found), default=0.0)
    return sorted(found, key=lambda one: one.severity < worst / 2)  # what comes first makes the others misfits


def _largest(graph: GraphModule, inputs: NDArray[np.float32], groups: Mapping[str, str]) -> dict[str, float]:
    """The largest magnitude of every tensor that has a scale."""
    scaled = [node for node in graph.graph.nodes if "tensor" in node.meta and tensor_name(node) in groups]
    found = largest(graph, torch.from_numpy(inputs), scaled)
    return {tensor_name(node): float(sizes.max()) for node, sizes in found.items()}
