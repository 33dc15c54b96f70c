"""THE way of a frame to its segmentation: deployment, training and calibration all take it.

The frame's intensity range and its flags; its scale; the maps, by tiles; and back to the frame's own grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import kernel
from ..frames import flags as quality
from ..frames.normalize import check_frame, count_levels, intensities_of, intensity_range, without_blank
from ..frames.resize import resize
from ..frames.scale import (
    AUTO,
    SEEN,
    DiameterRequest,
    Scale,
    check_pixel_size,
    factor_for,
    is_far,
    known_scale,
    resized_shape,
)
from ..frames.tiling import segment_tiles
from ..objects.instances import smooth_core
from ..objects.rule import UNCHANGED
from .result import Segmentation
from .seeing import Look, Seen, see

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ..artifact.manifest import Intensity, Manifest, Normalization, Objects, ObjectSize
    from ..frames.normalize import Frame, Limits
    from ..objects.rule import RuleChange


@dataclass(frozen=True, eq=False)
class FramePath:
    """What a student needs a frame to be, and what its outputs mean.

    tile : (h, w) in pixels that run_tile takes; overlap : least one of neighbouring tiles, in pixels
    outputs : meaning of the maps, "foreground" among them
    threshold, objects : how a mask and objects are made of them
    object_diameter, pixel_size_um : what the student was made for; None where it does not say
    intensity : what its frames looked like, for the flags
    run_tile : float32 (1, 1, h, w) in [0, 1] to float32 (1, outputs, h, w)
    finds_cells : whether it was scored on whole cells
    at_once : how many tiles run at the same time; threads : at most so many make labels and tables
    """

    normalization: Normalization
    tile: tuple[int, int]
    overlap: int
    outputs: tuple[str, ...]
    threshold: float
    objects: Objects
    object_diameter: ObjectSize | None
    pixel_size_um: float | None
    intensity: Intensity | None
    run_tile: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    finds_cells: bool = False
    at_once: int = 1
    threads: int = 1

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        run_tile: Callable[[NDArray[np.float32]], NDArray[np.float32]],
        at_once: int = 1,
        threads: int = 1,
    ) -> FramePath:
        """The path that an artefact's manifest describes."""
        return cls(
            manifest.normalization,
            manifest.tile,
            manifest.overlap,
            manifest.channels,
            manifest.threshold,
            manifest.objects,
            manifest.object_diameter,
            manifest.pixel_size_um,
            manifest.intensity,
            run_tile,
            manifest.finds_cells,
            at_once,
            threads,
        )

    def __call__(
        self,
        frame: Frame,
        pixel_size_um: float | None = None,
        request: DiameterRequest = AUTO,
        scale: Scale | None = None,
        out: NDArray[np.float32] | None = None,
        change: RuleChange = UNCHANGED,
    ) -> Segmentation:
        """Segment a frame; see runtime.Segmenter.__call__.

        scale : in place of what the request asks for; change : of the rule for masks and objects
        """
        check_frame(frame)
        check_pixel_size(pixel_size_um)
        counts = count_levels(frame) if frame.dtype.kind == "u" else None
        intensities = intensities_of(frame, self.normalization, counts)
        limits = intensities.range
        more: tuple[str, ...] = ()
        if scale is None:
            scale, more = self._scale(frame, limits, pixel_size_um, request)
        flags = quality.flags(frame, counts, intensities, self.intensity, scale.factor)
        if scale.factor == 1.0:
            maps = self._maps(frame, limits, out)
        else:
            maps, more = self._resized(frame, limits, scale.factor, out), (*more, quality.RESIZED)
        return Segmentation(
            probability=maps[self.outputs.index("foreground")],
            core=maps[self.outputs.index("core")] if "core" in self.outputs else None,
            threshold=change.cut(self.threshold),
            rule=change.scaled(self.objects, scale.factor),
            pixel_size_um=pixel_size_um,
            frame_flags=(*flags, *more),
            frame=frame,
            scale=scale,
            object_diameter=self.object_diameter,
            finds_cells=self.finds_cells,
            threads=self.threads,
        )

    def scale_of(self, frame: Frame, pixel_size_um: float | None, request: DiameterRequest) -> Scale:
        """What a frame would be resized by, and why; see runtime.Segmenter.scale_of."""
        check_frame(frame)
        check_pixel_size(pixel_size_um)
        return self._scale(frame, intensity_range(frame, self.normalization), pixel_size_um, request)[0]

    def _scale(
        self, frame: Frame, limits: Limits, pixel_size_um: float | None, request: DiameterRequest
    ) -> tuple[Scale, tuple[str, ...]]:
        """What to resize a frame by, and the flags that go with it."""
        scale = known_scale(request, pixel_size_um, self.object_diameter, self.pixel_size_um)
        if scale is None:
            return self._seen(frame, limits)
        if scale.factor == 1.0 and is_far(pixel_size_um, self.pixel_size_um):
            return scale, (quality.PIXEL_SIZE,)
        return scale, ()

    def _seen(self, frame: Frame, limits: Limits) -> tuple[Scale, tuple[str, ...]]:
        size = self.object_diameter
        assert size is not None  # or known_scale would have known
        seen, is_anything = self.see(frame, limits, size)
        if seen is not None:
            return Scale(factor_for(seen.diameter_px, size), seen.diameter_px, SEEN), ()
        return Scale(1.0, None, "unseen"), (quality.SCALE_UNSEEN,) if is_anything else ()

    def see(self, frame: Frame, limits: Limits, size: ObjectSize) -> tuple[Seen | None, bool]:
        """The size of a frame's objects, where it can be seen, and whether there is any object; see seeing.see."""
        look = Look(
            maps=lambda image: self._maps(image, limits, overlap=0),
            tile=self.tile,
            foreground=self.outputs.index("foreground"),
            core=self.outputs.index("core") if "core" in self.outputs else None,
            threshold=self.threshold,
            rule=self.objects,
            size=size,
        )
        return see(without_blank(frame, limits), limits, look)

    def _maps(
        self,
        frame: NDArray[Any],
        limits: Limits,
        out: NDArray[np.float32] | None = None,
        overlap: int | None = None,
    ) -> NDArray[np.float32]:
        return segment_tiles(
            frame,
            self.normalization,
            self.tile,
            self.overlap if overlap is None else overlap,
            len(self.outputs),
            self.run_tile,
            limits=limits,
            out=out,
            at_once=self.at_once,
        )

    def _resized(
        self, frame: Frame, limits: Limits, factor: float, out: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """The maps of the frame at another size, back on its own grid."""
        shape = (frame.shape[0], frame.shape[1])
        maps = self._maps(resize(without_blank(frame, limits), resized_shape(shape, factor)), limits)
        if "core" in self.outputs:
            smooth_core(maps[self.outputs.index("core")], self.objects, factor)
        result = np.empty((len(maps), *frame.shape), np.float32) if out is None else out
        for channel, one in enumerate(maps):
            result[channel] = resize(one, shape)
        kernel.clip(result)  # the weights of an interpolation sum to 1 only up to rounding
        return result
