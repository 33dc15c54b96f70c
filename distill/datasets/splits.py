"""The one definition of train and validation parts, used by every reader that has none of its own.

A name's place is decided by a hash of the name, within its stratum (its image size): independent of the order
of files, of the platform and of random generators, and one more image moves hardly any other.
"""

import hashlib
from collections.abc import Mapping
from itertools import groupby

SPLITS = ("all", "train", "val", "test")
WHOLE = ("all", "test")  # data given for testing is used whole
SEED = 0
ONE_IN = 5  # 20 % are validation


def choose(strata: Mapping[str, tuple[int, ...]], split: str) -> tuple[str, ...]:
    """The names of one split, sorted.

    strata : name -> what to stratify by, usually the image's (height, width)
    split : "train" and "val" are disjoint and make up everything; "all" and "test" are everything"""
    if split in WHOLE:
        return tuple(sorted(strata))
    validation = _validation(strata)
    return tuple(sorted(name for name in strata if (name in validation) == (split == "val")))


def fold(strata: Mapping[str, bool], number: int, count: int) -> tuple[str, ...]:
    """The names of part `number` (from 0) of `count` parts, sorted; the parts are disjoint and make up everything.

    strata : name -> of which of two kinds the image is, as with and without objects
    Parts differ by one name at most, and so do they for each kind. They depend on names and kinds alone."""
    return tuple(sorted(sorted(strata, key=lambda name: (strata[name], _rank(name)))[number::count]))


def _validation(strata: Mapping[str, tuple[int, ...]]) -> set[str]:
    """One in five of each stratum, to within one, and one in five of the whole; of two names, one."""
    chosen: set[str] = set()
    seen = 0
    ordered = sorted(strata, key=lambda name: (strata[name], _rank(name)))
    for _, group in groupby(ordered, key=strata.__getitem__):
        members = list(group)
        seen += len(members)
        due = (seen + ONE_IN - 2) // ONE_IN - len(chosen)
        chosen.update(members[:due])
    return chosen


def _rank(name: str) -> str:
    return hashlib.sha256(f"{SEED}/{name}".encode()).hexdigest()
