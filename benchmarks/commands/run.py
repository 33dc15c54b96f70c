"""The command `run`: measure artefacts on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.campaign import campaign
from benchmarks.commands.options import Diameter, Json, Threads, Until, progress, say, show_table
from benchmarks.host.profiles import constraint
from benchmarks.inputs.artifacts import open_artifacts
from benchmarks.inputs.source import Selection
from benchmarks.measures.figures import OBJECTS
from benchmarks.page.comparison import compare
from benchmarks.report.files import write_report
from benchmarks.report.report import Report
from distill import datasets
from runtime.commands.output import write_json
from runtime.errors import InputError
from runtime.execution import Execution
from runtime.images.planes import number_or_name
from runtime.system.places import check_file, check_writable

LONGEST = 24 * 60  # minutes of a sustained run


def run(
    artifact: Annotated[
        list[str],
        typer.Option(metavar="A...", help="Artefact folder or .zip, or a folder of artefacts; may be repeated."),
    ],
    data: Annotated[
        str | None, typer.Option(metavar="NAME:PATH", help=f"Labelled data; NAME: {', '.join(datasets.names())}.")
    ] = None,
    images: Annotated[list[str] | None, typer.Option(metavar="FILE...", help="Images without labels.")] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="N|NAME", help="Which channel to read: a number from 0, or a name.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option(metavar="N|NAME", help="Which scene to read: a number from 0, or a name.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="KIND", help="Score on nuclei or cells. Default: what the artefacts find.")
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Use this many images at most.")] = None,
    include_trained: Annotated[
        bool, typer.Option("--include-trained", help="Also use images that were seen in training.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="F", help="Write the report, with every sample.")] = None,
    pictures: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for masks and overlays (PNG).")] = None,
    repeats: Annotated[
        int, typer.Option(metavar="N", min=2, help="Frames and tiles to time, per artefact and round.")
    ] = 50,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Number of fresh processes per artefact.")] = 3,
    threads: Threads = None,
    backend: Annotated[
        str | None, typer.Option(metavar="B", help="Use this backend instead of the artefact's own.")
    ] = None,
    also_bf16: Annotated[
        bool, typer.Option("--also-bf16", help="Also run fp32 artefacts in bf16, if possible here.")
    ] = False,
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Also measure tiles per second, in batches and parallel requests.")
    ] = False,
    sustain: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="Also run each artefact this long: drift, clocks, temperature."),
    ] = None,
    until: Until = OBJECTS,
    diameter: Diameter = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Limit this machine to a smaller one's resources, e.g. 2-cores-2gb."),
    ] = None,
    cores: Annotated[int | None, typer.Option(metavar="N", min=1, help="Use only N cores.")] = None,
    memory_limit: Annotated[
        int | None, typer.Option(metavar="MB", min=1, help="Memory limit of each measuring process.")
    ] = None,
    min_seconds: Annotated[
        float, typer.Option(metavar="S", min=0, help="Least time to measure each artefact; MLPerf uses 600.")
    ] = 0.0,
    pace: Annotated[
        float | None,
        typer.Option(metavar="RATE", min=0.001, help="Start frames at this rate (per second), like a camera."),
    ] = None,
    power_csv: Annotated[
        Path | None,
        typer.Option(metavar="F", help="Energy by a power meter's file of time and watts."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="NAME", help='Name of this machine in tables, e.g. "microscope 2".')
    ] = None,
    json_file: Json = None,
) -> int:
    """Measure artefacts on this machine: time, memory, quality."""
    check_file(out, json_file)
    if pictures:
        check_writable(pictures, "give another folder")
    if sustain is not None and not 0 < sustain <= LONGEST:
        msg = f"--sustain is {sustain:g} minutes; give more than 0, and at most {LONGEST}."
        raise InputError(msg)
    selection = Selection(
        data, tuple(images or ()), number_or_name(channel), labels, limit, include_trained, number_or_name(scene)
    )
    limits = constraint(profile, cores, memory_limit)
    execution = Execution(backend=backend, threads=threads)
    plan = campaign.RunPlan(
        rounds,
        repeats,
        execution,
        also_bf16,
        pictures,
        throughput,
        sustain,
        limits,
        until,
        diameter,
        label,
        min_seconds,
        pace,
        power_csv=power_csv,
    )
    artifacts = open_artifacts(artifact)
    with progress("measuring", campaign.steps(artifacts, plan)) as step:
        report = campaign.run(artifacts, selection, plan, step)
    if out:
        write_report(out, report)
    show([report], json_file)
    return 1 if report.failed else 0


def show(reports: Sequence[Report], json_file: Path | None, expect: Sequence[str] = ()) -> None:
    """Print the table of the reports, where the time of a frame goes, and the notes; and write it for machines."""
    comparison = compare(reports, expect)
    head, *lines = comparison.cells()
    show_table(head, lines)
    head, *lines = comparison.stage_cells()
    if lines:
        say(["", "a frame, medians:"])
        show_table(head, lines)
    say(comparison.notes(), style="dim")
    write_json(json_file, comparison.to_dict())
