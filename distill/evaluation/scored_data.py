"""What the commands that score share: labelled images that the student was not trained on, one by one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from typing import Any

from rich.console import Console
from rich.progress import Progress as Bar

from distill import datasets
from runtime.errors import InputError

Progress = Callable[[int], AbstractContextManager[Callable[[], None]]]  # see distill.evaluation.evaluate.evaluate


class Split(str, Enum):
    """Parts of a data set."""

    all = "all"
    train = "train"
    val = "val"
    test = "test"


class Labels(str, Enum):
    """Kinds of labelled objects."""

    nuclei = "nuclei"
    cells = "cells"


def unseen(samples: datasets.Dataset, spec: str, trained_on: Any) -> datasets.Dataset:
    """The images that were not trained on (fingerprints, as in a Lineage); InputError where none is left."""
    if not len(samples):
        msg = f"{spec!r} holds no images in that split; choose another --split."
        raise InputError(msg)
    new = datasets.unseen(samples, frozenset(trained_on))
    if not len(new):
        msg = f"Each of the {len(samples)} images of {spec!r} was {datasets.SEEN}; give others, or --include-trained."
        raise InputError(msg)
    return new


def labelled(samples: datasets.Dataset, labels: str) -> Iterator[datasets.Sample]:
    """The samples; InputError for one that lacks such labels."""
    for sample in samples:
        sample.labels_of(labels, "choose with --labels, or give other data")
        yield sample


def silent(total: int) -> AbstractContextManager[Callable[[], None]]:
    """Progress that nobody sees."""
    return nullcontext(lambda: None)


@contextmanager
def scoring(total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("scoring", total=total)
        yield lambda: bar.advance(task)
