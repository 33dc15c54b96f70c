"""The numbers that are chosen on validation images: mask threshold, core threshold, smallest object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from distill.predict import predictor, seen
from runtime.instances import label_objects
from runtime.overlap import dice, match_objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from distill.datasets import Sample
    from distill.spec import StudentSpec

MASK_THRESHOLDS = np.round(np.arange(0.30, 0.71, 0.025), 3)
CORE_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, eq=False)
class Scored:
    """A validation frame: what the student says (float16, to keep hundreds of frames) and what is true."""

    probability: NDArray[np.float16]
    labels: NDArray[np.int32]


def choose(
    model: nn.Module, spec: StudentSpec, data: Sequence[Sample], labels: str
) -> tuple[StudentSpec, dict[str, Any]]:
    """The spec with the thresholds that score best on ``data``, and the curve they were chosen from.

    The mask threshold maximises the mean Dice over images; then the core threshold maximises the pooled object
    score TP / (TP + FP + FN) at IoU > 0.5.
    """
    predict = predictor(model, spec)
    scored = [Scored(predict(seen(sample, spec)).astype(np.float16), sample.labels[labels]) for sample in data]
    dices = {float(t): _mean_dice(scored, t) for t in MASK_THRESHOLDS}
    spec = replace(spec, threshold=max(dices, key=lambda t: (dices[t], -abs(t - 0.5))))
    record: dict[str, Any] = {"dice_by_threshold": dices}
    if "core" in spec.outputs:
        objects = {t: _object_score(scored, spec, t) for t in CORE_THRESHOLDS}
        best = max(objects, key=lambda t: (objects[t], -abs(t - 0.5)))
        spec = replace(spec, objects=replace(spec.objects, core_threshold=best))
        record["object_score_by_core_threshold"] = objects
    return spec, record


def _mean_dice(scored: Sequence[Scored], threshold: float) -> float:
    return float(np.mean([dice(item.probability[0] > threshold, item.labels > 0) for item in scored]))


def _object_score(scored: Sequence[Scored], spec: StudentSpec, core_threshold: float) -> float:
    objects = replace(spec.objects, core_threshold=core_threshold)
    core = spec.outputs.index("core")
    found = wrong = missed = 0
    for item in scored:
        probability = item.probability.astype(np.float32)
        labels = label_objects(probability[0], probability[core], spec.threshold, objects)
        counts = match_objects(item.labels, labels)
        found, wrong, missed = found + counts.tp, wrong + counts.fp, missed + counts.fn
    return found / max(1, found + wrong + missed)
