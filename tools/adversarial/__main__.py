"""`make adversarial`, or python -m tools.adversarial --artifact DIR...: many tries of each kind, and one table.

A try is repeated by --repeat KIND:SEED:NUMBER, which prints what became of it. Exit code 1 when a try showed a fault.
"""

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from runtime.commands import command_line
from runtime.commands.output import write_text
from runtime.errors import InputError
from runtime.system.processor import cpu_model, usable_cores
from tools.adversarial.bench import HEAD, Row, Setup, run
from tools.adversarial.kinds import KINDS

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
SHOWN = 12  # faults of a kind
ROOT = Path(__file__).parents[2]


@app.command(help=__doc__)
def adversarial(
    artifact: Annotated[list[Path] | None, typer.Option(help="An artefact to spoil, or a folder of them.")] = None,
    tries: Annotated[int, typer.Option(min=1, help="Of the quickest kinds; others make a share of them.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of everything.")] = 1,
    only: Annotated[list[str] | None, typer.Option(metavar="KIND", help=", ".join(KINDS))] = None,
    skip: Annotated[list[str] | None, typer.Option(metavar="KIND", help="Kinds that are left out.")] = None,
    minutes: Annotated[float, typer.Option(help="For all kinds together; what is not done then is left out.")] = 600.0,
    jobs: Annotated[int, typer.Option(min=1, help="Child processes at a time.")] = usable_cores(),
    repeat: Annotated[str | None, typer.Option(metavar="KIND:SEED:NUMBER", help="Make one try again.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
) -> int:
    numbers: list[int] | None = None
    chosen = [_kind(name) for name in only or KINDS if name not in (skip or ())]
    if repeat is not None:
        name, seed, number = _parsed(repeat)
        chosen, numbers = [_kind(name)], [number]
    rows: list[Row] = []
    end = monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="adversarial-", dir=_quick_folder()) as folder:
        artifacts = _artifacts(artifact or [ROOT / "build" / "adversarial"])
        copies = [Path(shutil.copytree(path, Path(folder) / "artifacts" / path.name)) for path in artifacts]
        setup = Setup(Path(folder), tuple(copies), _shared())
        for place, kind in enumerate(chosen):
            until = monotonic() + (end - monotonic()) / (len(chosen) - place)
            count = max(1, min(tries, kind.most or tries)) if only else kind.tries(tries)
            row = run(kind, seed, numbers or range(count), setup, jobs, until)
            rows.append(row)
            _tell(row, seed, every=repeat is not None)
    table = _table(rows)
    print(table)
    faults = sum(len(row.faults) for row in rows)
    if markdown is not None:
        machine = f"{cpu_model()}, {usable_cores()} cores, {platform.system()}, Python {platform.python_version()}"
        write_text(markdown, f"{' '.join(sys.orig_argv[1:])}\n\n{machine}\n\n{table}\n")
    return int(bool(faults))


def _tell(row: Row, seed: int, *, every: bool) -> None:
    print(f"{row.kind.name}: {row.counts.total()} tries in {row.seconds:.0f} s, {len(row.faults)} faults", flush=True)
    told: dict[str, int] = {}
    for number, words in sorted(row.faults.items()):
        told[words[:60]] = told.get(words[:60], 0) + 1
        if every or (told[words[:60]] <= 2 and len(told) <= SHOWN):
            print(f"  {row.kind.name}:{seed}:{number}  {words}", flush=True)
    if every and row.counts and not row.faults:
        print(f"  {row.counts.most_common(1)[0][0]}")


def _table(rows: list[Row]) -> str:
    lines = [HEAD, ["---", *["---:"] * (len(HEAD) - 1)], *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _kind(name: str):  # noqa: ANN202
    if name not in KINDS:
        msg = f"There is no kind {name!r}; there are {', '.join(KINDS)}."
        raise InputError(msg)
    return KINDS[name]


def _parsed(text: str) -> tuple[str, int, int]:
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isdigit() for part in parts[1:]):
        msg = f"--repeat is {text!r}; give KIND:SEED:NUMBER, such as tiff:1:37."
        raise InputError(msg)
    return parts[0], int(parts[1]), int(parts[2])


def _artifacts(paths: list[Path]) -> list[Path]:
    found = [
        one for path in paths for one in ([path] if (path / "manifest.json").is_file() else sorted(path.glob("*/")))
    ]
    if not found:
        msg = "There is no artefact to spoil; make adversarial compiles some, or give --artifact DIR."
        raise InputError(msg)
    return [path.resolve() for path in found]


def _shared() -> Path | None:
    place = Path(os.environ.get("EDGESCOPE_SHARED") or ROOT.parent / "shared")
    return place.resolve() if (place / "data").is_dir() else None


def _quick_folder() -> str | None:
    """Where many small files are quick: in memory, on Linux."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.exit(command_line.run(lambda: app, "tools.adversarial", "dev", sys.argv[1:]))
