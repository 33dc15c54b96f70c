"""Leaving out what a student was trained on: images are known by their content, whatever their files are called."""

from collections.abc import Set
from dataclasses import replace

from .sample import Dataset, fingerprint

SEEN = "seen in training"


def unseen(data: Dataset, trained_on: Set[str]) -> Dataset:
    """The part of `data` that is not in `trained_on` (fingerprints, as in a Lineage); `left_out[SEEN]` counts the rest.

    Reads every image once, unless there is nothing to look for."""
    if not trained_on:
        return data
    names = tuple(sample.name for sample in data if fingerprint(sample) not in trained_on)
    left_out = dict(data.left_out) | {SEEN: len(data) - len(names)}
    return replace(data, names=names, left_out=left_out)
