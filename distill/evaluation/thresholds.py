"""The numbers that are chosen on validation images: mask threshold, core threshold, smallest object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from distill.evaluation.predict import maps_of, seen, segmenting, true_size
from runtime.metrics import dice, match_objects
from runtime.objects.instances import drop_small, label_all, scaled_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from distill.datasets import Sample
    from distill.networks.spec import StudentSpec
    from runtime.artifact.manifest import Objects

MASK_THRESHOLDS = np.round(np.arange(0.30, 0.71, 0.025), 3)
CORE_THRESHOLDS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # of equal ones the first is taken
SMOOTHINGS = (1.25, 1.6)  # pixels
PROMINENCES = (0.05, 0.075, 0.1, 0.15)
LARGER = (1, 5 / 3, 5 / 2)  # times the smallest object that the configuration names
AS_GOOD = 0.0005  # mean Dice: mask thresholds this near to the best one are as good as it


@dataclass(frozen=True, eq=False)
class Scored:
    """A validation frame: what the student says (float16, to keep hundreds of frames) and what is true.

    probability : (outputs, H, W); factor : by which the student saw the frame resized
    """

    probability: NDArray[np.float16]
    labels: NDArray[np.int32]
    factor: float = 1.0

    def rule(self, objects: Objects) -> Objects:
        """The rule on the frame's grid."""
        return scaled_rule(objects, self.factor)


def choose(
    model: nn.Module, spec: StudentSpec, data: Sequence[Sample], labels: str
) -> tuple[StudentSpec, dict[str, Any]]:
    """The spec with the thresholds that score best on ``data``, and the curve they were chosen from.

    The mask threshold maximises the mean Dice over images; then the rule for seeds (a threshold of the core, or a
    prominence after smoothing), after it the mask threshold among those that are as good in Dice, and last the smallest
    object maximise the pooled object score TP / (TP + FP + FN) at IoU > 0.5.
    """
    scored = [_scored(model, spec, sample, labels) for sample in data]
    dices = {float(t): _mean_dice(scored, t) for t in MASK_THRESHOLDS}
    spec = replace(spec, threshold=max(dices, key=lambda t: (dices[t], -abs(t - 0.5))))
    record: dict[str, Any] = {"dice_by_threshold": dices}
    if "core" in spec.outputs:
        parted, seeds = partial(_parted, scored), _with_objects(spec, _seed_rules(spec.objects))
        spec, record["object_score_by_seeds"] = _best(scored, seeds, parted)
        spec, record["object_score_by_threshold"] = _best(scored, _with_thresholds(spec, dices), parted)
        found = list(parted(spec))  # the smallest size is no matter of how objects come apart
        sizes = _with_objects(spec, _sizes(spec.objects))
        spec, record["object_score_by_min_area"] = _best(scored, sizes, lambda _: found)
    return spec, record


def _scored(model: nn.Module, spec: StudentSpec, sample: Sample, labels: str) -> Scored:
    """With the size of the objects given, as what is chosen here decides how well it is seen."""
    truth = sample.labels[labels]
    result = segmenting(model, spec, request=true_size(truth, spec))(seen(sample, spec))
    return Scored(maps_of(result).astype(np.float16), truth, result.scale.factor)


def _mean_dice(scored: Sequence[Scored], threshold: float) -> float:
    return float(np.mean([dice(item.probability[0] > threshold, item.labels > 0) for item in scored]))


def _seed_rules(objects: Objects) -> dict[str, Objects]:
    """Every rule for seeds that is tried, in words."""
    rules = {f"core over {t:g}": replace(objects, core_threshold=t) for t in CORE_THRESHOLDS}
    for smoothing, prominence in product(SMOOTHINGS, PROMINENCES):
        rules[f"prominence {prominence:g} after {smoothing:g} px"] = replace(
            objects, core_prominence=prominence, core_smoothing=smoothing
        )
    return rules


def _sizes(objects: Objects) -> dict[str, Objects]:
    sizes = [round(factor * objects.min_area) for factor in LARGER]
    return {f"{size} px": replace(objects, min_area=size) for size in sizes}


def _with_objects(spec: StudentSpec, rules: Mapping[str, Objects]) -> dict[str, StudentSpec]:
    return {words: replace(spec, objects=rule) for words, rule in rules.items()}


def _with_thresholds(spec: StudentSpec, dices: Mapping[float, float]) -> dict[str, StudentSpec]:
    """The spec with its own mask threshold, and with the others that are as good."""
    near = [t for t in dices if t != spec.threshold and dices[t] > dices[spec.threshold] - AS_GOOD]
    return {f"{t:g}": replace(spec, threshold=t) for t in (spec.threshold, *near)}


def _best(
    scored: Sequence[Scored],
    tried: Mapping[str, StudentSpec],
    parted: Callable[[StudentSpec], Iterable[NDArray[np.int32]]],
) -> tuple[StudentSpec, dict[str, float]]:
    """Of the specs the one with the best object score, the first of equal ones, and every one's score.

    parted : a spec to the objects of every frame, small ones included
    """
    scores = {
        words: _object_score(
            scored,
            (
                drop_small(labels, item.rule(spec.objects).min_area)
                for item, labels in zip(scored, parted(spec), strict=True)
            ),
        )
        for words, spec in tried.items()
    }
    return tried[max(scores, key=lambda words: scores[words])], scores


def _parted(scored: Sequence[Scored], spec: StudentSpec) -> Iterator[NDArray[np.int32]]:
    core = spec.outputs.index("core")
    for item in scored:
        probability = item.probability.astype(np.float32)
        yield label_all(probability[0], probability[core], spec.threshold, item.rule(spec.objects))


def _object_score(scored: Sequence[Scored], found: Iterable[NDArray[np.int32]]) -> float:
    """TP / (TP + FP + FN) over all frames, of the objects found in each."""
    right = wrong = missed = 0
    for item, labels in zip(scored, found, strict=True):
        counts = match_objects(item.labels, labels)
        right, wrong, missed = right + counts.tp, wrong + counts.fp, missed + counts.fn
    return right / max(1, right + wrong + missed)
