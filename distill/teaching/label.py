"""Labelling all the data that a configuration names by its teacher, once."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distill import datasets, teachers
from distill.store import Store
from distill.teaching.soft_labels import label_all
from runtime.errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from distill.config.sections import Config
    from distill.datasets import Dataset
    from distill.teaching.soft_labels import SoftLabel


@dataclass
class Account:
    """What a labelling did; the clock runs while the teacher works.

    images : looked at, of which `skipped` were in the store already; bytes : written to the disk
    untaught : images that the teacher has no answer about
    rounding_max, rounding_rms : how far 8 bits are from what the teacher said, as probability
    """

    teacher: str
    store: str
    images: int = 0
    skipped: int = 0
    untaught: int = 0
    bytes: int = 0
    seconds: float = 0.0
    rounding_max: float = 0.0
    rounding_rms: float = 0.0

    @property
    def computed(self) -> int:
        """Images that the teacher was asked about."""
        return self.images - self.skipped

    @property
    def images_per_second(self) -> float | None:
        """Of the teacher, its loading included; None where it was not asked."""
        return self.computed / self.seconds if self.computed and self.seconds else None

    def add(self, label: SoftLabel, seconds: float) -> None:
        """One more image, which took so long."""
        self.images += 1
        self.skipped += not label.computed
        if label.computed:
            largest, squared = label.rounding
            self.seconds += seconds
            self.bytes += label.bytes
            self.rounding_max = max(self.rounding_max, largest)
            self.rounding_rms = math.sqrt(self.rounding_rms**2 + (squared - self.rounding_rms**2) / self.computed)

    def where(self, total: int) -> str:
        """How far the work is, and how long the rest takes if none of it is stored."""
        speed = self.images_per_second
        if speed is None:
            return f"{self.skipped} of {total} were stored before"
        return f"{speed:.3g} images/s, ETA {_clock((total - self.images) / speed)}, {self.skipped} stored before"


def label(
    config: Config, *, validation: bool = False, step: Callable[[Account, int], None] = lambda account, total: None
) -> Account:
    """Ask the teacher of ``config`` about its training data; what the store knows already is not asked again.

    validation : label the validation data as well
    step : called after each image, with the account so far and the number of images
    InputError where a teacher, its weights, a channel or data are missing. Stopped, the same call goes on; several
    processes share the work.
    """
    sets = [open_set(spec, split) for spec, split in specs_of(config, validation=validation)]
    check_teacher(config)
    account = Account(config.teacher.name, config.teacher.store)
    total = sum(map(len, sets))
    for data in sets:
        clock = time.perf_counter()
        without: list[str] = []
        for soft in label_all(config.teacher, data, without):
            now = time.perf_counter()
            account.add(soft, now - clock)
            clock = now
            step(account, total - account.untaught)
        account.untaught += len(without)
    return account


def check_teacher(config: Config) -> None:
    """InputError where the teacher cannot be opened, or its answers cannot be stored."""
    try:
        teachers.open_teacher(config.teacher)
    except EdgescopeError as error:  # a package that is not installed is a wrong call, too: nothing was done
        raise InputError(str(error)) from error
    Store(Path(config.teacher.store)).check_writable()


def specs_of(config: Config, *, validation: bool) -> list[tuple[str, str]]:
    """The data as `fit` opens them, and their split: what a control shuffles, it shuffles within one of these."""
    held = [(spec, "val") for spec in config.data.validation] if validation else []
    return [*((spec, "train") for spec in config.data.train), *held]


def open_set(spec: str, split: str) -> Dataset:
    """The data set; InputError where it holds no images."""
    data = datasets.open(spec, split)
    if not len(data):
        msg = f"{spec} ({split}) holds no images."
        raise InputError(msg)
    return data


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
