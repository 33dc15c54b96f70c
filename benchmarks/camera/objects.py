"""What objects cost once the maps are there: labels, the table of measures, the tuple of records; beside a plain copy.

The maps are drawn: round nuclei in a regular field, each a little off its place. No network and no frame is needed.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import Objects
from runtime.objects.measure import objects_of
from runtime.records import Record
from runtime.segmentation.result import Segmentation

RULE = Objects(core_threshold=0.5, min_area=30, core_prominence=0.075, core_smoothing=1.6)  # of the bundled students
LARGEST_RADIUS = 14.0


@dataclass(frozen=True)
class ObjectsCost(Record):
    """Milliseconds for the objects of one square field, over the repeats.

    foreground : share of the pixels, 0 to 1; labels_ms, table_ms, tuple_ms : medians
    median_ms, least_ms : of all three together; copy_ms : median of copying the probability map
    """

    side: int
    nuclei: int
    threads: int
    foreground: float
    labels_ms: float
    table_ms: float
    tuple_ms: float
    median_ms: float
    least_ms: float
    copy_ms: float

    @property
    def ns_per_pixel(self) -> float:
        """Nanoseconds per pixel of the foreground: how it grows with the field."""
        return 1e6 * self.median_ms / (self.foreground * self.side**2)


def measure(
    side: int, nuclei: Sequence[int], threads: int, repeats: int, progress: Callable[[], None]
) -> Iterator[ObjectsCost]:
    """Time the objects of fields of side x side pixels with about so many nuclei each; progress : after each."""
    for count in nuclei:
        yield _measure(*draw_maps(side, count), threads, repeats)
        progress()


def draw_maps(side: int, nuclei: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probability and core, float32 (side, side) in [0, 1], of about so many round nuclei that hardly touch."""
    rng = np.random.default_rng(seed)
    cell = max(4, round(side / math.sqrt(nuclei)))
    radius = min(0.42 * cell, LARGEST_RADIUS)
    reach = math.ceil(radius) + 2
    offset = np.arange(-reach, reach + 1)
    distance = np.hypot(offset[:, None], offset[None])
    disc, centre = 1 / (1 + np.exp(1.5 * (distance - radius))), np.clip(1 - distance / radius, 0, 1)
    room = reach + cell  # around the field, cut off in the end
    probability, core = np.zeros((2, side + 2 * room, side + 2 * room), np.float32)
    for row in range(cell // 2, side, cell):
        for col in range(cell // 2, side, cell):
            top, left = np.array([row, col]) + room - reach + rng.integers(-cell // 16, cell // 16 + 1, 2)
            place = slice(top, top + len(offset)), slice(left, left + len(offset))
            np.maximum(probability[place], disc, out=probability[place])
            np.maximum(core[place], centre, out=core[place])
    return probability[room:-room, room:-room].copy(), core[room:-room, room:-room].copy()


def _measure(probability: NDArray[np.float32], core: NDArray[np.float32], threads: int, repeats: int) -> ObjectsCost:
    parts: list[tuple[float, ...]] = []
    found = 0
    for _ in range(repeats + 1):  # the first one is left out: it meets memory that was never touched
        moments = [time.perf_counter()]
        probability.copy()
        moments.append(time.perf_counter())
        result = Segmentation(probability, core, 0.5, RULE, threads=threads)
        result.labels()
        moments.append(time.perf_counter())
        table = result.table()
        moments.append(time.perf_counter())
        found = len(objects_of(table))
        moments.append(time.perf_counter())
        parts.append(tuple(after - before for before, after in pairwise(moments)))
    copies, labels_s, table_s, tuple_s = zip(*parts[1:], strict=True)
    together = [sum(part[1:]) for part in parts[1:]]
    return ObjectsCost(
        side=len(probability),
        nuclei=found,
        threads=threads,
        foreground=float((probability > 0.5).mean()),
        labels_ms=1e3 * median(labels_s),
        table_ms=1e3 * median(table_s),
        tuple_ms=1e3 * median(tuple_s),
        median_ms=1e3 * median(together),
        least_ms=1e3 * min(together),
        copy_ms=1e3 * median(copies),
    )
