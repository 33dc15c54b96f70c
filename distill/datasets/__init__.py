"""Labelled images behind one door: `open("NAME:ARGUMENT", split)`.

One file in this folder is one reader, and its name is the file's name; the few files that are not readers
are listed in `NOT_READERS`. Listing the names imports none of them, and none of them imports torch: the
benchmarks read data without a training environment.
"""

import pkgutil
from importlib import import_module

from runtime.errors import EdgescopeError, InputError

from .sample import Dataset, Reader, Sample, fingerprint, frame_fingerprint
from .seen import SEEN, unseen
from .splits import SPLITS

__all__ = [
    "SEEN",
    "SPLITS",
    "Dataset",
    "Reader",
    "Sample",
    "fingerprint",
    "frame_fingerprint",
    "load",
    "names",
    "open",
    "unseen",
]

NOT_READERS = frozenset({"groups", "members", "npz", "pictures", "sample", "seen", "splits"})


def open(spec: str, split: str = "all") -> Dataset:  # noqa: A001  (datasets.open reads as what it does)
    """Open the data that a spec names; images are decoded when they are asked for.

    spec : "NAME:ARGUMENT", for example "bbbc038:stage1_train.zip" or "synthetic:64@7"
    split : "all", "train", "val" or "test" ("test" is all of it: data given for testing is used whole)
    Raises InputError for an unknown reader or split, a missing path and a layout that is not the reader's."""
    name, separator, argument = spec.partition(":")
    if not separator or not name or not argument:
        msg = (
            f"Data spec {spec!r} is not NAME:PATH; write for example bbbc038:stage1_train.zip or "
            f"synthetic:64 (readers: {', '.join(names())})."
        )
        raise InputError(msg)
    reader = load(name)
    if split not in SPLITS:
        msg = f"Split {split!r} is unknown; choose one of {', '.join(SPLITS)}."
        raise InputError(msg)
    return reader.open(argument, split)


def names() -> tuple[str, ...]:
    """The readers in this folder, without importing any of them."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg and m.name not in NOT_READERS))


def load(name: str) -> Reader:
    """Import the reader of that name."""
    if name not in names():
        msg = f"Data reader {name!r} is unknown; choose one of {', '.join(names())}."
        raise InputError(msg)
    try:
        return import_module(f".{name}", __package__).READER
    except ModuleNotFoundError as error:
        msg = f"Data reader {name!r} needs {error.name}; pip install 'edgescope[io,objects]'."
        raise EdgescopeError(msg) from error
