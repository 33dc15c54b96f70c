"""Fluorescence channels -> the 8-bit RGB picture that SAM takes. What is red, green and blue is said, never guessed.

    rgb = ["blank", "nucleus", "membrane"]        as CellSAM's data
    rgb = ["grey"]                                luma of (membrane, nucleus, blank), in all three colours
    rgb = ["grey", RED, GREEN, BLUE]              luma of these

Each channel is first scaled between its percentiles 0.1 and 99.8 over the whole field, to 0 ... 255. The luma is
0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime.artifact.manifest import Normalization
from runtime.errors import InputError
from runtime.frames.normalize import check_frame, normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BLANK, GREY = "blank", "grey"
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SHOWN_AS_GREY = ("membrane", "nucleus", BLANK)
SCALING = Normalization("percentile", low=0.1, high=99.8)


@dataclass(frozen=True)
class Rgb:
    """Which channel is which colour. colours : three names, BLANK among them where a colour stays black."""

    colours: tuple[str, ...]
    grey: bool = False

    @classmethod
    def of(cls, names: Sequence[str]) -> Rgb:
        """Of a configuration's teacher.options.rgb; InputError where it is no mapping."""
        grey = tuple(names[:1]) == (GREY,)
        colours = tuple(names[1:]) if grey else tuple(names)
        colours = SHOWN_AS_GREY if grey and not colours else colours
        if len(colours) != 3 or GREY in colours or set(colours) <= {BLANK}:
            msg = (
                f"rgb is {list(names)}; name the channels that are shown as red, green and blue, with "
                f'"{BLANK}" for none, such as ["{BLANK}", "nucleus", "membrane"], or ["{GREY}"] for the luma.'
            )
            raise InputError(msg)
        return cls(colours, grey)

    @property
    def channels(self) -> tuple[str, ...]:
        """The planes that are needed, each once."""
        return tuple(dict.fromkeys(name for name in self.colours if name != BLANK))

    def picture(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """image : the planes of `channels`, (C, H, W). Returns uint8 (H, W, 3), red first."""
        if len(image) != len(self.channels):
            msg = f"SAM is shown {', '.join(self.channels)}, and the image has {len(image)} plane(s); give one of each."
            raise InputError(msg)
        shown = {name: _eight_bit(plane) for name, plane in zip(self.channels, image, strict=True)}
        black = np.zeros(image.shape[1:], np.uint8)
        picture = np.stack([shown.get(name, black) for name in self.colours], axis=-1)
        if not self.grey:
            return picture
        luma = np.rint(picture @ LUMA).astype(np.uint8)
        return np.stack([luma] * 3, axis=-1)

    def __str__(self) -> str:
        return ", ".join((GREY, *self.colours) if self.grey else self.colours)


def _eight_bit(plane: NDArray[Any]) -> NDArray[np.uint8]:
    check_frame(plane)
    return np.rint(255 * normalize(plane, SCALING)).astype(np.uint8)
