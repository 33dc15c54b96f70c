"""`python -m distill adapt IMAGES --out DIR`: a lab's images and labels to a student for them, in one command."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from distill.commands.console import JsonFile, log_to_stderr, stoppable, trainer_libraries
from distill.commands.tables import show
from runtime.commands.output import write_json
from runtime.errors import InputError
from runtime.system.places import check_writable

if TYPE_CHECKING:
    from distill.adapt.flow import Adapted, Settings

ALL, NONE = "all", "none"


def adapt(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="Folder or zip with your images; see docs/adapt.md.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results. Call again with the same folder to continue.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of labels drawn by people. Default: in IMAGES, or next to them."),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of masks from another segmenter, for images without labels."),
    ] = None,
    student: Annotated[
        str, typer.Option(metavar="STUDENT", help="Student to start from. Default: the bundled default.")
    ] = "",
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="TARGET", help="Target to compile for: a name, all (default) or none; may be repeated."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Number of training steps in float, for each training.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="M", help="Approximate total time, instead of --steps.")
    ] = None,
    channel: Annotated[
        int | None, typer.Option(metavar="N", help="Channel that shows the objects, counted from 0.")
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the new student.")] = "",
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Random seed.")] = 0,
    json_file: JsonFile = None,
) -> int:
    """Fine-tune a student on your images, measure the gain, and compile it."""
    start = time.perf_counter()
    if steps is not None and minutes is not None:
        msg = "Give --steps or --minutes, not both."
        raise InputError(msg)
    if minutes is not None and not 0 < minutes < 10_000:
        msg = f"--minutes is {minutes:g}; give for example 10."
        raise InputError(msg)
    check_writable(out, "choose another --out")
    from distill.adapt import flow, plan, survey
    from distill.adapt.words import survey_lines
    from distill.student import description

    flow.check_place(out)
    requested = plan.STEPS if steps is None else steps
    settings = flow.Settings(student or description.DEFAULT, requested, minutes, seed, name)
    begin = description.describe(settings.student)
    if len(begin.spec.channels) > 1:
        msg = f"{settings.student} sees {len(begin.spec.channels)} channels; begin with a student that sees one."
        raise InputError(msg)
    found = flow.with_reference(survey.survey(images, labels, masks, channel, begin.trained_on))
    scheme = plan.validation_of(found)
    rounded = plan.check_steps(requested)
    for line in survey_lines(found):
        print(line, flush=True)
    print(f"plan: {scheme}", flush=True)
    if rounded != requested:
        print(f"steps: {rounded}, the multiple of {plan.INTERVAL} that is nearest to {requested}", flush=True)
    with trainer_libraries():
        from distill.adapt import artefacts, report
    with log_to_stderr(), stoppable():
        result = flow.adapt(found, settings, out)
        _show(result)
        made: list[Path] = []
        report.write(result, settings, made)
        if targets := [] if target == [NONE] else target or [ALL]:
            precision = "int8" if begin.has_int8 else "fp16"
            made = artefacts.compile_artefacts(out / flow.STUDENT, targets, precision, out / flow.ARTEFACTS)
            report.write(result, settings, made)
    for path in made:
        print(f"artefact: {path}")
    seconds = time.perf_counter() - start
    print(f"student: {out / flow.STUDENT}, report: {out / flow.REPORT} ({seconds / 60:.1f} minutes)")
    write_json(json_file, _json(result, settings, made, seconds))
    return 0


def _show(result: "Adapted") -> None:
    from distill.adapt.report import outcome_lines, score_table

    head, *rows = score_table(result)
    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    show(table, *outcome_lines(result), style="none")


def _json(result: "Adapted", settings: "Settings", artefacts: Sequence[Path], seconds: float) -> dict[str, Any]:
    from dataclasses import asdict

    from distill.adapt.measure import CANDIDATES
    from runtime import metrics

    def gain(candidate: str, metric: str) -> dict[str, Any]:
        mean, interval = result.scores.gain(candidate, metric)
        return {"mean": result.scores.mean(candidate, metric), "gain": mean, "interval": interval}

    return {
        "student": result.name,
        "settings": asdict(settings),
        "images": [asdict(one) for one in result.survey.fields],
        "warnings": list(result.survey.warnings),
        "truth": result.survey.reference,
        "validation": {**asdict(result.validation), "scored": list(result.scores.names)},
        "steps": result.steps,
        "best": result.best,
        "scores": {one: {metric: gain(one, metric) for metric in metrics.HEADLINES} for one in CANDIDATES},
        "artefacts": [str(path) for path in artefacts],
        "seconds": seconds,
    }
