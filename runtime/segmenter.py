"""Frame in, segmentation out: what a host embeds.

with Segmenter.open("nuclei-fast-intel-int8") as segment:
    result = segment(frame)
    result.mask, result.labels(), result.objects()
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import backend as backends
from .artifact.artifact import open_artifact
from .errors import EdgescopeError, InputError
from .execution import DEFAULT, Execution
from .frames import flags as quality
from .frames import pixel_size
from .frames.normalize import check_frame, count_levels, intensities_of
from .frames.resize import resize
from .frames.tiling import segment_tiles
from .objects.instances import label_and_count
from .objects.measure import measure_table, objects_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from numpy.typing import NDArray

    from .artifact.artifact import Artifact
    from .artifact.manifest import Manifest, Objects
    from .backend import Session
    from .frames.normalize import Frame, Limits
    from .frames.pixel_size import Rescale
    from .objects.measure import MeasuredObject

log = logging.getLogger(__name__)


class Segmenter:
    """An artefact, loaded into a backend. Calls from several threads wait for each other.

    requests : how many tiles of a frame run at once; 1 but for performance="throughput"
    """

    def __init__(self, manifest: Manifest, backend: str, session: Session, *, rescale: Rescale = "auto") -> None:
        self.manifest = manifest
        self.backend = backend
        self.rescale: Rescale = rescale
        self.description: Mapping[str, str] = dict(session.description)
        self.requests = backends.requests_of(session)
        self._session: Session | None = session
        self._free = threading.Semaphore(self.requests)
        self._closing = threading.Lock()
        self._warned = False

    @classmethod
    def open(
        cls,
        path: str | Path,
        device: str | None = None,
        threads: int | None = None,
        *,
        backend: str | None = None,
        precision_hint: str | None = None,
        rescale: Rescale = "auto",
        performance: str = "latency",
        trust: str | Path | None = None,
    ) -> Segmenter:
        """Verify the artefact at `path` (folder or .zip) and load it.

        device : of the backend, e.g. "CPU", "GPU"; None is the CPU
        threads : at least 1; None leaves it to the backend
        backend : exactly this one; None is the artefact's own, or the reference to check a bundle off its device
        precision_hint : in place of the manifest's, for backends that have one
        rescale : segment frames at the student's pixel size, where that and the frame's are known, and return the
            result on the frame's own grid: "auto" where they differ by more than a quarter, True wherever they differ,
            False never; see runtime.frames.pixel_size
        performance : "throughput" runs several tiles of a frame at once, each on fewer cores: frames of many tiles get
            done sooner, a single tile later; for backends that can, which is OpenVINO
        trust : file with the public key that must have signed the artefact; see runtime.artifact.signature
        InputError when the artefact is damaged or cannot run here; EdgescopeError when loading fails.
        """
        artifact = open_artifact(Path(path), None if trust is None else Path(trust))
        return cls.of(artifact, Execution(backend, device, threads, precision_hint, performance), rescale=rescale)

    @classmethod
    def of(cls, artifact: Artifact, execution: Execution = DEFAULT, *, rescale: Rescale = "auto") -> Segmenter:
        """Load an artefact that is already open; see Segmenter.open."""
        name, session = backends.open_session(artifact, execution)
        return cls(artifact.manifest, name, session, rescale=rescale)

    def __call__(
        self, frame: Frame, pixel_size_um: float | None = None, *, out: NDArray[np.float32] | None = None
    ) -> Segmentation:
        """Segment one frame.

        frame : ndarray of shape (H, W), uint8, uint16 or float32, any size from 1x1 up; InputError when it is not
        pixel_size_um : handed on to the result. Where it is not the student's, the frame is rescaled (see open); one
            that is far from it, and not rescaled, is warned of, once
        out : where the maps are written, float32 (channels, H, W); None makes a new array
        """
        check_frame(frame)
        pixel_size.check(pixel_size_um)
        manifest = self.manifest
        counts = count_levels(frame) if frame.dtype.kind == "u" else None
        seen = intensities_of(frame, manifest.normalization, counts)
        factor = pixel_size.factor(pixel_size_um, manifest.pixel_size_um, self.rescale)
        flags = quality.flags(frame, counts, seen, manifest.intensity, factor)
        if factor != 1.0:
            maps, flags = self._rescaled(frame, factor, out), (*flags, quality.RESCALED)
        else:
            maps = self._maps(frame, seen.range, out)
            if pixel_size.is_far(pixel_size_um, manifest.pixel_size_um):
                flags = (*flags, quality.PIXEL_SIZE)
                self._warn_of_pixel_size(pixel_size_um)
        channels = manifest.channels
        return Segmentation(
            probability=maps[channels.index("foreground")],
            core=maps[channels.index("core")] if "core" in channels else None,
            threshold=manifest.threshold,
            rule=manifest.objects,
            pixel_size_um=pixel_size_um,
            flags=flags,
            frame=frame,
        )

    def run_tile(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the bare model: float32 (1, 1, h, w) in [0, 1], the manifest's tile -> float32 (1, C, h, w)."""
        due = (1, 1, *self.manifest.tile)
        if tile.shape != due or tile.dtype != np.float32:
            msg = f"The model takes a tile float32 {due}, not {tile.dtype} {tile.shape}."
            raise InputError(msg)
        with self._free:
            session = self._session
            if session is None:
                msg = "The segmenter is closed; open it again with Segmenter.open."
                raise EdgescopeError(msg)
            return session.run(np.ascontiguousarray(tile))

    def close(self) -> None:
        """Release the model. Calling it again does nothing; segmenting afterwards is an EdgescopeError."""
        with self._closing:
            session, self._session = self._session, None  # first, so that no more tiles begin
            for _ in range(self.requests):  # those that run, run to their end
                self._free.acquire()
            try:
                if session is not None:
                    session.close()
            finally:
                self._free.release(self.requests)

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _maps(self, frame: Frame, limits: Limits | None, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        how, channels = self.manifest.normalization, len(self.manifest.channels)
        tile, overlap = self.manifest.tile, self.manifest.overlap
        at_once = self.requests
        return segment_tiles(
            frame, how, tile, overlap, channels, self.run_tile, limits=limits, out=out, at_once=at_once
        )

    def _rescaled(self, frame: Frame, factor: float, out: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Segment the frame as a camera with the student's pixels would have taken it, and go back to its own grid."""
        height, width = (max(1, round(side * factor)) for side in frame.shape)
        maps = self._maps(resize(frame, (height, width)), None)
        result = np.empty((len(maps), *frame.shape), np.float32) if out is None else out
        for channel, one in enumerate(maps):
            result[channel] = resize(one, frame.shape)
        return result

    def _warn_of_pixel_size(self, pixel_size_um: float | None) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "a pixel is %.4g um wide, and the student was made for %.4g um; rescale the frame for good masks",
                pixel_size_um, self.manifest.pixel_size_um,
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a student sees in a frame.

    probability, core : float32 (H, W) in [0, 1]; core may be None
    threshold, rule : how mask and labels() are made of them, from the manifest
    flags : what is odd about the frame, for example "saturated"; see runtime.frames.flags
    frame : the frame itself, not a copy, for the intensities in objects(); None where it was not kept
    """

    probability: NDArray[np.float32]
    core: NDArray[np.float32] | None
    threshold: float
    rule: Objects
    pixel_size_um: float | None = None
    flags: tuple[str, ...] = ()
    frame: Frame | None = field(default=None, repr=False)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool (H, W): probability > threshold."""
        return self.probability > self.threshold

    def labels(self) -> NDArray[np.int32]:
        """int32 (H, W): 0 is background, objects are 1, 2, ...; computed once, by label_objects."""
        return self._labelled[0]

    def objects(self, frame: Frame | None = None) -> tuple[MeasuredObject, ...]:
        """Place, size, intensities and shape of each object, in the order of labels(); see MeasuredObject.

        frame : where the intensities are taken from, in place of the one that was segmented. Give it when that one
            was not kept, or has been overwritten since, as cameras do with their buffers; without any, the
            intensities are None. InputError when its shape is another one.
        """
        return objects_of(self.table(frame))

    def table(self, frame: Frame | None = None) -> NDArray[np.void]:
        """objects() as one numpy structured array, whose columns are runtime.objects.measure.TABLE.

        Its columns are arrays: `table["area_px"]`. What is None in objects() is NaN here.
        """
        frame = self.frame if frame is None else frame
        labels, count = self._labelled
        return measure_table(labels, frame, self.pixel_size_um, self.probability, count)

    @cached_property
    def _labelled(self) -> tuple[NDArray[np.int32], int]:
        return label_and_count(self.probability, self.core, self.threshold, self.rule)
