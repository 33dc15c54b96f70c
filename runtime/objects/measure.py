"""What a segmentation's objects measure: one table, and one small record for each object, from labels and the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import kernel
from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The columns of a table: what the kernel calls them, their types, and the power of a micrometre in them.
COLUMNS = (
    ("label", "label", np.int64),
    ("centroid_row_px", "row", np.float64),
    ("centroid_col_px", "col", np.float64),
    ("area_px", "area", np.int64),
    ("bbox_top_px", "top", np.int32),
    ("bbox_left_px", "left", np.int32),
    ("bbox_bottom_px", "bottom", np.int32),
    ("bbox_right_px", "right", np.int32),
    ("touches_border", "touches_border", np.bool_),
    ("mean_intensity", "mean_intensity", np.float64),
    ("min_intensity", "min_intensity", np.float64),
    ("max_intensity", "max_intensity", np.float64),
    ("sd_intensity", "sd_intensity", np.float64),
    ("mean_probability", "mean_probability", np.float64),
    ("perimeter_px", "perimeter", np.float64),
    ("major_axis_px", "major_axis", np.float64),
    ("minor_axis_px", "minor_axis", np.float64),
    ("orientation_rad", "orientation", np.float64),
    ("eccentricity", "eccentricity", np.float64),
    ("solidity", "solidity", np.float64),
)
MICROMETRES = (
    *((f"{name}_um", f"{name}_px", 1) for name in ("centroid_row", "centroid_col")),
    ("area_um2", "area_px", 2),
    *((f"bbox_{side}_um", f"bbox_{side}_px", 1) for side in ("top", "left", "bottom", "right")),
    *((f"{name}_um", f"{name}_px", 1) for name in ("perimeter", "major_axis", "minor_axis")),
)
TABLE = np.dtype(
    [
        *((name, dtype) for name, _, dtype in COLUMNS),
        ("pixel_size_um", np.float64),
        *((name, np.float64) for name, _, _ in MICROMETRES),
    ]
)


class MeasuredObject(NamedTuple):
    """One object of a frame. Pixel (0, 0) is the top left one; a pixel's centre has whole coordinates.

    label : its number in labels()
    centroid : mean (row, column) of its pixels, in pixels
    area : number of its pixels
    bbox : (top, left, bottom, right) in pixels; bottom and right are the first row and column beyond it
    mean_intensity, min_intensity, max_intensity, sd_intensity : of the frame's own values over its pixels; None when
        the frame is not at hand
    pixel_size_um : side of a pixel in micrometres; None when it is not known, as are then the values in micrometres
    mean_probability : of its pixels, to sort by; None without a probability map
    perimeter : length of the line through the centres of its border pixels, in pixels
    major_axis, minor_axis : of the ellipse with the same second moments, in pixels
    orientation : angle between the axis of the rows and the major axis, -pi/2 to pi/2
    eccentricity : of that ellipse; 0 is a circle
    solidity : its share of its convex hull
    touches_border : whether one of its pixels is at the frame's edge
    """

    label: int
    centroid: tuple[float, float]
    area: int
    bbox: tuple[int, int, int, int]
    mean_intensity: float | None = None
    pixel_size_um: float | None = None
    min_intensity: float | None = None
    max_intensity: float | None = None
    sd_intensity: float | None = None
    mean_probability: float | None = None
    perimeter: float = 0.0
    major_axis: float = 0.0
    minor_axis: float = 0.0
    orientation: float = 0.0
    eccentricity: float = 0.0
    solidity: float = 1.0
    touches_border: bool = False

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


def measure_table(
    labels: NDArray[Any],
    frame: NDArray[Any] | None = None,
    pixel_size_um: float | None = None,
    probability: NDArray[np.float32] | None = None,
    count: int | None = None,
    threads: int = 1,
) -> NDArray[np.void]:
    """Measure the objects of a label image: a row of TABLE for each, in the order of their numbers.

    labels : int (H, W), 0 is background; numbers may have gaps
    frame : (H, W), uint8, uint16 or float32, for the intensities; probability : float32 (H, W)
    count : where it is known that the labels are 0 to count, int32
    threads : at most so many work at the same time
    What is not known is NaN: intensities without a frame, micrometres without a pixel size.
    The definitions are those of skimage.measure.regionprops. InputError for an image of another shape or type.
    """
    for name, image in (("frame", frame), ("probability map", probability)):
        if image is not None and image.shape != labels.shape:
            msg = f"The {name} has shape {image.shape} and its labels {labels.shape}; both come from the same frame."
            raise InputError(msg)
    numbered, numbers = _closed_up(labels) if count is None else (labels, np.arange(1, count + 1))
    measured = kernel.measure(numbered, len(numbers), frame, probability, threads)
    measured["label"] = numbers
    measured = measured[measured["area"] > 0]
    table = np.empty(len(measured), TABLE)
    for name, ours, _ in COLUMNS:
        table[name] = measured[ours]
    um = np.nan if pixel_size_um is None else pixel_size_um
    table["pixel_size_um"] = um
    for name, pixels, power in MICROMETRES:
        table[name] = table[pixels] * um**power
    return table


def _closed_up(labels: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The labels as int32 (H, W) of at most as many numbers as there are pixels, and what each of them stands for."""
    if not labels.size:
        return labels.astype(np.int32), np.zeros(0, np.int64)
    least, most = int(labels.min()), int(labels.max())
    if least < 0:
        msg = f"The labels go down to {least}; objects have numbers over 0, and 0 is background."
        raise InputError(msg)
    if most <= labels.size:
        return labels.astype(np.int32, copy=False), np.arange(1, most + 1)
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    return np.where(labels > 0, np.searchsorted(numbers, labels) + 1, 0).astype(np.int32), numbers


def objects_of(table: NDArray[np.void]) -> tuple[MeasuredObject, ...]:
    """The rows of a measure_table as records."""
    if not len(table):
        return ()

    def column(name: str) -> list[Any]:
        values = table[name]
        is_known = values.dtype.kind != "f" or not np.isnan(values[0])  # of one object as of all
        return values.tolist() if is_known else [None] * len(values)

    centroids = zip(column("centroid_row_px"), column("centroid_col_px"), strict=True)
    boxes = zip(*(column(f"bbox_{side}_px") for side in ("top", "left", "bottom", "right")), strict=True)
    before = (column("label"), centroids, column("area_px"), boxes, column("mean_intensity"), column("pixel_size_um"))
    names = ("min_intensity", "max_intensity", "sd_intensity", "mean_probability", "perimeter_px", "major_axis_px")
    after = (*names, "minor_axis_px", "orientation_rad", "eccentricity", "solidity", "touches_border")
    return tuple(map(MeasuredObject._make, zip(*before, *map(column, after), strict=True)))
