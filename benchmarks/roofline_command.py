"""The command `roofline`: how near artefacts come to what this machine can do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from runtime.artifact import Artifact, open_artifact
from runtime.atomic import write_bytes

from . import roofline as flow
from .places import artifacts_at, check_files


def roofline(
    artifact: Annotated[
        list[str] | None,
        typer.Option(metavar="A...", help="OpenVINO's artefacts: folders or .zip, or a folder of them."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads; left out: OpenVINO's choice.")
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="How often all take their turn.")] = 5,
    repeats: Annotated[int, typer.Option(metavar="N", min=1, help="Timed runs in a turn.")] = 20,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="F", help="Write what is printed and more, for machines.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="F", help="Write the tables.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> int:
    """Time single convolutions in INT8 and fp32 with OpenVINO, and say what share of the best each artefact reaches."""
    check_files((json_file, markdown))
    artifacts = _named(artifact or ())
    plan = flow.Plan(threads, rounds, repeats)
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("roofline", total=flow.steps(plan))
        found = flow.run(artifacts, plan, lambda what: progress.update(task, advance=1, description=what))
    text = flow.to_markdown(found)
    if json_file:
        write_bytes(json_file, found.to_json().encode())
    if markdown:
        write_bytes(markdown, text.encode())
    console = Console(highlight=False)
    console.print(Markdown(text) if console.is_terminal else text, markup=False, soft_wrap=True)
    return 0


def _named(given: Sequence[str]) -> dict[str, Artifact]:
    """The artefacts by the names of their folders; those of one name are told apart by a number."""
    found: dict[str, Artifact] = {}
    for text in given:
        for path in artifacts_at(Path(text)):
            name, number = path.name.removesuffix(".zip"), 1
            while name in found:
                number += 1
                name = f"{path.name.removesuffix('.zip')}-{number}"
            found[name] = open_artifact(path)
    return found
