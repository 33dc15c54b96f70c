"""Axes: where a value lies between the ends of a chart, in percent, and which values to name along it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

STEPS = (1.0, 2.0, 5.0, 10.0)
MOST_TICKS = 6
MARGIN = 0.06  # of the axis, beyond the first and the last value


@dataclass(frozen=True)
class Tick:
    """A named place on an axis: percent from its start, and the value as text."""

    place: float
    text: str


@dataclass(frozen=True)
class ChartAxis:
    """From `low` to `high`; logarithmic for figures that differ by factors."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Percent from the axis's start, 0 to 100; what lies beyond an end is drawn at it."""
        low, high, value = (math.log(max(v, 1e-12)) if self.log else v for v in (self.low, self.high, value))
        return 100 * min(1.0, max(0.0, (value - low) / (high - low)))

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """Round values along the axis, at most seven."""
        values = _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)
        return tuple(Tick(self.place(value), f"{value:.6g}") for value in values)


def logarithmic(values: Iterable[float]) -> ChartAxis:
    """For values above 0, with a margin at either end; at least from a fifth below to a fifth above."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = min(positive) / 1.2, max(positive) * 1.2
    return ChartAxis(low, high, log=True)


def linear(values: Iterable[float], floor: float | None = None, ceiling: float | None = None) -> ChartAxis:
    """With a margin at either end, but not beyond floor and ceiling."""
    ends = list(values) or [0.0, 1.0]
    low, high = min(ends), max(ends)
    margin = MARGIN * (high - low) or 0.01 * abs(high) or 1.0
    low, high = low - margin, high + margin
    low = low if floor is None else max(floor, low)
    high = high if ceiling is None else min(ceiling, high)
    return ChartAxis(low, high) if high > low else ChartAxis(high - 1.0, high)


def from_zero(values: Iterable[float]) -> ChartAxis:
    """For lengths, which mean something only from 0 on."""
    return ChartAxis(0.0, max(values, default=0.0) * (1 + MARGIN) or 1.0)


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in STEPS if step * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 of every power of ten; 1 alone over many powers; plain steps where these are too few."""
    powers = [10.0**p for p in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        ticks = [step * power for power in powers for step in steps if low <= step * power <= high]
        if len(ticks) <= MOST_TICKS + 1:
            return ticks if len(ticks) >= 3 else _ticks(low, high)
    return ticks[:: math.ceil(len(ticks) / MOST_TICKS)]
