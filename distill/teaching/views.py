"""What a teacher is shown of a data set: its planes, with the controls of a study on all but the nucleus.

own : as they are. blank : zeros. shuffled : of another image of the same set, which keeps the planes' statistics and
takes away what they say about this image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from distill.datasets.sample import NUCLEUS
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from distill.datasets import Sample

SEED = 0  # of the shuffling: every student of a study is taught by the same pairs


class Views:
    """The planes of `channels` for each sample, (C, H, W), under a control; decoded when asked for."""

    def __init__(self, samples: Sequence[Sample], channels: tuple[str, ...], membrane: str) -> None:
        check_control(len(samples), channels, membrane)
        self.samples, self.channels, self.membrane = samples, channels, membrane
        self.partners = derangement(len(samples), SEED) if membrane == "shuffled" else range(len(samples))

    def of(self, index: int, sample: Sample) -> NDArray[Any]:
        """What the teacher sees of ``sample``, which is number ``index`` of the set."""
        image = sample.planes(self.channels)
        others = [place for place, name in enumerate(self.channels) if name != NUCLEUS]
        if self.membrane == "own" or not others:
            return image
        if self.membrane == "blank":
            image[others] = 0
            return image
        partner = self.samples[self.partners[index]].planes(self.channels)
        planes = [fit(partner[place], plane.shape) if place in others else plane for place, plane in enumerate(image)]
        return np.stack(planes)


def check_control(count: int, channels: Sequence[str], membrane: str) -> None:
    """InputError where that cannot be done with the membrane of so many images, for a teacher of these channels."""
    if membrane != "own" and set(channels) <= {NUCLEUS}:
        msg = f"teacher.membrane is {membrane}, but the teacher sees no channel besides the nucleus; set it to own."
        raise InputError(msg)
    if membrane == "shuffled" and count == 1:
        msg = "teacher.membrane is shuffled, but the data hold one image, and there is no other; give more data."
        raise InputError(msg)


def derangement(count: int, seed: int) -> list[int]:
    """A permutation of range(count) in one cycle, so that nothing stays in its place (Sattolo 1986); count is not 1."""
    rng = np.random.default_rng(seed)
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        other = int(rng.integers(last))
        order[last], order[other] = order[other], order[last]
    return order


def fit(plane: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The plane (h, w) in another size (H, W): cut at the bottom and right, or mirrored there."""
    cut = plane[: shape[0], : shape[1]]
    missing = [(0, full - have) for full, have in zip(shape, cut.shape, strict=True)]
    return np.pad(cut, missing, mode="symmetric")
