"""How much a figure changed between two runs, and between which bounds, from pairs of measurements.

Rounds are few (three to ten), so that a bootstrap of them alone would know too few values to be honest; images are
more. Both get Student's quantile times a standard error: of rounds the plain one, of images the bootstrap's (Efron
and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6), which also serves figures that are no mean, as
pooled AP is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.metrics import resamples

FEWEST = 2  # pairs: fewer say nothing about spread
POWER = 0.8  # how often a change must be found to be called visible

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairedChange:
    """An estimate, and the bounds that the truth lies below and above with `level` probability each.

    visible : how far beyond a limit a true change must lie to be found 8 times out of 10"""

    estimate: float
    low: float
    high: float
    visible: float
    pairs: int


def of_rounds(worse: Floats, better: Floats, level: float, *, relative: bool) -> PairedChange:
    """Mean change from `better` to `worse`, round by round; relative: as a share of the old figure (0.1 is 10 % more).

    worse, better : (rounds,) figures above 0, at least two; new and old
    level : probability of an error at either bound, e.g. 0.05"""
    differences = np.log(worse / better) if relative else worse - better
    count = len(differences)
    change = _bounded(float(differences.mean()), float(differences.std(ddof=1)) / count**0.5, count, level)
    if not relative:
        return change
    low, estimate, high, visible = (
        float(np.expm1(v)) for v in (change.low, change.estimate, change.high, change.visible)
    )
    return PairedChange(estimate, low, high, visible, count)


def of_images(statistic: Callable[[NDArray[np.int64]], Floats], count: int, level: float) -> PairedChange:
    """Change of a figure over the same images.

    statistic : indices of images, int64 (resamples, images), to the change of the figure over them, (resamples,)
    count : number of images, at least two"""
    estimate = float(statistic(np.arange(count)[None])[0])
    spread = float(np.concatenate([statistic(picks) for picks in resamples(count)]).std(ddof=1))
    return _bounded(estimate, spread * (count / (count - 1)) ** 0.5, count, level)


def widened(change: PairedChange, slower: float, old: float, *, relative: bool) -> PairedChange:
    """The same change, where the machine itself may have made nothing of it, or as much as it became slower.

    slower : share by which the machine became slower; old : the old figure"""

    def without(value: float) -> float:
        return (1 + value) / (1 + slower) - 1 if relative else value - slower * old

    low, high = min(change.low, without(change.low)), max(change.high, without(change.high))
    own = abs(slower) if relative else abs(slower) * old
    return PairedChange(change.estimate, low, high, change.visible + own, change.pairs)


def _bounded(estimate: float, error: float, count: int, level: float) -> PairedChange:
    from scipy.special import stdtrit

    bound = float(stdtrit(count - 1, 1 - level)) * error
    visible = bound + float(stdtrit(count - 1, POWER)) * error
    return PairedChange(estimate, estimate - bound, estimate + bound, visible, count)
