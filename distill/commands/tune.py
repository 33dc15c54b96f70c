"""`python -m distill tune STUDENT --data SPEC --out DIR`: thresholds for a few labelled images, without training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from distill.commands.console import Data, JsonFile, StudentName, trainer_libraries
from distill.commands.tables import show
from runtime import metrics
from runtime.commands.output import write_json
from runtime.system.places import check_writable

if TYPE_CHECKING:
    from distill.adapt.tune import Tuned
    from distill.evaluation.evaluate import Evaluation
    from distill.networks.spec import StudentSpec


def tune(
    student: StudentName,
    data: Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the new student.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the new student. Default: STUDENT-tuned.")] = "",
    json_file: JsonFile = None,
) -> int:
    """Choose a student's thresholds on labelled images, without training."""
    check_writable(out, "choose another --out")
    from distill import datasets
    from distill.student.description import describe

    describe(student)
    datasets.open(data, "all")
    with trainer_libraries():
        from distill.adapt.tune import tune as choose
    result = choose(student, data, out, name)
    _show(result)
    if result.after is None:
        print("warning: one image cannot say whether the new thresholds are better on others")
    elif _sum(result.after) <= _sum(result.before):
        print("warning: on images that they were not chosen on, the new thresholds are no better; keep the student")
    print(f"student: {out}; compile it with: python -m compile --target all --student {out}")
    evaluations = {"before": result.before, "after": result.after, "fitted": result.fitted}
    write_json(
        json_file,
        {
            "spec": result.student.spec.to_dict(),
            **{what: None if one is None else one.to_dict() for what, one in evaluations.items()},
        },
    )
    return 0


def _sum(evaluation: "Evaluation") -> float:
    return sum(evaluation.scores[name].mean for name in metrics.HEADLINES)


def _show(result: "Tuned") -> None:
    rules = Table("", "before", "after", box=None, pad_edge=False, header_style="bold")
    for what, before in _rule(result.begin).items():
        rules.add_row(what, before, _rule(result.student.spec)[what])
    show(rules)
    shown = [metrics.load(one) for one in metrics.HEADLINES]
    table = Table(f"{len(result.before.names)} images", *(one.title for one in shown), box=None, pad_edge=False)
    rows = {"before": result.before, "after, each image by thresholds chosen on others": result.after}
    for what, evaluation in {**rows, "after, on the images of the choice": result.fitted}.items():
        if evaluation is not None:
            scores = [evaluation.scores[metric.name].mean for metric in shown]
            table.add_row(what, *(f"{value:.3f}" for value in scores))
    show(table)


def _rule(spec: "StudentSpec") -> dict[str, str]:
    objects = spec.objects
    return {
        "threshold": f"{spec.threshold:g}",
        "core threshold": f"{objects.core_threshold:g}",
        "core prominence": f"{objects.core_prominence:g}",
        "core smoothing": f"{objects.core_smoothing:g} px",
        "smallest object": f"{objects.min_area} px",
    }
