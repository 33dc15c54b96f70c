"""`python -m distill gallery STUDENT`: the images that a student does worst on, and what was measured about why."""

from pathlib import Path
from typing import Annotated

import typer

from distill import datasets
from distill.commands.console import Data, IncludeTrained, StudentName, trainer_libraries
from distill.evaluation.scored_data import Labels, Split, labelled, scoring, unseen
from runtime.errors import InputError


def gallery(
    student: StudentName,
    data: Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for gallery.png, gallery.md and gallery.json.")],
    worst: Annotated[int, typer.Option(metavar="N", min=1, max=60, help="Number of images to show.")] = 12,
    split: Annotated[Split, typer.Option(help="Part of the data to use.")] = Split.val,
    labels: Annotated[
        Labels | None, typer.Option(help="Objects to score. Default: the kind that the student was trained on.")
    ] = None,
    in_float: Annotated[bool, typer.Option("--float", help="Compute in fp32 instead of INT8 arithmetic.")] = False,
    include_trained: IncludeTrained = False,
) -> int:
    """Show a student's worst images, and measure the causes of errors over all images."""
    if out.exists() and not out.is_dir():
        msg = f"--out {str(out)!r} is a file; give a folder."
        raise InputError(msg)
    samples = datasets.open(data, split.value)
    with trainer_libraries():
        from distill.evaluation.gallery.flow import gather, write
        from distill.evaluation.predict import segmenting
        from distill.student import student as student_files
    loaded = student_files.load(student)
    if loaded.scheme is None and not in_float:
        msg = f"{loaded.spec.name} was not trained for int8; look at it with --float."
        raise InputError(msg)
    wanted = labels.value if labels else loaded.labels
    new = unseen(samples, data, () if include_trained else loaded.lineage.trained_on)
    graph = loaded.graph() if in_float else loaded.quantized()
    with scoring(len(new)) as step:
        found = gather(segmenting(graph, loaded.spec), loaded.spec, labelled(new, wanted), wanted, worst, step)
    precision = "fp32" if in_float else "int8"
    title = f"{loaded.spec.name} in {precision}: the worst of {len(new)} images of {data.partition(':')[0]}"
    write(found, title, out)
    poorest = found.worst[0].findings
    print(f"{out / 'gallery.md'}: Dice {poorest.dice:.4f} on {poorest.name}, the worst of {len(new)} images")
    return 0
