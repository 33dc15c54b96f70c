"""What every reader of image files gives: scenes with named axes, whose planes are read one at a time.

A scene says what the file says and invents nothing: a size that is not stated is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np

PlaneReader = Callable[[tuple[int, ...]], NDArray[Any]]
RegionReader = Callable[[tuple[int, ...], slice, slice], NDArray[Any]]

UNITS_UM = {
    **{"am": 1e-12, "fm": 1e-9, "pm": 1e-6, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "dm": 1e5, "m": 1e6, "km": 1e9},
    **dict.fromkeys(("\u00b5m", "\u03bcm", "um", "micron", "microns", "\\u00b5m", "micro-meter"), 1.0),
    **dict.fromkeys(("\u00c5", "\u00e5", "\u212b", "angstrom", "angstroms"), 1e-4),  # letters and sign of Angstrom
    **dict.fromkeys(("in", "inch", "inches"), 25400.0),
    **{"thou": 25.4, "pt": 25400 / 72, "ft": 304800.0, "yd": 914400.0},
    **{
        prefix + name: um
        for prefix, um in (("pico", 1e-6), ("nano", 1e-3), ("micro", 1.0), ("milli", 1e3), ("centi", 1e4), ("", 1e6))
        for name in ("meter", "meters", "metre", "metres")
    },
}
UNITS_S = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("\u00b5s", "\u03bcs", "us", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}


def micrometres(value: object, unit: str | None) -> float | None:
    """A length in micrometres, or None: where it or its unit is missing, unknown, not finite or not above 0."""
    return _scaled(value, UNITS_UM.get(_plain(unit)))


def seconds(value: object, unit: str | None) -> float | None:
    """A time in seconds, or None; as micrometres."""
    return _scaled(value, UNITS_S.get(_plain(unit)))


def number(text: object) -> float | None:
    """A number as files write it, also with a decimal comma; None where it is none."""
    with suppress(ValueError, TypeError, OverflowError):
        value = float(text.strip().replace(",", ".") if isinstance(text, str) else text)  # type: ignore[arg-type]
        return value if math.isfinite(value) else None
    return None


def _plain(unit: str | None) -> str:
    return (unit or "").strip().rstrip(".").lower()


def _scaled(value: object, factor: float | None) -> float | None:
    size = number(value)
    return size * factor if factor and size and 0 < size * factor < math.inf else None


def unique_axes(axes: str) -> str:
    """The same axes, where a letter that comes again is another one, as tifffile's Q for axes without a meaning."""
    spare = (letter for letter in "QRUVWABDEFG" if letter not in axes)
    return "".join(axis if axis not in axes[:k] else next(spare) for k, axis in enumerate(axes))


@dataclass(frozen=True)
class Spacing:
    """The step from one index to the next: y, x and z in micrometres, t in seconds. None where the file states none."""

    y_um: float | None = None
    x_um: float | None = None
    z_um: float | None = None
    t_s: float | None = None

    @property
    def pixel_size_um(self) -> float | None:
        """The side of a square with a pixel's area, so that areas are right where pixels are not square."""
        if self.y_um and self.x_um:
            return self.x_um if self.y_um == self.x_um else math.sqrt(self.y_um * self.x_um)
        return self.x_um or self.y_um

    @property
    def is_square(self) -> bool:
        """Whether the sides of a pixel differ by less than 1 %, as far as both are stated."""
        return not (self.y_um and self.x_um) or abs(self.y_um / self.x_um - 1) < 0.01


@dataclass(frozen=True)
class Scene:
    """One image of a file.

    axes : a letter per axis, in the order of the file: Y, X; C channel, S samples of a colour; T, Z, others
    read : index along the axes but Y and X, in their order -> the plane (H, W), of `dtype` in the machine's byte order
    channels : their names, in order; empty where the file has none
    region : reads some rows and columns of a plane without the others, where the format can
    notes : what is odd about the file and no reason to refuse it
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: PlaneReader
    channels: tuple[str, ...] = ()
    spacing: Spacing = Spacing()
    notes: tuple[str, ...] = ()
    region: RegionReader | None = None

    def __post_init__(self) -> None:
        """A step along an axis that has none is no step."""
        sizes = dict(zip(self.axes, self.shape, strict=True))
        z_um, t_s = (
            step if sizes.get(axis, 1) > 1 else None
            for axis, step in (("Z", self.spacing.z_um), ("T", self.spacing.t_s))
        )
        object.__setattr__(self, "spacing", replace(self.spacing, z_um=z_um, t_s=t_s))

    @property
    def loops(self) -> dict[str, int]:
        """The axes but Y and X with their lengths, in order: what `read` takes an index along."""
        return {axis: size for axis, size in zip(self.axes, self.shape, strict=True) if axis not in "YX"}

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[self.axes.index("Y")], self.shape[self.axes.index("X")]


@dataclass(frozen=True)
class ImageFile:
    """An open file and its scenes.

    default : the scene that is taken when none is asked for; None where somebody has to choose
    """

    scenes: tuple[Scene, ...]
    close: Callable[[], None] = field(default=lambda: None)
    default: int | None = 0

    def __enter__(self) -> ImageFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
