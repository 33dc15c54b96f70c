"""What a camera delivers: in words, "2048x2048x16@40", and a frame with objects to stand in for one of its own."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.records import Record

STREAM = re.compile(r"(\d+)x(\d+)(?:x(8|16))?@(\d+(?:\.\d+)?)")
SHAPE = re.compile(r"(\d{1,6})x(\d{1,6})")
BITS = 16  # of a camera whose bits are not given
CELL = 48  # pixels, the distance of drawn objects: 1,800 of them in 2048x2048


@dataclass(frozen=True)
class CameraStream(Record):
    """Pixels of a frame, bits of a pixel, and frames a second."""

    height: int
    width: int
    rate: float
    bits: int = BITS

    @classmethod
    def parse(cls, text: str) -> "CameraStream":
        """Read "2048x2048@40" or "2048x2048x16@40", height first; InputError when it is not of this form."""
        match = STREAM.fullmatch(text)
        if match is None or float(match[4]) <= 0 or min(int(match[1]), int(match[2])) < 1:
            msg = (
                f"{text!r} is no camera; give HEIGHTxWIDTH@RATE, or HEIGHTxWIDTHxBITS@RATE with 8 or 16 bits, e.g. "
                "2048x2048x16@40."
            )
            raise InputError(msg)
        return cls(int(match[1]), int(match[2]), float(match[4]), int(match[3] or BITS))

    def __str__(self) -> str:
        return f"{self.height}x{self.width}@{self.rate:g}"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.height, self.width

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return self.height * self.width * self.bits // 8


def parse_shape(text: str) -> tuple[int, int]:
    """Read "2048x2048", height first; InputError when it is not of this form."""
    match = SHAPE.fullmatch(text)
    if match is None or min(int(match[1]), int(match[2])) < 1:
        msg = f"{text!r} is no size of a frame; give HEIGHTxWIDTH, e.g. 2048x2048."
        raise InputError(msg)
    return int(match[1]), int(match[2])


def draw_frame(shape: tuple[int, int], bits: int, seed: int) -> NDArray[Any]:
    """A frame of soft discs like nuclei, one in each cell of CELL x CELL pixels, with photon noise; uint8 or uint16.

    Noise alone has no objects, and would be timed as if objects cost nothing.
    """
    rng = np.random.default_rng(seed)
    rows, cols = (np.arange(side) for side in shape)
    cells = np.ix_(rows // CELL, cols // CELL)
    count = shape[0] // CELL + 1, shape[1] // CELL + 1
    top, left = rng.uniform(0.4 * CELL, 0.6 * CELL, (2, *count))
    radius = rng.uniform(0.16 * CELL, 0.32 * CELL, count)
    distance = np.hypot((rows % CELL)[:, None] - top[cells], (cols % CELL)[None] - left[cells])
    light = 1 / (1 + np.exp(distance - radius[cells]))
    dark, bright = (20, 140) if bits == 8 else (100, 700)
    return rng.poisson(dark + bright * light).clip(0, 2**bits - 1).astype(np.uint8 if bits == 8 else np.uint16)
