"""What a live segmenter hands out: results, events and counters. Times are nanoseconds of one clock, `now_ns`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import EdgescopeError
from ..frames.scale import LARGEST_FACTOR
from ..objects.measure import TABLE, measure_table
from ..objects.rule import UNCHANGED, RuleChange
from ..segmentation.result import Segmentation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..artifact.manifest import Manifest
    from ..frames.normalize import Frame

Until: TypeAlias = Literal["mask", "labels", "objects"]
Kind: TypeAlias = Literal["restart", "fallback", "gave_up"]

# Monotonic, finer than a microsecond, and the same in every process of a machine on Linux, macOS and Windows.
now_ns = time.perf_counter_ns


class RingOverflow(EdgescopeError):
    """Policy "stop": a frame came while the ring was full, and the acquisition is over."""


class RingTimeout(EdgescopeError):
    """Policy "block": the ring stayed full for all of block_timeout_s. The frame was not taken; submit it again."""


@dataclass(frozen=True)
class LiveEvent:
    """Something the operator should know. kind: "restart" of the worker, "fallback" to a backend, or "gave_up"."""

    kind: Kind
    message: str
    backend: str


@dataclass(frozen=True)
class Counters:
    """A snapshot; `seen == done + dropped + failed + pending` holds in every one.

    seen : frames that submit took
    done : segmented and handed over, or going to be; in time or late
    dropped : replaced by a newer frame or, with policy "latest", by a newer result, past their deadline with
        late="skip", or left over by abort()
    failed : frames that came back with an error instead of a segmentation
    pending : waiting or being segmented now
    late : finished after their deadline; such a frame is also among `done`, or with late="skip" among `dropped`
    restarts : workers that were started because one had died, hung or failed
    """

    seen: int = 0
    done: int = 0
    dropped: int = 0
    failed: int = 0
    pending: int = 0
    late: int = 0
    restarts: int = 0


@dataclass(frozen=True, eq=False)
class LiveSegmentation(Segmentation):
    """A segmentation with what the worker has computed of it, so that labels(), objects() and table() take no time.

    labelled : the labels, int32 (H, W), and their number; None with until="mask"
    measured : the table of the objects, with intensities of the frame; None but with until="objects"
    ids : int64 (objects,), with track=...: numbers that stay with objects from frame to frame; that of label k at k - 1
    """

    labelled: tuple[NDArray[np.int32], int] | None = field(default=None, repr=False)
    measured: NDArray[np.void] | None = field(default=None, repr=False)
    ids: NDArray[np.int64] | None = field(default=None, repr=False)

    def labels(self) -> NDArray[np.int32]:
        """See Segmentation."""
        return super().labels() if self.labelled is None else self.labelled[0]

    def table(self, frame: Frame | None = None) -> NDArray[np.void]:
        """See Segmentation; the frame is needed with until="objects" only to measure in another one."""
        if self.labelled is None:
            return super().table(frame)
        if frame is None and self.measured is not None:
            return self.measured
        labels, count = self.labelled
        return measure_table(labels, frame, self.pixel_size_um, self.probability, count)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        arrays = [self.probability, self.core, self.labelled and self.labelled[0], self.measured, self.ids]
        return sum(array.nbytes for array in arrays if array is not None)


@dataclass(frozen=True)
class ResultLayout:
    """Where a frame's results are in their slot, in bytes: maps, then labels, then the table, then ids."""

    until: Until
    channels: int
    min_area: int

    def most_objects(self, pixels: int) -> int:
        """More objects than that, none of them smaller than min_area, do not fit a frame."""
        return pixels // max(1, self.min_area) + 1

    def labels(self, pixels: int) -> int:
        """Where the labels begin; also where the maps end."""
        return self.channels * pixels * 4

    def table(self, pixels: int) -> int:
        """Where the table begins."""
        return self.labels(pixels) + (0 if self.until == "mask" else pixels * 4)

    def ids(self, pixels: int) -> int:
        """Where the ids begin."""
        end = self.table(pixels) + (self.most_objects(pixels) * TABLE.itemsize if self.until == "objects" else 0)
        return -(-end // 8) * 8

    def size(self, pixels: int) -> int:
        """Bytes of all."""
        return self.ids(pixels) + (0 if self.until == "mask" else self.most_objects(pixels) * 8)

    @classmethod
    def of(cls, until: Until, manifest: Manifest, change: RuleChange = UNCHANGED) -> ResultLayout:
        """The layout for an artefact whose rule is changed so."""
        smallest = change.scaled(manifest.objects, LARGEST_FACTOR).min_area  # where a frame was enlarged
        return cls(until, len(manifest.channels), smallest)


@dataclass(frozen=True, eq=False)
class LiveResult:
    """One frame's result, or, with `error`, the frame that was lost and why.

    index : as submit returned it; results come in its order, and gaps are dropped frames
    metadata : the very object that was given to submit
    segmentation : with what the worker has computed of it; None when `error` is set
    submitted_ns, started_ns, finished_ns, delivered_ns : the frame's way, by the clock `now_ns`; started_ns and
        finished_ns were taken in the worker, and started_ns is None for a frame that no worker began
    late : finished after its deadline
    flags : what is odd about the frame, see runtime.frames.flags
    backend : what segmented it, or was to
    dropped_before : frames that were dropped between the previous result that was handed over and this one
    """

    index: int
    metadata: Any
    segmentation: LiveSegmentation | None
    submitted_ns: int
    started_ns: int | None
    finished_ns: int
    delivered_ns: int
    late: bool
    flags: tuple[str, ...]
    error: str | None
    backend: str
    dropped_before: int = 0

    @property
    def latency_ms(self) -> float:
        """Milliseconds from submit to delivery."""
        return (self.delivered_ns - self.submitted_ns) / 1e6
