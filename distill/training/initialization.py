"""Begin a training with the weights of another student: to go on with one's own images, or with another decoder.

A student's folder holds convolutions with batch normalisation folded into them. Here it is taken out again: each
normalisation gets the mean and the deviation that its convolution has on training crops, and the gain and shift that
undo them. So the student begins as what the other one ended as, and learns with normalised layers as that did.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import nn

from distill.networks.imagenet import layers
from runtime.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from distill.student.student import Student

log = logging.getLogger(__name__)


def init_from(model: nn.Module, student: Student, images: Tensor) -> None:
    """Put the student's weights into every convolution of ``model`` that has the same name and shape, in place.

    images : (N, C, h, w) float32 in [0, 1], training crops
    InputError where not one convolution is the same.
    """
    every, taken = list(layers(model)), fitting(model, student)
    with torch.no_grad():
        for name, convolution, norm in taken:
            _take(convolution, norm, student.weights[f"{name}.weight"], student.weights[f"{name}.bias"])
        _normalize(model, [norm for _, _, norm in taken if norm is not None], images)
    log.info("starts with the weights of %d of %d convolutions of %s", len(taken), len(every), student.spec.name)


def fitting(model: nn.Module, student: Student) -> list[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """The convolutions of a model that the student has the weights of; InputError where there are none."""
    taken = [layer for layer in layers(model) if _fits(layer[1], student.weights.get(f"{layer[0]}.weight"))]
    if not taken:
        msg = (
            f"student.init_from: no convolution of {student.spec.name} has its like in the student that [student] "
            "describes; leave family, encoder, decoder and head_stride out, to take over its own."
        )
        raise InputError(msg)
    return taken


def _fits(convolution: nn.Conv2d, weight: Tensor | None) -> bool:
    return weight is not None and weight.shape == convolution.weight.shape


def _take(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None, weight: Tensor, bias: Tensor) -> None:
    """A normalisation does nothing now but add the bias."""
    convolution.weight.copy_(weight)
    if norm is None:
        assert convolution.bias is not None
        convolution.bias.copy_(bias)
        return
    norm.running_mean.zero_()  # type: ignore[union-attr]
    norm.running_var.fill_(1.0)  # type: ignore[union-attr]
    norm.weight.fill_((1.0 + norm.eps) ** 0.5)
    norm.bias.copy_(bias)


def _normalize(model: nn.Module, norms: list[nn.BatchNorm2d], images: Tensor) -> None:
    """Give each normalisation what it sees of the images, in one pass: none of them changes what the next one sees."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0].double(), (0, 2, 3), correction=0)
        seen[module] = (mean, variance)

    with ExitStack() as hooks:
        for norm in norms:
            hooks.enter_context(norm.register_forward_pre_hook(look))
        model.eval()(images)
    for norm in norms:
        mean, variance = seen[norm]
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
