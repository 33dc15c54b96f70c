"""What a segmentation's objects measure: one small record each, from labels and the frame. Needs numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MeasuredObject:
    """One object of a frame. Pixel (0, 0) is the top left one; a pixel's centre has whole coordinates.

    label : its number in labels()
    centroid : mean (row, column) of its pixels, in pixels
    area : number of its pixels
    bbox : (top, left, bottom, right) in pixels; bottom and right are the first row and column beyond it
    mean_intensity : mean of the frame's own values over its pixels; None when the frame is not at hand
    pixel_size_um : side of a pixel in micrometres; None when it is not known, as are then the values in micrometres
    """

    label: int
    centroid: tuple[float, float]
    area: int
    bbox: tuple[int, int, int, int]
    mean_intensity: float | None = None
    pixel_size_um: float | None = None

    @property
    def centroid_um(self) -> tuple[float, float] | None:
        """(row, column) in micrometres from the centre of pixel (0, 0)."""
        um = self.pixel_size_um
        return None if um is None else (self.centroid[0] * um, self.centroid[1] * um)

    @property
    def area_um2(self) -> float | None:
        """Area in square micrometres."""
        return None if self.pixel_size_um is None else self.area * self.pixel_size_um**2

    @property
    def bbox_um(self) -> tuple[float, float, float, float] | None:
        """(top, left, bottom, right) in micrometres from the frame's top left corner."""
        um = self.pixel_size_um
        if um is None:
            return None
        top, left, bottom, right = self.bbox
        return top * um, left * um, bottom * um, right * um


def measure_objects(
    labels: NDArray[np.int32], frame: NDArray[Any] | None = None, pixel_size_um: float | None = None
) -> tuple[MeasuredObject, ...]:
    """Measure the objects of a label image, in the order of their numbers.

    labels : int (H, W), 0 is background; numbers may have gaps
    frame : (H, W), whose intensities are averaged; InputError when its shape is another one
    """
    if frame is not None and frame.shape != labels.shape:
        msg = f"The frame has shape {frame.shape} and its labels {labels.shape}; give the frame they were made from."
        raise InputError(msg)
    pixels = np.flatnonzero(labels)
    if not pixels.size:
        return ()
    numbers = labels.ravel()[pixels]
    order = np.argsort(numbers, kind="stable")  # stable: each object's pixels stay in reading order
    pixels, numbers = pixels[order], numbers[order]
    starts = np.flatnonzero(np.diff(numbers, prepend=0))
    areas = np.diff(starts, append=numbers.size)
    rows, cols = np.divmod(pixels, labels.shape[1])
    means = [None] * len(starts) if frame is None else _mean(frame.ravel()[pixels], starts, areas).tolist()
    columns = (
        numbers[starts],
        _mean(rows, starts, areas),
        _mean(cols, starts, areas),
        areas,
        np.minimum.reduceat(rows, starts),
        np.minimum.reduceat(cols, starts),
        np.maximum.reduceat(rows, starts) + 1,
        np.maximum.reduceat(cols, starts) + 1,
    )
    table = zip(*(column.tolist() for column in columns), means, strict=True)
    return tuple(
        MeasuredObject(label, (row, col), area, (top, left, bottom, right), mean, pixel_size_um)
        for label, row, col, area, top, left, bottom, right, mean in table
    )


def _mean(values: NDArray[Any], starts: NDArray[np.intp], areas: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.add.reduceat(values.astype(np.float64), starts) / areas
