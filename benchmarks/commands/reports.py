"""The commands that read reports: `compare` them, guard against a worse one, `choose` an artefact, draw `pareto`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.answers import choose as choosing
from benchmarks.answers import guard, wording
from benchmarks.answers.costing import HOURS, Rates, parse_amounts
from benchmarks.answers.requirements import Limits, parse_quality
from benchmarks.commands.options import Json, MarkdownFile, Reports, say, show_table
from benchmarks.commands.run import show
from benchmarks.inputs.stream import CameraStream, parse_shape
from benchmarks.page import comparison, pareto_figure
from benchmarks.report.report import Report
from benchmarks.rivals.record import read_comparison
from runtime import metrics
from runtime.commands.output import write_json, write_text
from runtime.errors import BudgetMissed, InputError
from runtime.system.atomic import write_bytes
from runtime.system.places import check_file

FORMS = ("svg", "png")


def compare(
    reports: Reports,
    html: Annotated[
        Path | None, typer.Option(metavar="F", help="Write the comparison as one HTML page that works offline.")
    ] = None,
    markdown: MarkdownFile = None,
    csv: Annotated[Path | None, typer.Option(metavar="F", help="Write a CSV table.")] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET:DEVICE", help="Show a row for this device even if it was not measured; may be repeated."
        ),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="M:N[%],...",
            help=f"With OLD NEW: fail if NEW is worse by more than N. M is one of {', '.join(guard.names())}.",
        ),
    ] = None,
    json_file: Json = None,
) -> int:
    """Compare reports of several machines, or check a new report against an old one."""
    limits = guard.parse_limits(fail_on) if fail_on is not None else None
    if limits is not None and len(reports) != 2:
        msg = f"--fail-on compares two reports, OLD and NEW, not {len(reports)}."
        raise InputError(msg)
    check_file(html, markdown, csv, json_file)
    compared = comparison.compare(reports, expect or ())
    judgements = guard.guard(compared.reports[0], compared.reports[1], limits) if limits else []
    for path, form in ((html, compared.to_html), (markdown, compared.to_markdown), (csv, compared.to_csv)):
        if path:
            write_text(path, form())
    if limits is None:
        show(compared.reports, json_file, expect or ())
        return 0
    _show_judgements(compared.reports, judgements, json_file)
    if any(one.failed for one in judgements):
        raise BudgetMissed(wording.of_failures(judgements))
    return 0


def choose(
    reports: Reports,
    latency_ms: Annotated[
        float | None, typer.Option(metavar="MS", min=0, help="Limit for the time of a frame.")
    ] = None,
    memory_mb: Annotated[
        float | None, typer.Option(metavar="MB", min=0, help="Limit for the memory of the process.")
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC:VALUE,...",
            help=f"Limits for accuracy: minimum, or maximum for errors. METRIC: one of {', '.join(metrics.names())}.",
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(metavar="HxW@RATE", help="The artefact must keep up with this camera, e.g. 2048x2048@40."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="ID", help="Consider only this device: its id, or a part of its name.")
    ] = None,
    percentile: Annotated[int, typer.Option(metavar="P", help="Percentile of the latency: 50, 90, 95 or 99.")] = 95,
    tiles: Annotated[
        bool, typer.Option("--tiles", help="Judge the network alone on one tile instead of whole frames.")
    ] = False,
    sure: Annotated[bool, typer.Option("--sure", help="Judge each value by the bad end of its spread.")] = False,
    frame: Annotated[
        str | None, typer.Option(metavar="HxW", help="Size of your frames. Default: the measured size.")
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="[DEVICE=]AMOUNT", help="Price of a device, in any currency; may be repeated."),
    ] = None,
    power: Annotated[
        list[str] | None,
        typer.Option(metavar="[DEVICE=]WATTS", help="Power of a device at work, instead of the report's value."),
    ] = None,
    kwh_price: Annotated[
        float | None, typer.Option(metavar="AMOUNT", min=0, help="Price of a kWh of electricity.")
    ] = None,
    hours: Annotated[
        float, typer.Option(metavar="H", min=0, help="Hours of use over which the price of a device is spread.")
    ] = HOURS,
    plate: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of images of a plate: report its time and cost.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="F", help="Write an HTML page with the answer and all results.")
    ] = None,
    json_file: Json = None,
) -> int:
    """Choose the best device and artefact for your limits, with reasons. Exit code 1 if none meets them."""
    stream = CameraStream.parse(camera) if camera else None
    least = parse_quality(quality) if quality else {}
    rates = Rates(
        parse_amounts("--price", tuple(price or ())), parse_amounts("--power", tuple(power or ())), kwh_price, hours,
        plate,
    )  # fmt: skip
    shape = parse_shape(frame) if frame else None
    limits = Limits(latency_ms, memory_mb, least, stream, percentile, tiles, sure, shape, rates)
    check_file(html, json_file)
    answer = choosing.choose(reports, limits, device)
    say(wording.of_answer(answer))
    write_text(html, comparison.compare(reports).to_html(answer) if html else "")
    write_json(json_file, answer)
    return 0 if answer.best else 1


def pareto(
    reports: Reports,
    out: Annotated[Path, typer.Option(metavar="F", help="Figure to write: F.svg or F.png.")],
    rivals: Annotated[
        Path | None, typer.Option(metavar="F", help="Result of `rivals --json`: its times become lines.")
    ] = None,
) -> int:
    """Draw accuracy against the time of a tile, with the Pareto front."""
    form = out.suffix.removeprefix(".").lower()
    if form not in FORMS or out.is_dir():
        msg = f"--out {str(out)!r} is no picture that can be written; give a file that ends in .svg or .png."
        raise InputError(msg)
    shown = comparison.compare(reports).entries
    write_bytes(out, pareto_figure.draw(shown, read_comparison(rivals) if rivals else None, form))
    return 0


def _show_judgements(read: Sequence[Report], judgements: Sequence[guard.Judgement], json_file: Path | None) -> None:
    result = guard.GuardResult(tuple(judgements), tuple(guard.remarks(*read)))
    show_table(wording.HEAD, wording.of_judgements(judgements))
    say(result.remarks, style="dim")
    write_json(json_file, result)
