"""Frame in, segmentation out: what a host embeds.

with Segmenter.open("nuclei-fast-intel-int8") as segment:
    result = segment(frame)
    result.mask, result.labels(), result.objects()
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import backend as backends
from .artifact.artifact import open_artifact
from .artifact.probes import check_one
from .errors import EdgescopeError, InputError, enough_memory
from .execution import DEFAULT, Execution
from .frames.flags import PIXEL_SIZE
from .frames.scale import DiameterRequest
from .objects.rule import UNCHANGED, RuleChange
from .segmentation.path import FramePath
from .system.processor import usable_cores

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from numpy.typing import NDArray

    from .artifact.artifact import Artifact
    from .artifact.manifest import Manifest
    from .backend import Session
    from .frames.normalize import Frame, Limits
    from .frames.scale import Diameter, Scale
    from .segmentation.result import Segmentation

log = logging.getLogger(__name__)
MOST_THREADS = 4  # for labels and tables; more gain little, as the memory is shared
PROBE = "EDGESCOPE_PROBE"  # "off": no probe is replayed when an artefact is opened


def default_threads() -> int:
    """How many make labels and tables where nobody says."""
    return min(usable_cores(), MOST_THREADS)


class Segmenter:
    """An artefact, loaded into a backend. Calls from several threads wait for each other.

    diameter : of the objects, as it was given to open; see runtime.frames.scale
    requests : how many tiles of a frame run at once; 1 but for performance="throughput"
    threads : at most so many make labels and tables; None is what the process may use, up to 4
    """

    def __init__(
        self,
        manifest: Manifest,
        backend: str,
        session: Session,
        *,
        diameter: Diameter | None = None,
        change: RuleChange = UNCHANGED,
        threads: int | None = None,
    ) -> None:
        self.manifest = manifest
        self.change = change
        self.backend = backend
        self.diameter = DiameterRequest.of(diameter)
        self.description: Mapping[str, str] = dict(session.description)
        self.requests = backends.requests_of(session)
        self._session: Session | None = session
        self._free = threading.Semaphore(self.requests)
        self._closing = threading.Lock()
        self._warned = False
        self._path = FramePath.of(manifest, self.run_tile, self.requests, threads or default_threads())

    @classmethod
    def open(
        cls,
        path: str | Path,
        device: str | None = None,
        threads: int | None = None,
        *,
        backend: str | None = None,
        precision_hint: str | None = None,
        diameter: Diameter | None = None,
        performance: str = "latency",
        trust: str | Path | None = None,
        probe: bool = True,
        threshold: float | None = None,
        min_area: int | None = None,
        prominence: float | None = None,
    ) -> Segmenter:
        """Verify the artefact at `path` (folder or .zip) and load it.

        device : of the backend, e.g. "CPU", "GPU"; None is the CPU
        threads : at least 1; None leaves it to the backend, and up to 4 make labels and tables
        backend : exactly this one; None is the artefact's own, or the reference to check a bundle off its device
        precision_hint : in place of the manifest's, for backends that have one
        diameter : of the objects: pixels, or "8um" where the pixel size is known; "auto" (None) takes it from the pixel
            size, or sees it in the frame; "off" segments frames as they are. The frame is resized to the student's
            size of object, and the result is on the frame's own grid; see runtime.frames.scale
        performance : "throughput" runs several tiles of a frame at once, each on fewer cores: frames of many tiles get
            done sooner, a single tile later; for backends that can, which is OpenVINO
        trust : file with the public key that must have signed the artefact; see runtime.artifact.signature
        threshold, min_area, prominence : in place of the artefact's own; see runtime.objects.rule. `result.threshold`
            and `result.rule` say what was used
        probe : replay one of the artefact's probes, and refuse to open where the outcome is off: a file of another
            model, or a device that computes wrongly. It takes one tile's time; EDGESCOPE_PROBE=off switches it off.
            `description["probe"]` says what it showed. With a precision hint a miss is only warned of
        InputError when the artefact is damaged or cannot run here; EdgescopeError when loading or the probe fails.
        """
        artifact = open_artifact(Path(path), None if trust is None else Path(trust))
        execution = Execution(backend, device, threads, precision_hint, performance)
        change = RuleChange(threshold, min_area, prominence)
        return cls.of(artifact, execution, diameter=diameter, change=change, probe=probe)

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        execution: Execution = DEFAULT,
        *,
        diameter: Diameter | None = None,
        change: RuleChange = UNCHANGED,
        probe: bool = True,
    ) -> Segmenter:
        """Load an artefact that is already open; see Segmenter.open."""
        with enough_memory(f"to load the model of {artifact.path}"):
            name, session = backends.open_session(artifact, execution)
        segmenter = cls(artifact.manifest, name, session, diameter=diameter, change=change, threads=execution.threads)
        try:
            seen = segmenter._probe(artifact, execution) if probe and os.environ.get(PROBE) != "off" else "off"
        except BaseException:
            segmenter.close()
            raise
        segmenter.description = {**segmenter.description, "probe": seen}
        return segmenter

    def _probe(self, artifact: Artifact, execution: Execution) -> str:
        """What one probe shows, in words; EdgescopeError where it is off, and the tolerance is of this execution."""
        manifest = artifact.manifest
        channel = manifest.channels.index("foreground")
        opening = check_one(self._run_probe, artifact.probes(), manifest.tolerance, manifest.threshold, channel)
        if opening.misses:
            msg = (
                f"{artifact.path} does not reproduce its probe here: {'; '.join(opening.misses)}; do not use it here, "
                f"compile it again, or see `runtime verify` ({PROBE}=off opens it all the same)."
            )
            if execution.precision_hint is None:
                raise EdgescopeError(msg)
            log.warning("%s", msg)
        return str(opening)

    def _run_probe(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a tile; EdgescopeError where the payload is not of the manifest's shape."""
        expected = (1, len(self.manifest.channels), *self.manifest.tile)
        try:
            output = self.run_tile(tile)
        except EdgescopeError:
            raise
        except Exception as error:  # of the library, about shapes and layouts
            msg = f"The model does not take the manifest's tile {self.manifest.tile}: {error}"
            raise EdgescopeError(msg) from error
        if output.shape != expected:
            msg = f"The model gives {output.shape}, and the manifest says {expected}; compile the artefact again."
            raise EdgescopeError(msg)
        return output

    def __call__(
        self,
        frame: Frame,
        pixel_size_um: float | None = None,
        diameter: Diameter | None = None,
        *,
        scale: Scale | None = None,
        out: NDArray[np.float32] | None = None,
        threshold: float | None = None,
        min_area: int | None = None,
        prominence: float | None = None,
    ) -> Segmentation:
        """Segment one frame.

        frame : ndarray of shape (H, W), uint8, uint16 or float32, any size from 1x1 up; InputError when it is not
        pixel_size_um : of the frame, where it is known
        diameter : of this frame's objects, in place of what open was given; see there. InputError for one that cannot
            be used
        scale : of another frame's result: the first frame of a series decides for all of them
        out : where the maps are written, float32 (channels, H, W); None makes a new array
        threshold, min_area, prominence : of this frame, in place of what open was given; see there
        """
        request = self.diameter if diameter is None else DiameterRequest.of(diameter)
        change = RuleChange(threshold, min_area, prominence).over(self.change)
        result = self._path(frame, pixel_size_um, request, scale, out, change)
        if PIXEL_SIZE in result.frame_flags:
            self._warn_of_pixel_size(pixel_size_um)
        return result

    def scale_of(self, frame: Frame, pixel_size_um: float | None = None, diameter: Diameter | None = None) -> Scale:
        """What a frame would be resized by, and why; its arguments are those of a call."""
        return self._path.scale_of(
            frame, pixel_size_um, self.diameter if diameter is None else DiameterRequest.of(diameter)
        )

    def see(self, frame: Frame, limits: Limits) -> float | None:
        """The median diameter of a frame's objects in pixels; None where it cannot be seen.

        frame : ndarray of shape (H, W), uint8, uint16 or float32; limits : intensities that become 0 and 1
        """
        size = self.manifest.object_diameter
        seen = None if size is None else self._path.see(frame, limits, size)[0]
        return None if seen is None else seen.diameter_px

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

    def _warn_of_pixel_size(self, pixel_size_um: float | None) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "a pixel is %.4g um wide, and the student was made for %.4g um; resize the frame for good masks",
                pixel_size_um, self.manifest.pixel_size_um,
            )  # fmt: skip
