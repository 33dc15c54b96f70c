"""A data reader: `stamps:N` gives N fields of bright discs."""

import numpy as np

from distill.datasets.sample import NUCLEUS, Dataset, Reader, Sample
from distill.datasets.splits import choose
from runtime.errors import InputError

SIDE = 96


def read(name):
    rng = np.random.default_rng(int(name.removeprefix("stamp")))
    rows, cols = np.ogrid[:SIDE, :SIDE]
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number in range(1, 10):
        row, col = 32 * ((number - 1) // 3) + 16 + rng.integers(-3, 4), 32 * ((number - 1) % 3) + 16
        labels[(rows - row) ** 2 + (cols - col) ** 2 < rng.integers(7, 11) ** 2] = number
    grey = np.where(labels > 0, 30000, 6000) + rng.normal(0, 800, labels.shape)
    return Sample(name, np.clip(grey, 0, 65535).astype(np.uint16)[None], (NUCLEUS,), {"nuclei": labels})


def open_stamps(argument, split):
    if not argument.isdigit():
        msg = f"stamps:{argument} is not stamps:N; write for example stamps:12."
        raise InputError(msg)
    names = choose({f"stamp{number}": () for number in range(int(argument))}, split)
    return Dataset(names, read, "CC0-1.0", f"{len(names)} fields of stamps")


READER = Reader("stamps", "CC0-1.0", "made-up stamps", open_stamps)
