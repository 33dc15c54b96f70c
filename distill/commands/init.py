"""`python -m distill init --from STUDENT --data SPEC`: a configuration to fine-tune a student with, to edit by hand."""

from pathlib import Path
from typing import Annotated

import typer

from distill import settings
from distill.commands.console import Data
from runtime.errors import InputError
from runtime.system.atomic import write_bytes


def init(
    data: Data,
    begin: Annotated[
        str, typer.Option("--from", metavar="STUDENT", help="Student to start from. Default: the bundled default.")
    ] = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the new student.")] = "mine",
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Number of training steps in float.")] = 1000,
    out: Annotated[Path, typer.Option(metavar="FILE", help="File for the configuration.")] = Path("mine.toml"),
) -> int:
    """Write a configuration for `fit` that fine-tunes a student on your data."""
    from dataclasses import replace

    from distill.adapt.plan import check_steps, starting_config
    from distill.config import files
    from distill.student import description

    if out.exists():
        msg = f"{out} exists; give another --out, or remove it."
        raise InputError(msg)
    student = begin or description.DEFAULT
    told = description.describe(student)
    sections = {"train": [data], "validation": [data]}
    config = starting_config(student, told, sections, check_steps(steps))
    config = replace(config, student=replace(config.student, name=name))
    settings.check(config)
    head = f"# Fine-tunes {student}; every default is written out. Train with: python -m distill fit {out}\n\n"
    write_bytes(out, (head + files.write(config, whole_paths=True)).encode())
    print(f"{out}: python -m distill fit {out} --check, then python -m distill fit {out}")
    return 0
