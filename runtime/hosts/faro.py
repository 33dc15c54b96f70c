"""FARO (feedback microscopy on pymmcore-plus): a segmentator, as faro.segmentation.base.Segmentator declares it.

SegmentationMethod("labels", FaroSegmentator("nuclei-fast-intel-int8"), use_channel=0, save_tracked=True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..segmenter import Segmenter

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ..frames.normalize import Frame


class FaroSegmentator:
    """Frames to label images. FARO calls it from several threads, which wait for each other."""

    def __init__(self, artifact: str | Path, pixel_size_um: float | None = None, **options: Any) -> None:
        """Open the artefact; options : of Segmenter.open. InputError when it is damaged or cannot run here."""
        self._segment = Segmenter.open(artifact, **options)
        self._pixel_size_um = pixel_size_um

    def segment(self, image: Frame) -> NDArray[np.int32]:
        """The labels of a frame (H, W): int32 (H, W), 0 is background; their maximum is the number of cells."""
        return self._segment(image, self._pixel_size_um).labels()

    def close(self) -> None:
        """Release the model."""
        self._segment.close()
