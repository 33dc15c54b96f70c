"""Frame in, segmentation out: what a host embeds.

with Segmenter.open("nuclei-mobilenetv3-intel-int8") as segment:
    result = segment(frame)
    result.mask, result.labels()
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import backend as backends
from .artifact import open_artifact
from .errors import EdgescopeError, InputError
from .instances import label_objects
from .tiling import segment_tiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from numpy.typing import NDArray

    from .artifact import Artifact
    from .backend import Session
    from .manifest import Manifest, Objects
    from .normalize import Frame

log = logging.getLogger(__name__)


class Segmenter:
    """An artefact, loaded into a backend. Calls from several threads wait for each other."""

    def __init__(self, manifest: Manifest, backend: str, session: Session) -> None:
        self.manifest = manifest
        self.backend = backend
        self.description: Mapping[str, str] = dict(session.description)
        self._session: Session | None = session
        self._lock = threading.Lock()
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
    ) -> Segmenter:
        """Verify the artefact at `path` (folder or .zip) and load it.

        device : of the backend, e.g. "CPU", "GPU"; None is the CPU
        threads : at least 1; None leaves it to the backend
        backend : exactly this one; None is the artefact's own, or onnxruntime to check a bundle off its device
        precision_hint : in place of the manifest's, for backends that have one
        InputError when the artefact is damaged or cannot run here; EdgescopeError when loading fails.
        """
        return cls.of(open_artifact(Path(path)), device, threads, backend=backend, precision_hint=precision_hint)

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        device: str | None = None,
        threads: int | None = None,
        *,
        backend: str | None = None,
        precision_hint: str | None = None,
    ) -> Segmenter:
        """Load an artefact that is already open; see Segmenter.open."""
        if threads is not None and threads < 1:
            msg = f"Threads is {threads}; it must be at least 1, or left out."
            raise InputError(msg)
        chosen = backends.choose(artifact.manifest, backend)
        session = chosen.open(artifact, device, threads, precision_hint)
        return cls(artifact.manifest, chosen.name, session)

    def __call__(self, frame: Frame, pixel_size_um: float | None = None) -> Segmentation:
        """Segment one frame.

        frame : ndarray of shape (H, W), uint8, uint16 or float32, any size from 1x1 up; InputError when it is not
        pixel_size_um : handed on to the result; one far from the student's is warned of, once
        """
        self._compare_pixel_size(pixel_size_um)
        how, channels = self.manifest.normalization, self.manifest.channels
        maps = segment_tiles(frame, how, self.manifest.tile, self.manifest.overlap, len(channels), self.run_tile)
        return Segmentation(
            probability=maps[channels.index("foreground")],
            core=maps[channels.index("core")] if "core" in channels else None,
            threshold=self.manifest.threshold,
            objects=self.manifest.objects,
            pixel_size_um=pixel_size_um,
        )

    def run_tile(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the bare model: float32 (1, 1, h, w) in [0, 1], the manifest's tile -> float32 (1, C, h, w)."""
        due = (1, 1, *self.manifest.tile)
        if tile.shape != due or tile.dtype != np.float32:
            msg = f"The model takes a tile float32 {due}, not {tile.dtype} {tile.shape}."
            raise InputError(msg)
        with self._lock:
            if self._session is None:
                msg = "The segmenter is closed; open it again with Segmenter.open."
                raise EdgescopeError(msg)
            return self._session.run(np.ascontiguousarray(tile))

    def close(self) -> None:
        """Release the model. Calling it again does nothing; segmenting afterwards is an EdgescopeError."""
        with self._lock:
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _compare_pixel_size(self, pixel_size_um: float | None) -> None:
        if pixel_size_um is None:
            return
        if not (math.isfinite(pixel_size_um) and pixel_size_um > 0):
            msg = f"The pixel size is {pixel_size_um} um; it must be over 0, or None when it is not known."
            raise InputError(msg)
        made_for = self.manifest.pixel_size_um
        if made_for is not None and not 0.5 <= pixel_size_um / made_for <= 2 and not self._warned:
            self._warned = True
            log.warning(
                "a pixel is %.4g um wide, and the student was made for %.4g um; rescale the frame for good masks",
                pixel_size_um, made_for,
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a student sees in a frame. probability and core are float32 (H, W) in [0, 1]; core may be None."""

    probability: NDArray[np.float32]
    core: NDArray[np.float32] | None
    threshold: float
    objects: Objects
    pixel_size_um: float | None = None

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool (H, W): probability > threshold."""
        return self.probability > self.threshold

    def labels(self) -> NDArray[np.int32]:
        """int32 (H, W): 0 is background, objects are 1, 2, ...; computed once, by label_objects."""
        return self._labels

    @cached_property
    def _labels(self) -> NDArray[np.int32]:
        return label_objects(self.probability, self.core, self.threshold, self.objects)
