"""Measure artefacts on this machine with `run`, put reports side by side with `compare`, and pick one with `choose`."""

import typer

from benchmarks.commands.live import live, soak, split
from benchmarks.commands.matrix import matrix
from benchmarks.commands.reports import choose, compare, pareto
from benchmarks.commands.rivals import rivals
from benchmarks.commands.roofline import roofline
from benchmarks.commands.run import run
from benchmarks.commands.ssh import ssh
from runtime.commands.command_line import EPILOG

app = typer.Typer(add_completion=False, help=__doc__, epilog=EPILOG, rich_markup_mode=None)
for command in (run, compare, choose, matrix, ssh, pareto, rivals, roofline, live, soak, split):
    app.command(epilog=EPILOG)(command)
