"""Labelled images behind one door: `open("NAME:ARGUMENT", split)`.

The readers are in readers/ (see runtime.registry). None of them imports torch: the benchmarks read data without a
training environment.
"""

from distill.datasets.sample import SEEN, Dataset, Reader, Sample, fingerprint, frame_fingerprint, unseen
from distill.datasets.splits import SPLITS
from runtime.errors import EdgescopeError, InputError
from runtime.registry import Registry

__all__ = [
    "SEEN",
    "SPLITS",
    "Dataset",
    "Reader",
    "Sample",
    "fingerprint",
    "frame_fingerprint",
    "generate",
    "is_generated",
    "load",
    "names",
    "open",
    "unseen",
]

READERS: Registry[Reader] = Registry("data_readers", f"{__name__}.readers", "READER")
names = READERS.names


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


def generate(count: int, seed: int) -> Dataset:
    """So many images that a reader makes itself, for where there are no others."""
    for name in names():
        if make := load(name).generate:
            return open(f"{name}:{make(count, seed)}")
    msg = "No data reader generates images; give labelled data."
    raise InputError(msg)


def is_generated(spec: str) -> bool:
    """Whether the images of a spec are made by its reader, as many as one likes."""
    return load(spec.partition(":")[0]).generate is not None


def load(name: str) -> Reader:
    """The reader of that name; InputError lists the names when there is none."""
    try:
        return READERS.load(name)
    except ModuleNotFoundError as error:
        msg = f"Data reader {name!r} needs {error.name}; pip install 'edgescope[bench]'."
        raise EdgescopeError(msg) from error
