"""Synthetic multiplexed tissue: as many fields as asked for, with exact labels of cells and of nuclei.

Field i of a seed depends on the seed and i alone, so fields can be made in any order, in any process, and one
at a time. The physics: cells first, then the light they give, then what a camera makes of it.
"""

import re
from dataclasses import dataclass, field

import numpy as np

from distill.datasets.readers.synthetic.render import Tissue, render
from distill.datasets.sample import MEMBRANE, NUCLEUS, Dataset, Reader, Sample
from distill.datasets.splits import choose
from runtime.errors import InputError

LICENCE = "Apache-2.0"
MOST = 1_000_000
SMALLEST, LARGEST = 16, 8192
SPEC = re.compile(r"(?P<count>\d+)(@(?P<seed>\d+))?(\?size=(?P<height>\d+)(x(?P<width>\d+))?)?", re.ASCII)


@dataclass(frozen=True)
class Synthetic:
    """Makes a field by its name, which holds its index."""

    seed: int
    tissue: Tissue = field(default_factory=Tissue)

    def __call__(self, name: str) -> Sample:
        return self.sample(int(name.rpartition("-")[2]))

    def sample(self, index: int) -> Sample:
        """Field `index` of this seed."""
        made = render(np.random.default_rng(np.random.SeedSequence((self.seed, index))), self.tissue)
        labels = {"nuclei": made.nuclei, "cells": made.cells}
        pixel_size_um = self.tissue.pixel_size_um
        return Sample(self.name(index), made.image, (NUCLEUS, MEMBRANE), labels, pixel_size_um)

    def name(self, index: int) -> str:
        """The seed, the size where it is not the usual one, and the index."""
        size = "" if self.tissue.size == Tissue.size else f"-{self.tissue.size[0]}x{self.tissue.size[1]}"
        return f"synthetic-{self.seed}{size}-{index:06d}"


def open_synthetic(argument: str, split: str) -> Dataset:
    """argument : "N", "N@SEED", or either with "?size=512" or "?size=512x640" (height x width)."""
    count, read = _parse(argument)
    names = {read.name(index): read.tissue.size for index in range(count)}
    height, width = read.tissue.size
    description = f"{count} synthetic tissue fields of {height}x{width}, seed {read.seed}: nuclei and cells"
    return Dataset(choose(names, split), read, LICENCE, description)


def _parse(argument: str) -> tuple[int, Synthetic]:
    found = SPEC.fullmatch(argument.strip())
    if not found:
        msg = f"Synthetic data {argument!r} is not N, N@SEED or N@SEED?size=HxW; write for example synthetic:9@7."
        raise InputError(msg)
    count = _number(found["count"], "number of fields", 1, MOST)
    seed = _number(found["seed"] or "0", "seed", 0, 2**63 - 1)
    if found["height"] is None:
        return count, Synthetic(seed)
    height = _number(found["height"], "height", SMALLEST, LARGEST)
    width = _number(found["width"] or found["height"], "width", SMALLEST, LARGEST)
    return count, Synthetic(seed, Tissue(size=(height, width)))


def _number(text: str, what: str, least: int, most: int) -> int:
    number = int(text[:20])
    if not least <= number <= most:
        msg = f"Synthetic data: the {what} is {text}; choose {least} to {most}."
        raise InputError(msg)
    return number


READER = Reader(
    "synthetic",
    LICENCE,
    "edgescope's generator of synthetic tissue fields",
    open_synthetic,
    generate=lambda count, seed: f"{count}@{seed}",
)
