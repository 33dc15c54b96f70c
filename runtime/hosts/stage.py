"""Pixels of a frame as places on the stage, in micrometres, and back: the one place where the conventions are stated.

    view = StageView.of(core.getPixelSizeAffine(), core.getXYPosition(), frame.shape)
    x, y = view.to_stage(cell.centroid)  # drive there, and the cell is in the middle of the frame

**Pixels.** A point is (row, col). Pixel (0, 0) is the top left one, and its centre is the point (0, 0), so a frame
(H, W) reaches from -0.5 to H - 0.5, and its middle is ((H - 1) / 2, (W - 1) / 2). This holds for the centroids in
objects(), table(), CSV and Parquet, for OME-NGFF, and for napari. Two things count from the corner of pixel (0, 0)
instead, and are greater by 0.5: the edges of bounding boxes (bbox_*), and all of GeoJSON, as in QuPath.

**Stage.** A place is (x, y) in micrometres: the position of the stage that brings this point of the sample to the
frame's origin, which is its middle unless another one is named. The affine says how the place changes with the pixel:
(dx, dy) = affine @ (dcol, drow). This is what Micro-Manager's `getPixelSizeAffine` holds, and how Micro-Manager and
pymmcore-widgets use it. It holds for cameras that are rotated or mirrored and for pixels of unequal sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Origin: TypeAlias = "Literal['centre', 'corner', 'pixel'] | tuple[float, float]"
Matrix: TypeAlias = "tuple[tuple[float, float], tuple[float, float]]"
LEAST_AREA_UM2 = 1e-12  # of a pixel; an affine with less is none
TOLERANCE = 0.1  # by which an affine's pixel and the pixel size may differ; Micro-Manager trusts it as far


@dataclass(frozen=True)
class StageView:
    """Where the pixels of one frame are on the stage.

    position_um : (x, y) of the stage when the frame was taken
    affine : ((dx/dcol, dx/drow), (dy/dcol, dy/drow)) in micrometres per pixel
    origin : (row, col) of the point whose place is position_um; it may be outside of the frame
    """

    position_um: tuple[float, float]
    affine: Matrix
    origin: tuple[float, float]

    @classmethod
    def of(
        cls, affine: ArrayLike, position_um: ArrayLike, shape: tuple[int, ...], origin: Origin = "centre"
    ) -> StageView:
        """The view of a frame.

        affine : 2x2 or 2x3, or the six numbers of MMCore's getPixelSizeAffine; see also `affine_of`. A translation in
            it is not used: position_um takes its place
        position_um : (x, y) of the stage
        shape : (H, W) of the frame
        origin : the point that position_um is the place of. "centre" is the middle of the frame, "corner" the outer
            corner of pixel (0, 0), "pixel" the centre of pixel (0, 0); or (row, col), for a frame that is cut out
        InputError for an affine that is no calibration, and for what is not finite.
        """
        x, y = _finite(position_um, (2,), "position_um")
        return cls((x, y), _matrix(affine), _origin(origin, shape))

    def to_stage(self, points: ArrayLike) -> NDArray[np.float64]:
        """Places (x, y) of points (row, col): array-like (..., 2) -> float64 (..., 2).

        points : or the table of a segmentation's objects, for (N, 2)
        """
        rows_cols = _points(points) - self.origin
        return rows_cols[..., ::-1] @ np.transpose(self.affine) + self.position_um

    def to_pixel(self, places: ArrayLike) -> NDArray[np.float64]:
        """Points (row, col) of places (x, y): the inverse of to_stage, array-like (..., 2) -> float64 (..., 2)."""
        offsets = np.asarray(places, np.float64) - self.position_um
        return (offsets @ np.linalg.inv(np.transpose(self.affine)))[..., ::-1] + self.origin

    @property
    def pixel_size_um(self) -> float:
        """The side of a square pixel of the same area."""
        return math.sqrt(abs(_determinant(self.affine)))


def affine_of(
    pixel_size_um: float | tuple[float, float],
    *,
    rotation_deg: float = 0.0,
    flip_x: bool = False,
    flip_y: bool = False,
) -> NDArray[np.float64]:
    """The affine, float64 (2, 2), of a camera that is known by its pixel size, mirroring and rotation.

    pixel_size_um : side of a pixel, or (width, height)
    flip_x, flip_y : whether x of the stage falls along a row of pixels, and y down a column, before the rotation
    rotation_deg : from the stage's x axis to its y axis
    InputError for what is no size.
    """
    width, height = _finite(np.broadcast_to(pixel_size_um, 2), (2,), "pixel_size_um")
    if not (width > 0 and height > 0):
        msg = (
            f"pixel_size_um is {pixel_size_um}; a pixel has a width and a height over 0: mirror it with flip_x, flip_y."
        )
        raise InputError(msg)
    angle = math.radians(rotation_deg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turn * (-width if flip_x else width, -height if flip_y else height)


def calibrated(affine: ArrayLike, pixel_size_um: float | None) -> bool:
    """Whether an affine of MMCore is one that somebody has measured: it goes with the pixel size.

    MMCore has zeros without a pixel size, and pixels of 1 um (times the binning) where only a size was entered.
    """
    x, y = np.reshape(np.asarray(affine, np.float64), (2, 3))[:, :2]
    side = math.sqrt(abs(float(x[0] * y[1] - x[1] * y[0])))
    return side**2 > LEAST_AREA_UM2 and (not pixel_size_um or abs(side - pixel_size_um) <= TOLERANCE * pixel_size_um)


def _matrix(affine: ArrayLike) -> Matrix:
    numbers = np.asarray(affine, np.float64)
    if numbers.shape not in ((2, 2), (2, 3), (6,)):
        msg = (
            f"The affine has the shape {numbers.shape}; it must be 2x2, 2x3, or the 6 numbers of getPixelSizeAffine()."
        )
        raise InputError(msg)
    (xx, xy), (yx, yy) = np.reshape(numbers, (2, -1))[:, :2].tolist()
    matrix = ((xx, xy), (yx, yy))
    if not abs(_determinant(matrix)) > LEAST_AREA_UM2:  # also for NaN
        msg = (
            f"The affine {numbers.tolist()} is no calibration: its pixels have no area. Calibrate the pixel size, or "
            "make one with runtime.hosts.stage.affine_of(pixel_size_um)."
        )
        raise InputError(msg)
    return matrix


def _determinant(matrix: Matrix) -> float:
    (xx, xy), (yx, yy) = matrix
    return xx * yy - xy * yx


def _origin(origin: Origin, shape: tuple[int, ...]) -> tuple[float, float]:
    if not isinstance(origin, str):
        row, col = _finite(origin, (2,), "origin")
        return row, col
    if origin == "centre":
        return (shape[0] - 1) / 2, (shape[1] - 1) / 2
    if origin not in ("corner", "pixel"):
        msg = f"origin is {origin!r}; it must be 'centre', 'corner', 'pixel' or (row, col)."
        raise InputError(msg)
    return (0.0, 0.0) if origin == "pixel" else (-0.5, -0.5)


def _points(points: Any) -> NDArray[np.float64]:
    if getattr(getattr(points, "dtype", None), "names", None):  # Segmentation.table()
        points = np.stack([points["centroid_row_px"], points["centroid_col_px"]], axis=-1)
    return np.asarray(points, np.float64)


def _finite(values: ArrayLike, shape: tuple[int, ...], name: str) -> list[float]:
    numbers = np.asarray(values, np.float64)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        msg = f"{name} is {numbers.tolist()}; it must be {shape[0]} finite numbers."
        raise InputError(msg)
    return numbers.tolist()
