"""What is odd about a frame, said by names that a host can act upon. Cheap: the histogram is there already.

saturated      many pixels are at the camera's ceiling: their intensities are lost
black          nothing was recorded: all is 0, or the frame is dark and neighbouring pixels have nothing in common
constant       every pixel has the same value
dim            few grey levels lie between the background and the brightest objects: too short an exposure
padding        a constant level fills the frame's border: stitched, shifted or turned; it was left out of the range
debris         a few pixels are far brighter than everything else; the range was taken without them
inverted       dark objects on a bright background; the frame was segmented as if it had been inverted
bright_field   the background is not dark: bright field, phase contrast, or objects all over the frame
uneven         the background differs between parts of the frame: haze, uneven light, or parts without any sample
intensity      the intensities are distributed otherwise than in every frame that the student was calibrated with
out_of_focus   edges are much softer than in any of those frames
pixel_size     the pixels are far from the student's size, and the frame was not resized
resized        the frame was segmented at another size; see result.scale
scale_unseen   the size of the objects could not be seen in the frame: give the diameter
object_size    the objects found are far smaller or larger than those that the student was made for
shattered      nuclei share much of their outlines with others: larger ones came apart
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..artifact.manifest import Intensity
from .intensities import BRIGHT_FIELD, DEBRIS, INVERTED, PADDING
from .normalize import intensities_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ..artifact.manifest import Normalization
    from .intensities import Counts, Intensities, Range
    from .normalize import Frame

__all__ = ["BRIGHT_FIELD", "DEBRIS", "INVERTED", "PADDING", "describe", "flags"]

SATURATED, BLACK, CONSTANT, DIM = "saturated", "black", "constant", "dim"
UNEVEN, INTENSITY, OUT_OF_FOCUS = "uneven", "intensity", "out_of_focus"
PIXEL_SIZE, RESIZED, SCALE_UNSEEN = "pixel_size", "resized", "scale_unseen"
OBJECT_SIZE, SHATTERED = "object_size", "shattered"

# Where cameras end: 8, 10, 12, 14 and 16 bits, 12 and 14 bits moved to the top of 16, and images scaled to 1.
CEILINGS = (255, 1023, 4095, 16383, 65535, 4095 << 4, 16383 << 2, 1.0)
SATURATED_SHARE = 0.001  # of the pixels; hot pixels are fewer
DARK_SHARE = 0.01  # of the type's range: a frame with less than this is dark
DIM_LEVELS = 16  # of whole numbers; the dimmest of 140 frames of BBBC038 has 25
ALIKE = 0.1  # correlation of neighbouring pixels, from which there is a picture in the noise
QUANTILES = (5.0, 25.0, 50.0, 75.0)  # how much is bright depends on how many objects there are, and is left out
MARGIN = (
    0.25  # of the range from 0 to 1, beyond all known frames; 0 of 80 unseen BBBC038 frames are so far, inverted all 80
)
SOFT = 0.5  # times the least known sharpness; 0 of those 80 frames, 76 of them blurred by 4 pixels (Gaussian sigma)
SAMPLE = 1 << 16  # pixels that sharpness and the quantiles of float frames are taken from
CELLS, DARK_PERCENT = 4, 10.0  # the background of 4x4 parts is their 10th percentile
SPREAD = 0.12  # of the range, between the 10th and 90th percentile of them; 6 of 447 unspoilt frames have more
STEP, REACH = 2, 8  # pixels: the two distances whose differences tell how steep edges are
SLOPE = (STEP / REACH) ** 2


def flags(
    frame: Frame, counts: Counts | None, seen: Intensities, known: Intensity | None, factor: float = 1.0
) -> tuple[str, ...]:
    """The names of what is odd, in the order of the table above.

    counts : the frame's count_levels; None for float32
    seen : its intensities_of
    known : what the student's calibration frames were like; None leaves out what needs it
    factor : by which the frame is resized; sharpness is compared between equal pixels only
    """
    least, most, at_most = _extremes(frame, counts)
    zero, one, blank, _ = seen.range
    found: list[str] = []
    if most in CEILINGS and most != blank and at_most >= SATURATED_SHARE * frame.size and most > least:
        found.append(SATURATED)
    if most <= 0 or (most > least and _is_dark(frame, max(zero, one)) and alike(frame) < ALIKE):
        found.append(BLACK)
    if most == least:
        return (*found, CONSTANT)
    if frame.dtype.kind == "u" and abs(one - zero) < DIM_LEVELS and BLACK not in found:
        found.append(DIM)
    found += seen.flags
    if unevenness(frame, seen.range) > SPREAD:
        found.append(UNEVEN)
    if known is not None:
        if _is_far(quantiles(frame, counts, seen.range, known.quantiles), known):
            found.append(INTENSITY)
        if factor == 1.0 and sharpness(frame) < SOFT * known.focus:
            found.append(OUT_OF_FOCUS)
    return tuple(found)


def describe(frames: Iterable[Frame], how: Normalization) -> Intensity:
    """What frames look like, for the manifest of a student that was calibrated or validated on them."""
    values: list[NDArray[np.float64]] = []
    focus: list[float] = []
    for frame in frames:
        values.append(quantiles(frame, None, intensities_of(frame, how).range, QUANTILES))
        focus.append(sharpness(frame))
    lowest, highest = np.min(values, axis=0), np.max(values, axis=0)
    return Intensity(QUANTILES, _rounded(lowest), _rounded(highest), round(min(focus), 4), len(values))


def quantiles(frame: Frame, counts: Counts | None, limits: Range, percents: tuple[float, ...]) -> NDArray[np.float64]:
    """Quantiles of the frame's intensities, normalised to [0, 1] as the student sees them.

    Exact where counts are given, else those of a sample of the pixels."""
    zero, one = limits[:2]
    if zero > one:
        percents = tuple(100.0 - percent for percent in percents)
    if counts is None:
        found = np.percentile(_strips(frame), percents).astype(np.float64)
    else:
        ranks = np.asarray(percents) / 100 * frame.size
        found = np.searchsorted(counts.cumsum(), ranks).astype(np.float64)
    return ((found - zero) / (one - zero)).clip(0, 1) if one != zero else np.zeros(len(percents))


def unevenness(frame: Frame, limits: Range) -> float:
    """How much the background differs between parts of the frame, as a share of the range; 0 for a small frame."""
    zero, one, blank = limits[:3]
    step = max(1, int(np.sqrt(frame.size / SAMPLE)))
    sample = frame[::step, ::step].astype(np.float64)
    if min(sample.shape) < 8 * CELLS or one == zero:
        return 0.0
    shown = (sample - zero) / (one - zero)  # also right where the frame is inverted
    cells = [part for rows in np.array_split(shown, CELLS) for part in np.array_split(rows, CELLS, axis=1)]
    if blank is not None:
        cells = [part[part != (blank - zero) / (one - zero)] for part in cells]
    dark = [float(np.percentile(part, DARK_PERCENT)) for part in cells if part.size >= 8]
    if len(dark) < CELLS:
        return 0.0
    low, high = np.percentile(dark, (10.0, 90.0))
    return float(high - low)


def sharpness(frame: Frame) -> float:
    """How steep edges are: 0 for a blur much wider than REACH, 1 for structure as fine as a pixel, and for noise.

    It is the mean squared difference of pixels STEP apart relative to that of pixels REACH apart, less what a smooth
    slope has, (STEP / REACH)^2; brightness and contrast do not change it. 1 where there is nothing to compare.
    """
    strips = _strips(frame)
    lines = strips[0::2] + strips[1::2] if len(strips) > 1 else strips  # two rows each: half of the noise's variance
    if lines.shape[1] <= REACH:
        return 1.0
    near, far = (float(np.square(lines[:, by:] - lines[:, :-by]).mean()) for by in (STEP, REACH))
    return max(0.0, (near / far - SLOPE) / (1 - SLOPE)) if far > 0 else 1.0


def alike(frame: Frame) -> float:
    """Correlation of pixels that are neighbours in a row: about 0 for noise alone, more where there is a picture."""
    lines = _strips(frame)
    if lines.shape[1] < 3:
        return 1.0
    lines = lines - lines.mean()
    variance = float(np.square(lines).mean())
    return float((lines[:, 1:] * lines[:, :-1]).mean()) / variance if variance > 0 else 1.0


def _strips(frame: Frame) -> NDArray[np.float32]:
    """Pairs of neighbouring rows from all over the frame, about SAMPLE pixels, float32."""
    height, width = frame.shape
    count = max(1, min(height // 2, SAMPLE // (2 * width)))
    first = np.linspace(0, max(0, height - 2), count).astype(np.intp)
    rows = np.minimum(np.stack([first, first + 1], axis=1).ravel(), height - 1)
    return frame[rows].astype(np.float32)


def _extremes(frame: Frame, counts: Counts | None) -> tuple[float, float, int]:
    """The least value, the greatest, and how many pixels have the greatest."""
    if counts is None:
        most = frame.max()
        return float(frame.min()), float(most), int(np.count_nonzero(frame == most))
    present = np.flatnonzero(counts)
    return float(present[0]), float(present[-1]), int(counts[present[-1]])


def _is_dark(frame: Frame, high: float) -> bool:
    """Whether even the bright pixels are near the bottom of what the type can hold. Unknown for float32."""
    return frame.dtype.kind == "u" and high < DARK_SHARE * np.iinfo(frame.dtype).max


def _is_far(found: NDArray[np.float64], known: Intensity) -> bool:
    below = np.asarray(known.lowest) - found
    above = found - np.asarray(known.highest)
    return bool(max(below.max(), above.max()) > MARGIN)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
