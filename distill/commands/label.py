"""`python -m distill label CONFIG.toml`: a teacher's probabilities of all the data that a configuration names."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from distill import settings
from distill.commands.console import (
    Check,
    ConfigFile,
    JsonFile,
    Override,
    log_to_stderr,
    stoppable,
    trainer_libraries,
)
from runtime.commands.output import write_json

if TYPE_CHECKING:
    from distill.config.sections import Config
    from distill.teaching.label import Account

log = logging.getLogger(__name__)

EVERY = 10.0  # seconds between two lines where there is no terminal


def label(
    config: ConfigFile,
    override: Override = None,
    validation: Annotated[bool, typer.Option("--validation", help="Also label the validation data.")] = False,
    check: Check = False,
    json_file: JsonFile = None,
) -> int:
    """Compute a teacher's probabilities once. Several processes share the work; call again to continue."""
    chosen = settings.load(config, override or ())
    with trainer_libraries():
        pass
    with log_to_stderr(), stoppable():
        result = _check(chosen, validation) if check else _label(chosen, validation)
    write_json(json_file, result)
    return 0


def _check(chosen: "Config", validation: bool) -> dict[str, Any]:
    """All problems at once; the images are asked for what the teacher wants where that is there."""
    from distill.teaching.label import check_teacher, open_set, specs_of
    from distill.teaching.soft_labels import stored
    from distill.training.preflight import Examination

    examined, counts = Examination(), {}
    examined.attempt(lambda: check_teacher(chosen))
    ready = not examined.problems

    def look(spec: str, split: str) -> None:
        data = open_set(spec, split)
        if ready:
            untaught: list[str] = []
            known = stored(chosen.teacher, data, untaught)
            counts[f"{spec} ({split})"] = {"images": len(data), "stored": known, "untaught": len(untaught)}

    for spec, split in specs_of(chosen, validation=validation):
        examined.attempt(lambda spec=spec, split=split: look(spec, split))
    for name, count in counts.items():
        wants = f"images have what {chosen.teacher.name} wants"
        have, lack = count["images"] - count["untaught"], count["untaught"]
        print(f"{name}: {have} {wants}; {count['stored']} are stored" + (f"; {lack} have it not" if lack else ""))
    examined.raise_problems()
    return {"teacher": chosen.teacher.name, "store": chosen.teacher.store, "data": counts}


def _label(chosen: "Config", validation: bool) -> dict[str, Any]:
    from distill.teaching.label import label as label_data

    with _meter() as show:
        account = label_data(chosen, validation=validation, step=show)
    result = {
        **asdict(account),
        "computed": account.computed,
        "images_per_second": account.images_per_second,
        "peak_rss_bytes": peak_rss(),
    }
    print(_summary(account, result["peak_rss_bytes"]))
    return result


def _summary(account: "Account", peak: int | None) -> str:
    speed = account.images_per_second
    parts = [
        f"{account.teacher}: {account.images} images, {account.skipped} skipped (stored before)",
        *([f"{account.untaught} that the teacher has no answer about"] if account.untaught else []),
        f"{speed:.3g} images/s" if speed else "nothing to compute",
        f"{account.bytes / 1e6:.2f} MB written to {account.store}",
    ]
    if peak is not None:
        parts.append(f"peak memory {peak / 1e9:.2f} GB")
    if account.computed:
        parts.append(f"8 bits are off by {account.rounding_max:.4f} at most, {account.rounding_rms:.4f} rms")
    return ", ".join(parts)


@contextmanager
def _meter() -> Iterator[Callable[["Account", int], None]]:
    """Shows how far the work is: a bar in a terminal, now and then a line elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    text = TextColumn("label"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[where]}")
    with Progress(*text, console=console) as bar:
        task = bar.add_task("label", total=None, where="")
        yield lambda account, total: bar.update(task, total=total, completed=account.images, where=account.where(total))


def _lines() -> Callable[["Account", int], None]:
    last = time.monotonic()

    def show(account: "Account", total: int) -> None:
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
