"""The command `devices`: which device of this machine to run an artefact on, each timed with the artefact itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.answers import choose as choosing
from benchmarks.answers import wording
from benchmarks.answers.requirements import Limits
from benchmarks.campaign import campaign
from benchmarks.commands.options import Json, Threads, progress, say
from benchmarks.commands.run import show
from benchmarks.inputs.artifacts import open_artifacts
from benchmarks.inputs.source import Selection
from benchmarks.inputs.stream import CameraStream
from benchmarks.report.files import write_report
from benchmarks.report.report import Report
from runtime import backend as backends
from runtime.commands.output import write_json
from runtime.execution import Execution
from runtime.system import extras
from runtime.system.places import check_file


def devices(
    artifact: Annotated[
        list[str],
        typer.Option(metavar="A...", help="Artefact folder or .zip, or a folder of artefacts; may be repeated."),
    ],
    camera: Annotated[str, typer.Option(metavar="HxW@RATE", help="Size and rate of the timed frames.")] = "512x512@5",
    data: Annotated[str, typer.Option(metavar="NAME:PATH", help="Labelled data to measure accuracy on.")] = str(
        campaign.DRAWN.data
    ),
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Number of fresh processes per device.")] = 3,
    repeats: Annotated[int, typer.Option(metavar="N", min=2, help="Frames and tiles to time in each process.")] = 20,
    threads: Threads = None,
    label: Annotated[str | None, typer.Option(metavar="NAME", help="Name of this machine in tables.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="F", help="Write the report, with every sample.")] = None,
    json_file: Json = None,
) -> int:
    """Time the artefacts on every device of this machine at a camera's rate, and choose one.

    Exit code 1 if none keeps up. Devices with wrong results, or slower than the CPU, are reported."""
    check_file(out, json_file)
    stream = CameraStream.parse(camera)
    artifacts = open_artifacts(artifact)
    plan = campaign.RunPlan(rounds=rounds, repeats=repeats, execution=Execution(threads=threads), label=label)
    with progress("devices", campaign.steps(artifacts, campaign.device_plan(stream, plan))) as step:
        report = campaign.devices(artifacts, stream, Selection(data), plan, step)
    if out:
        write_report(out, report)
    show([report], None)
    answer = choosing.choose([report], Limits(camera=stream, sure=True))
    say(["", *wording.of_answer(answer), *slower_than_first(report), *not_here()])
    write_json(json_file, answer)
    return 0 if answer.best else 1


def slower_than_first(report: Report) -> Iterator[str]:
    """Each device that takes longer than the backend's first one, the CPU: an accelerator that slows down."""
    timed = {row.name: row.timing.frame_ms.p50 for row in report.rows if row.timing and row.timing.frame_ms.p50}
    for name, ms in timed.items():
        first, _, device = name.rpartition("-on-")
        if first in timed and ms > timed[first]:
            yield f"refuse {device}: {first} takes {ms / timed[first]:.2f} times as long there as on the first device"


def not_here() -> Iterator[str]:
    """The backends whose devices nobody can time here, with what to install."""
    for name in backends.names():
        backend = backends.load(name)
        if backend.library() is None:
            yield f"not here: {name}; if the machine has such a device, run: {extras.install(backend.extra)}"
