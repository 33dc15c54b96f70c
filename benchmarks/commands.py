"""Measure artefacts on this machine with `run`, put reports side by side with `compare`, and pick one with `choose`."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from runtime import backend as backends
from runtime.artifact import Artifact, open_artifact
from runtime.errors import InputError

from . import (
    answer_commands,
    campaign,
    live_commands,
    matrix_command,
    pareto_command,
    rivals_command,
    roofline_command,
    source,
    ssh_command,
)
from .places import artifacts_at
from .profiles import constraint
from .report import write_report

LONGEST = 24 * 60  # minutes of a sustained run

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)
answer_commands.add_to(app)
live_commands.add_to(app)
app.command()(matrix_command.matrix)
app.command()(pareto_command.pareto)
app.command()(rivals_command.rivals)
app.command()(roofline_command.roofline)
app.command()(ssh_command.ssh)

Json = Annotated[Path | None, typer.Option("--json", metavar="F", help="Write what is printed, for machines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")]


@app.command()
def run(
    artifact: Annotated[
        list[str], typer.Option(metavar="A...", help="Artefacts: folders or .zip, or a folder of them.")
    ],
    data: Annotated[str | None, typer.Option(metavar="NAME:PATH", help="Labelled data, e.g. synthetic:6@7.")] = None,
    images: Annotated[list[str] | None, typer.Option(metavar="FILE...", help="Images without labels.")] = None,
    channel: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Channel of multi-channel images, from 0.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="KIND", help="nuclei or cells; left out: what the artefacts find.")
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Use this many images at most.")] = None,
    include_trained: Annotated[
        bool, typer.Option("--include-trained", help="Use images seen in training, too.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="F", help="Write the report with every sample.")] = None,
    pictures: Annotated[Path | None, typer.Option(metavar="DIR", help="Write masks and overlays as PNG.")] = None,
    repeats: Annotated[int, typer.Option(metavar="N", min=2, help="Timed tiles per artefact and round.")] = 50,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Fresh processes per artefact.")] = 3,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads; left out: the backend's choice.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="B", help="This backend, whatever the artefact's own is.")
    ] = None,
    also_bf16: Annotated[bool, typer.Option("--also-bf16", help="Run OpenVINO fp32 artefacts in bf16, too.")] = False,
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Tiles per second in batches and in several requests, too.")
    ] = False,
    sustain: Annotated[
        float | None, typer.Option(metavar="MINUTES", help="Run each artefact for so long: drift, clocks, heat.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Hold this machine back like a smaller one, e.g. 2-cores-2gb.")
    ] = None,
    cores: Annotated[int | None, typer.Option(metavar="N", min=1, help="Hold it back to N cores.")] = None,
    memory_limit: Annotated[
        int | None, typer.Option(metavar="MB", min=1, help="Hold each measuring process to this memory.")
    ] = None,
    json_file: Json = None,
    debug: Debug = False,
) -> int:
    """Measure artefacts on this machine: time, memory, overlap."""
    _check_places(out, pictures)
    if sustain is not None and not 0 < sustain <= LONGEST:
        msg = f"--sustain is {sustain:g} minutes; give more than 0, and at most {LONGEST}."
        raise InputError(msg)
    artifacts = _artifacts(artifact, backend)
    trained_on = frozenset() if include_trained else _trained_on(artifacts)
    where, described = _images(data, images, channel, labels or _found_by(artifacts), limit, trained_on)
    plan = campaign.Plan(
        *(rounds, repeats, threads, backend, also_bf16, pictures, throughput, sustain),
        limits=constraint(profile, cores, memory_limit),
    )
    with _progress(campaign.steps(artifacts, plan)) as step:
        result = campaign.run(artifacts, where, described, plan, step)
    if out:
        write_report(out, result)
    answer_commands.show([result], json_file)
    return 1 if result.failed else 0


def _check_places(out: Path | None, pictures: Path | None) -> None:
    """What could not be written at the end is said at the start."""
    if out and out.is_dir():
        msg = f"{str(out)!r} is a folder; give a file for the report."
        raise InputError(msg)
    if pictures and pictures.exists() and not pictures.is_dir():
        msg = f"{str(pictures)!r} is a file; give a folder for the pictures."
        raise InputError(msg)


def _artifacts(given: Sequence[str], backend: str | None) -> list[Artifact]:
    """Open them all before anything is measured: a damaged one, or a backend that cannot run one, ends it here."""
    artifacts = [open_artifact(path) for text in given for path in artifacts_at(Path(text))]
    if backend:
        for artifact in artifacts:
            backends.choose(artifact.manifest, backend)
    return artifacts


def _trained_on(artifacts: Iterable[Artifact]) -> frozenset[str]:
    return frozenset(frame for artifact in artifacts for frame in artifact.manifest.lineage.trained_on)


def _found_by(artifacts: Iterable[Artifact]) -> str | None:
    """Which objects the artefacts find, where all say the same; None where they do not say."""
    kinds = {artifact.manifest.accuracy.get("labels") for artifact in artifacts}
    return kinds.pop() if len(kinds) == 1 else None


def _images(
    data: str | None,
    images: Sequence[str] | None,
    channel: int | None,
    labels: str | None,
    limit: int | None,
    trained_on: frozenset[str],
) -> tuple[source.Source, source.Data]:
    if bool(data) == bool(images):
        msg = f"Give either --data NAME:PATH or --images FILE..., not {'both' if data else 'neither'}."
        raise InputError(msg)
    if data:
        return source.from_data(data, labels, limit, trained_on)
    return source.from_images(tuple(images or ()), channel, limit)


@contextmanager
def _progress(total: int) -> Iterator[campaign.Step]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("measuring", total=total)
        yield lambda what: progress.update(task, advance=1, description=what)
