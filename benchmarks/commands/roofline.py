"""The command `roofline`: how near artefacts come to what this machine can do."""

from typing import Annotated

import typer

from benchmarks.commands.options import Artifacts, Json, MarkdownFile, Threads, progress, show_markdown
from benchmarks.roofline import roofline as flow
from benchmarks.roofline.table import to_markdown
from runtime.commands.output import write_json, write_text
from runtime.system.places import check_file


def roofline(
    artifact: Artifacts = None,
    backend: Annotated[
        str | None,
        typer.Option(metavar="B", help="Left out: that of the artefacts, or the first that tells of layers."),
    ] = None,
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="How often all take their turn.")] = 5,
    repeats: Annotated[int, typer.Option(metavar="N", min=1, help="Timed runs in a turn.")] = 20,
    json_file: Json = None,
    markdown: MarkdownFile = None,
) -> int:
    """Time single convolutions in INT8 and fp32, and say what share of the best each artefact reaches."""
    check_file(json_file, markdown)
    plan = flow.RooflinePlan(backend, threads, rounds, repeats)
    with progress("roofline", flow.steps(plan)) as step:
        result = flow.run(artifact or (), plan, step)
    text = to_markdown(result)
    write_json(json_file, result)
    write_text(markdown, text)
    show_markdown(text)
    return 0
