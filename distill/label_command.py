"""`python -m distill label CONFIG.toml`: a teacher's probabilities of all the data that a configuration names."""

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from runtime.atomic import write_bytes
from runtime.errors import InputError

from . import config as configuration
from . import datasets, teachers
from .console import log_to_stderr, stoppable, trainer_libraries
from .store import Store

if TYPE_CHECKING:
    from .config import Config
    from .datasets import Dataset
    from .soft_labels import SoftLabel

log = logging.getLogger(__name__)

EVERY = 10.0  # seconds between two lines where there is no terminal


@dataclass
class Account:
    """What a labelling did; the clock runs while the teacher works.

    images : looked at, of which `skipped` were in the store already; bytes : written to the disk
    rounding_max, rounding_rms : how far 8 bits are from what the teacher said, as probability
    """

    teacher: str
    store: str
    images: int = 0
    skipped: int = 0
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

    def add(self, label: "SoftLabel", seconds: float) -> None:
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
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Which teacher, and which data.")],
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting, e.g. teacher.batch=4."),
    ] = None,
    validation: Annotated[bool, typer.Option("--validation", help="Label the validation data as well.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check weights, channels and labels, and compute nothing.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="F", help="Write what is printed, for machines.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> int:
    """Compute a teacher's probabilities once; run again to go on, in several processes to be faster."""
    settings = configuration.load(config, override or ())
    with log_to_stderr(), stoppable():
        found = _check(settings, validation) if check else _label(settings, validation)
    if json_file:
        write_bytes(json_file, (json.dumps(found, indent=2) + "\n").encode())
    return 0


def _check_teacher(settings: "Config") -> None:
    section = settings.teacher
    if not section.name:
        msg = f"The configuration names no teacher; add [teacher] with name = one of {', '.join(teachers.names())}."
        raise InputError(msg)
    with trainer_libraries():
        reason = teachers.load(section.name).check(section)
    if reason:
        raise InputError(reason)
    Store(Path(section.store)).check_writable()


def _specs(settings: "Config", validation: bool) -> list[tuple[str, str]]:
    """The data as `fit` opens them, and their split: what a control shuffles, it shuffles within one of these."""
    held = [(spec, "val") for spec in settings.data.validation] if validation else []
    return [*((spec, "train") for spec in settings.data.train), *held]


def _open(spec: str, split: str) -> "Dataset":
    data = datasets.open(spec, split)
    if not len(data):
        msg = f"{spec} ({split}) holds no images."
        raise InputError(msg)
    return data


def _check(settings: "Config", validation: bool) -> dict[str, Any]:
    """All problems at once; the images are asked for what the teacher wants where that is there."""
    with trainer_libraries():
        from .check import Examination
        from .soft_labels import stored

    examined, found = Examination(), {}
    examined.attempt(lambda: _check_teacher(settings))
    ready = not examined.problems

    def look(spec: str, split: str) -> None:
        data = _open(spec, split)
        if ready:
            found[f"{spec} ({split})"] = {"images": len(data), "stored": stored(settings.teacher, data)}

    for spec, split in _specs(settings, validation):
        examined.attempt(lambda spec=spec, split=split: look(spec, split))
    for name, count in found.items():
        wants = f"images have what {settings.teacher.name} wants"
        print(f"{name}: {count['images']} {wants}; {count['stored']} are stored")
    examined.raise_problems()
    return {"teacher": settings.teacher.name, "store": settings.teacher.store, "data": found}


def _label(settings: "Config", validation: bool) -> dict[str, Any]:
    sets = [_open(spec, split) for spec, split in _specs(settings, validation)]
    _check_teacher(settings)
    from .soft_labels import label_all

    account = Account(settings.teacher.name, settings.teacher.store)
    total = sum(map(len, sets))
    with _meter(total) as show:
        for data in sets:
            clock = time.perf_counter()
            for soft in label_all(settings.teacher, data):
                now = time.perf_counter()
                account.add(soft, now - clock)
                clock = now
                show(account)
    found = {
        **asdict(account),
        "computed": account.computed,
        "images_per_second": account.images_per_second,
        "peak_rss_bytes": peak_rss(),
    }
    print(_summary(account, found["peak_rss_bytes"]))
    return found


def _summary(account: Account, peak: int | None) -> str:
    speed = account.images_per_second
    parts = [
        f"{account.teacher}: {account.images} images, {account.skipped} skipped (stored before)",
        f"{speed:.3g} images/s" if speed else "nothing to compute",
        f"{account.bytes / 1e6:.2f} MB written to {account.store}",
    ]
    if peak is not None:
        parts.append(f"peak memory {peak / 1e9:.2f} GB")
    if account.computed:
        parts.append(f"8 bits are off by {account.rounding_max:.4f} at most, {account.rounding_rms:.4f} rms")
    return ", ".join(parts)


@contextmanager
def _meter(total: int) -> Iterator[Callable[[Account], None]]:
    """Shows how far the work is: a bar in a terminal, now and then a line elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(total)
        return
    text = TextColumn("label"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[where]}")
    with Progress(*text, console=console) as bar:
        task = bar.add_task("label", total=total, where="")
        yield lambda account: bar.update(task, completed=account.images, where=account.where(total))


def _lines(total: int) -> Callable[[Account], None]:
    last = time.monotonic()

    def show(account: Account) -> None:
        nonlocal last
        if account.images == total or time.monotonic() - last >= EVERY:
            last = time.monotonic()
            log.info("label: %d of %d images, %s", account.images, total, account.where(total))

    return show


def peak_rss() -> int | None:
    """The largest resident memory of this process so far, bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
