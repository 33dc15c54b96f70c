"""Images that belong together, so that no two of them part company between training and validation.

Fields of one slide and crops of one field are near-duplicates: split at random, a student is validated on what it has
seen. Nobody wrote down which images of BBBC038 are of one experiment; their size and their appearance tell.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from distill.datasets.splits import ONE_IN, WHOLE
from runtime.system import extras

QUANTILES = (1, 10, 25, 50, 75, 90, 99, 99.8)  # percent
BANDS = np.geomspace(0.006, 0.5, 9)  # spatial frequencies, cycles per pixel
WINDOW = 256  # pixels; the spectrum is taken of the upper left part of so many a side
ALIKE = 1.5  # mean distance within a group, in standard deviations over the whole set


def appearance(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What a frame (H, W) looks like in 16 numbers: quantiles of its intensities, and its power spectrum in bands.

    Both in logarithms; neither changes with what lies where in the frame.
    """
    quantiles = np.percentile(frame, QUANTILES)
    span = max(float(quantiles[-1] - quantiles[0]), 1.0)
    part = np.clip((frame[:WINDOW, :WINDOW] - quantiles[0]) / span, 0, 1)
    window = np.outer(*(np.hanning(side) for side in part.shape))
    power = np.abs(np.fft.rfft2((part - part.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(part.shape[0])[:, None], np.fft.rfftfreq(part.shape[1]))
    bands = [power[(frequency >= low) & (frequency < high)] for low, high in pairwise(BANDS)]
    means = np.array([band.mean() if band.size else 0.0 for band in bands])
    return np.concatenate([np.log1p(quantiles), np.log(means / max(means.sum(), 1e-12) + 1e-12)])


def groups(frames: Mapping[str, tuple[tuple[int, ...], NDArray[np.float64]]]) -> list[tuple[str, ...]]:
    """The names in groups, by average linkage of their appearances within one image size.

    frames : name -> (size, appearance)
    EdgescopeError where scipy is not installed.
    """
    hierarchy = extras.load("scipy.cluster.hierarchy", extra="bench")
    names = sorted(frames)
    looks = np.array([frames[name][1] for name in names])
    spread = looks.std(0)
    looks = (looks - looks.mean(0)) / np.where(spread > 0, spread, 1)
    by_size = defaultdict(list)
    for place, name in enumerate(names):
        by_size[frames[name][0]].append(place)
    found: dict[tuple[tuple[int, ...], int], list[str]] = defaultdict(list)
    for size, places in sorted(by_size.items()):
        tree = hierarchy.linkage(looks[places], "average") if len(places) > 1 else None
        numbers = [1] if tree is None else hierarchy.fcluster(tree, ALIKE, "distance")
        for place, number in zip(places, numbers, strict=True):
            found[size, int(number)].append(names[place])
    return [tuple(members) for members in found.values()]


def choose(frames: Mapping[str, tuple[tuple[int, ...], NDArray[np.float64]]], split: str) -> tuple[str, ...]:
    """The names of "train", "val" or, for "all" and "test", all of them, sorted; groups stay whole.

    In each image size, groups go to the validation part in the order of a hash of their first name, as long as one in
    five images is not exceeded by them; sizes of fewer than five images are training images.
    """
    if split in WHOLE:
        return tuple(sorted(frames))
    by_size = defaultdict(list)
    for members in groups(frames):
        by_size[frames[members[0]][0]].append(members)
    validation: set[str] = set()
    for parts in by_size.values():
        left = sum(map(len, parts)) // ONE_IN
        for members in sorted(parts, key=_rank):
            if len(members) <= left:
                validation.update(members)
                left -= len(members)
    return tuple(sorted(name for name in frames if (name in validation) == (split == "val")))


def _rank(members: tuple[str, ...]) -> str:
    return hashlib.sha256(members[0].encode()).hexdigest()
