"""Scores of one job on held-out data: every metric of masks for every unit, an image or a block of one.

The mask threshold is chosen on the training images whose labels the student had, for every row alike: a student of
soft labels is calibrated otherwise than one of masks, and held-out data choose nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from distill import datasets
from runtime import metrics
from runtime.errors import InputError
from runtime.metrics import dice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from distill.config.sections import Config
    from distill.datasets import Sample

    Predict = Callable[[Sample], NDArray[np.float32]]

VALIDATION = "validation"
CHOSEN_ON = 32  # images: many times what one number needs
THRESHOLDS = tuple(float(value) for value in np.round(np.arange(0.3, 0.71, 0.05), 2))


@dataclass(frozen=True, eq=False)
class Held:
    """Data that nothing is trained or chosen on. labels : which objects they are scored for."""

    name: str
    labels: str
    samples: Sequence[Sample]


def held_out(config: Config) -> list[Held]:
    """The validation data, and the data of study.test; the latter whole, with the labels that they have."""
    wanted = config.data.labels
    validation = [sample for spec in config.data.validation for sample in datasets.open(spec, "val")]
    found = [Held(VALIDATION, wanted, validation)]
    for spec in config.study.test:
        samples = [*datasets.open(spec, "test")]
        if not samples or not samples[0].labels:
            msg = f"{spec} in study.test holds no labelled images; give others or leave it out."
            raise InputError(msg)
        labels = wanted if wanted in samples[0].labels else next(iter(samples[0].labels))
        found.append(Held(_free(spec.partition(":")[0], found), labels, samples))
    return found


def _free(name: str, found: Sequence[Held]) -> str:
    """A name that none of the others has: several sets may be of one reader."""
    taken = {held.name for held in found}
    return next(free for free in (name, *(f"{name}-{n}" for n in range(2, len(found) + 2))) if free not in taken)


def choose_threshold(predict: Predict, samples: Iterable[Sample], labels: str) -> float:
    """The threshold of the best mean Dice on the first 32 samples; the one nearest to one half of several."""
    scored = [(predict(sample), sample.labels[labels] > 0) for sample in islice(samples, CHOSEN_ON)]
    means = {t: np.mean([dice(probability > t, truth) for probability, truth in scored]) for t in THRESHOLDS}
    return max(means, key=lambda t: (means[t], -abs(t - 0.5)))


def studied() -> tuple[str, ...]:
    """The metrics of a study, the headline first: those of masks whose larger value is the better one.

    A study trains foregrounds and separates no objects.
    """
    kept = [name for name in metrics.names() if not (one := metrics.load(name)).objects and one.better == "higher"]
    return tuple(sorted(kept, key=lambda name: (name not in metrics.HEADLINES, name)))


def score(predict: Predict, held: Held, threshold: float, block: int) -> dict[str, Any]:
    """Every metric of every unit, JSON-ready; predict gives a probability (H, W) of a sample."""
    chosen = [metrics.load(name) for name in studied()]
    units: list[dict[str, Any]] = []
    for sample in held.samples:
        mask, truth = predict(sample) > threshold, sample.labels[held.labels] > 0
        for name, part in blocks(truth.shape, block):
            image = metrics.Comparison(mask[part].astype(np.uint8), truth[part].astype(np.uint8))
            values = {metric.name: metric.of_image(metric.parts(image)) for metric in chosen}
            units.append({"unit": f"{sample.name}{name}", **values})
    return {"labels": held.labels, "units": units}


def blocks(shape: tuple[int, ...], side: int) -> list[tuple[str, tuple[slice, slice]]]:
    """Blocks of nearly equal size that cover an image, at most about `side` pixels a side; 0 is the whole image."""
    if not side:
        return [("", (slice(None), slice(None)))]
    edges = [np.linspace(0, size, max(1, round(size / side)) + 1).round().astype(int).tolist() for size in shape]
    return [
        (f"/{top}-{left}", (slice(top, bottom), slice(left, right)))
        for top, bottom in zip(edges[0][:-1], edges[0][1:], strict=True)
        for left, right in zip(edges[1][:-1], edges[1][1:], strict=True)
    ]
