"""Calibrate a trained student: its probabilities become those that the validation labels bear out.

Networks trained with a Dice term are surer than they are right. Logits that are divided by one number, the temperature,
keep their order, so the same pixels can be found, and the mean probability of an object says more of whether it is one
(Guo et al. 2017, arXiv 1706.04599, section 4.2). A softer student also loses less where a device rounds otherwise.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.fx import Node

from distill.evaluation.predict import seen, segmenting, true_size
from distill.int8.graph import convolutions, parameter
from distill.int8.quantize import is_output
from runtime.segmentation.seeing import FAINT, certainty

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from torch.fx import GraphModule

    from distill.datasets import Sample
    from distill.networks.spec import StudentSpec

    Looked = tuple[NDArray[np.float64], NDArray[np.bool_]]

log = logging.getLogger(__name__)

HOTTEST = 4.0  # the largest temperature that is tried
STRIDE = 7  # every seventh pixel is looked at: millions are left
LEAST, MOST = 1e-6, 1 - 1e-6  # probabilities beyond are taken for these


@dataclass(frozen=True)
class TemperatureScaling:
    """temperature : the logits of the foreground were divided by it, 1 to 4 (1: nothing was changed)

    cross_entropy_before, cross_entropy : mean per pixel of the validation frames, before and after
    certainty : see ObjectSize
    """

    temperature: float
    cross_entropy_before: float
    cross_entropy: float
    certainty: float


def calibrate(model: GraphModule, spec: StudentSpec, data: Sequence[Sample], labels: str) -> TemperatureScaling:
    """Divide the foreground's logits by the temperature of the least cross-entropy on ``data``, in place.

    model : the flat student, float or as int8 computes; (N, C, h, w) in [0, 1] to logits
    """
    frames = list(_looked_at(model, spec, data, labels))
    logits, truth = (np.concatenate(part) for part in zip(*frames, strict=True))
    before = _cross_entropy(logits, truth)
    found = minimize_scalar(
        lambda temperature: _cross_entropy(logits / temperature, truth), bounds=(1.0, HOTTEST), method="bounded"
    )
    temperature, head = round(float(found.x), 2), _head(model)
    after = _cross_entropy(logits / temperature, truth)
    if not head or after >= before:
        return TemperatureScaling(1.0, before, before, _certainty(frames, 1.0))
    with torch.no_grad():
        for tensor in head:
            each = len(tensor) // len(spec.outputs)  # 16 channels for each map where the head works at a quarter
            first = spec.outputs.index("foreground") * each
            tensor[first : first + each] /= temperature
    log.info("calibrated: temperature %.2f, cross-entropy %.4f -> %.4f", temperature, before, after)
    return TemperatureScaling(temperature, before, after, _certainty(frames, temperature))


def _looked_at(model: GraphModule, spec: StudentSpec, data: Sequence[Sample], labels: str) -> Iterator[Looked]:
    """Foreground logits and truth of a part of the pixels of each frame, (n,) each."""
    for sample in data:
        objects = sample.labels[labels]
        result = segmenting(model, spec, request=true_size(objects, spec))(seen(sample, spec))
        p = result.probability.ravel()[::STRIDE].astype(np.float64).clip(LEAST, MOST)
        yield np.log(p / (1 - p)), objects.ravel()[::STRIDE] > 0


def _certainty(frames: Sequence[Looked], temperature: float) -> float:
    """In all but 5 % of the frames in which anything is visible."""
    each = []
    for logits, _ in frames:
        probability = 1 / (1 + np.exp(-logits / temperature))
        if (visible := probability[probability > FAINT]).size:
            each.append(certainty(visible))
    return round(float(np.quantile(each, 0.05)), 3) if each else 0.0


def _head(model: GraphModule) -> list[Tensor]:
    """Weight and bias of the convolution that makes the logits; nothing where more than a reordering follows it."""
    last = convolutions(model)[-1]
    return [_parameter(model, node) for node in last.args[1:3] if isinstance(node, Node)] if is_output(last) else []


def _parameter(model: GraphModule, node: Node) -> Tensor:
    """Of a node, or of the one that is rounded to int8 in it."""
    return parameter(model, node if node.op == "get_attr" else node.all_input_nodes[0])


def _cross_entropy(logits: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    return float(np.mean(np.logaddexp(0, logits) - truth * logits))
