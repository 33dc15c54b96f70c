"""The command of `python -m compile`: its options, and what it prints."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler

from compile import request as requests
from compile import targets
from compile.accuracy.budget import MAX_DROP, OverBudget
from compile.bundle.sign import load_signer
from compile.commands import tables
from distill.commands.tables import show
from runtime.commands.command_line import can_complete, epilog
from runtime.commands.output import told_each_minute, write_json
from runtime.system.places import check_file, check_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from compile.build import Outcome
    from compile.target import Option


EXAMPLE = "python -m compile --target intel --student nuclei-fast --out artifacts"


def make_app() -> typer.Typer:
    """The application, with the options of all targets."""
    app = typer.Typer(add_completion=can_complete(), rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(epilog=epilog(EXAMPLE))(_with_target_options(compile_for_targets, requests.every_option()))
    return app


def compile_for_targets(
    target: Annotated[str, typer.Option(help=f"Target: {', '.join(targets.names())}, or {requests.ALL}.")],
    student: Annotated[str, typer.Option(help="Name of a bundled student, or a student's folder.")] = "",
    precision: Annotated[
        str, typer.Option(help="int8, fp16, fp32, or auto (the first of int8, mixed, fp16 within --max-drop).")
    ] = "int8",
    tile: Annotated[str, typer.Option(help="Tile size in pixels: N or HxW. Default: the student's own.")] = "",
    validate: Annotated[str, typer.Option(help="Labelled data to measure accuracy on, NAME:PATH.")] = "",
    max_drop: Annotated[
        float, typer.Option(help="Largest allowed loss of accuracy against the fp32 student, in Dice points.")
    ] = MAX_DROP,
    out: Annotated[Path, typer.Option(help="Folder for the artefacts.")] = Path("artifacts"),
    sign: Annotated[Path | None, typer.Option(help="Sign the artefacts with this private Ed25519 key (PEM).")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the printed result as JSON.")] = None,
    **of_targets: tuple[str, ...],
) -> None:
    """Compile a student for one or all targets, and check its accuracy and agreement."""
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False, show_time=False)],
    )
    request = requests.checked(
        target,
        precision,
        max_drop,
        of_targets,
        tile=requests.tile_of(tile) if tile else None,
        validate=validate or None,
        sign=load_signer(sign),
    )
    check_writable(out, "choose another --out")
    if json_file:
        check_file(json_file)
    with Console(stderr=True).status("loading") as status, told_each_minute("compile", len(request.targets)) as tell:
        from compile.build import run
        from distill.student import student as students

        loaded = students.load(student or students.DEFAULT)

        def step(what: str) -> None:
            status.update(f"{loaded.spec.name}: {what}")
            tell(what)

        try:
            outcome = run(loaded, request, out, step=step)
        except OverBudget as missed:
            status.stop()
            _show_why(missed)
            write_json(json_file, missed.to_dict())
            raise
    _show(outcome)
    write_json(json_file, [tables.row_of(artifact, outcome.steps) for artifact in outcome.artifacts])


def _with_target_options(
    command: Callable[..., None], every: Mapping[str, Mapping[str, Option]]
) -> Callable[..., None]:
    """The command with an option for each of the targets', which all arrive as lists of text."""

    def wrapped(**values: Any) -> None:
        given = {name: tuple(values.pop(_parameter(name)) or ()) for name in every}
        command(**values, **given)

    own = inspect.signature(command, eval_str=True)
    parameters = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    for name, offered in every.items():
        text = "; ".join(f"{', '.join(names)}: {words}" for words, names in _by_help(offered).items())
        many = any(option.many for option in offered.values())
        text += ". May be repeated." if many else "."
        annotation = Annotated[list[str] | None, typer.Option(f"--{name}", metavar="TEXT", help=text)]
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(_parameter(name), keyword, default=None, annotation=annotation))
    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters}
    wrapped.__signature__ = own.replace(parameters=parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return wrapped


def _parameter(option: str) -> str:
    """The Python name of an option: "case-colour" is case_colour."""
    return option.replace("-", "_")


def _by_help(offered: Mapping[str, Option]) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for target, option in offered.items():
        words.setdefault(option.help, []).append(target)
    return words


def _show(outcome: Outcome) -> None:
    made = outcome.artifacts
    if outcome.steps:
        names = [artifact.manifest.target for artifact in made]
        steps = [{"target": name, **step.to_dict(name)} for name in names for step in outcome.steps]
        show(tables.steps_table(steps), "")
    manifest = made[0].manifest
    accuracy = manifest.accuracy
    assert accuracy is not None
    written = [*(item.path for item in made), *outcome.folders]
    below = [
        f"Written: {', '.join(str(place) for place in written)}.",
        f"Measured on {accuracy.data}. drop: loss against fp32 in Dice points, with a 95 % interval over the images.",
        "with reference: mask Dice with the reference, on the probes. with others: with the other targets, on images.",
        *dict.fromkeys(note for item in made for note in item.manifest.notes),
    ]
    if outcome.steps:
        below.append(f"--precision auto chose {manifest.precision}.")
    show(tables.artefacts_table(made), *below, "")
    for item in made:
        for report in targets.load(item.manifest.target).reports(item.manifest):
            show(tables.report_table(report), *report.lines, "")
    limits = manifest.tolerance
    show(
        tables.agreement_table(outcome.matrix),
        f"Each cell: mask Dice (at least {limits.mask_dice:g}) and the largest difference of probability (at most "
        f"{limits.probability_max:g}), on {manifest.probes.count} probes.",
    )


def _show_why(missed: OverBudget) -> None:
    """Print the measurements of a student that exceeds the budget."""
    if missed.steps:
        show(tables.steps_table(missed.steps), "")
    if (errors := missed.sensitivity) is None:
        return
    more = ""
    if len(errors.rows) > tables.LAYERS:
        more = f" {tables.LAYERS} of {len(errors.rows)} layers; all are written by --json."
    show(
        tables.layers_table(errors),
        f"Where the error of int8 enters: each layer rounded alone, and all but that layer, against float, on "
        f"{errors.crops} recorded frames.{more}",
    )
