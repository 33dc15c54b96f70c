"""Train students of a teacher with `fit`, and score them on labelled images with `evaluate`."""

import typer

from distill.commands.adapt import adapt
from distill.commands.evaluate import evaluate
from distill.commands.fit import fit
from distill.commands.gallery import gallery
from distill.commands.head import head
from distill.commands.init import init
from distill.commands.label import label
from distill.commands.schema import schema
from distill.commands.students import students
from distill.commands.study import study
from distill.commands.tune import tune
from runtime.commands.command_line import EPILOG

app = typer.Typer(add_completion=False, help=__doc__, epilog=EPILOG, rich_markup_mode=None)
for command in (adapt, tune, init, fit, evaluate, label, head, study, gallery, students, schema):
    app.command(epilog=EPILOG)(command)
