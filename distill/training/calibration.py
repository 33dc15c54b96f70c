"""Calibrate a trained student: its probabilities become those that the validation labels bear out.

Networks trained with a Dice term are surer than they are right. Logits that are divided by one number, the temperature,
keep their order, so the same pixels can be found, and the mean probability of an object says more of whether it is one
(Guo et al. 2017, arXiv 1706.04599, section 4.2). A softer student also loses less where a device rounds otherwise.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.fx import Node

from distill.evaluation.predict import seen, segmenting, true_size
from distill.int8.graph import convolutions, parameter
from distill.int8.quantize import is_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from torch.fx import GraphModule

    from distill.datasets import Sample
    from distill.networks.spec import StudentSpec

log = logging.getLogger(__name__)

HOTTEST = 4.0  # the largest temperature that is tried
STRIDE = 7  # every seventh pixel is looked at: millions are left
LEAST, MOST = 1e-6, 1 - 1e-6  # probabilities beyond are taken for these


def calibrate(model: GraphModule, spec: StudentSpec, data: Sequence[Sample], labels: str) -> dict[str, float]:
    """Divide the foreground's logits by the temperature of the least cross-entropy on ``data``, in place.

    model : the flat student, float or as int8 computes; (N, C, h, w) in [0, 1] to logits
    Returns the temperature, 1 to 4 (1: nothing is changed), and the mean cross-entropy per pixel before and after it.
    """
    logits, truth = _looked_at(model, spec, data, labels)
    before = _cross_entropy(logits, truth)
    found = minimize_scalar(
        lambda temperature: _cross_entropy(logits / temperature, truth), bounds=(1.0, HOTTEST), method="bounded"
    )
    temperature = round(float(found.x), 2)
    after = _cross_entropy(logits / temperature, truth)
    head = _head(model)
    if not head or after >= before:
        return {"temperature": 1.0, "cross_entropy_before": before, "cross_entropy": before}
    with torch.no_grad():
        for tensor in head:
            each = len(tensor) // len(spec.outputs)  # 16 channels for each map where the head works at a quarter
            first = spec.outputs.index("foreground") * each
            tensor[first : first + each] /= temperature
    log.info("calibrated: temperature %.2f, cross-entropy %.4f -> %.4f", temperature, before, after)
    return {"temperature": temperature, "cross_entropy_before": before, "cross_entropy": after}


def _looked_at(
    model: GraphModule, spec: StudentSpec, data: Sequence[Sample], labels: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Foreground logits and truth of a part of all pixels, (n,) each."""
    logits, truth = [], []
    for sample in data:
        objects = sample.labels[labels]
        result = segmenting(model, spec, request=true_size(objects, spec))(seen(sample, spec))
        p = result.probability.ravel()[::STRIDE].astype(np.float64).clip(LEAST, MOST)
        logits.append(np.log(p / (1 - p)))
        truth.append(objects.ravel()[::STRIDE] > 0)
    return np.concatenate(logits), np.concatenate(truth)


def _head(model: GraphModule) -> list[Tensor]:
    """Weight and bias of the convolution that makes the logits; nothing where more than a reordering follows it."""
    last = convolutions(model)[-1]
    return [_parameter(model, node) for node in last.args[1:3] if isinstance(node, Node)] if is_output(last) else []


def _parameter(model: GraphModule, node: Node) -> Tensor:
    """Of a node, or of the one that is rounded to int8 in it."""
    return parameter(model, node if node.op == "get_attr" else node.all_input_nodes[0])


def _cross_entropy(logits: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    return float(np.mean(np.logaddexp(0, logits) - truth * logits))
