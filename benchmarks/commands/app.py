"""Measure artefacts on this machine with `run`, put reports side by side with `compare`, and pick one with `choose`."""

import typer

from benchmarks.commands.devices import devices
from benchmarks.commands.live import live, soak, split
from benchmarks.commands.matrix import matrix
from benchmarks.commands.objects import objects
from benchmarks.commands.reports import choose, compare, pareto
from benchmarks.commands.rivals import rivals
from benchmarks.commands.roofline import layers, predict, roofline
from benchmarks.commands.run import run
from benchmarks.commands.ssh import ssh
from runtime.commands.command_line import EPILOG, can_complete, epilog

EXAMPLES = {
    run: "run --artifact artifacts --data synthetic:6@2026 --out report.json",
    compare: "compare here.json there.json --html page.html",
    choose: "choose here.json there.json --camera 2048x2048@5 --quality dice:0.9",
    devices: "devices --artifact artifacts --camera 2048x2048@5 --out here.json",
    matrix: "matrix benchmarks/matrix.toml --out matrix",
    ssh: "ssh pi@microscope --artifact artifacts/nuclei-fast-microscope-int8 --data synthetic:6@2026 --out pi.json",
    pareto: "pareto report.json --out pareto.svg",
    rivals: "rivals stardist --student nuclei-fast --sides 512",
    roofline: "roofline --artifact artifacts --threads 2",
    layers: "layers --artifact artifacts --threads 1 --csv layers.csv --out layers.json",
    predict: "predict here.json there.json",
    live: "live --camera 2048x2048x16@20 --artifact artifacts/nuclei-fast-intel-int8 --source synthetic",
    soak: "soak --artifact artifacts/nuclei-fast-intel-int8 --frames 10000",
    split: "split --artifact artifacts/nuclei-fast-intel-int8 --side 2048",
    objects: "objects --nuclei 300 --nuclei 1500 --nuclei 3500",
}

app = typer.Typer(add_completion=can_complete(), help=__doc__, epilog=EPILOG, rich_markup_mode=None)
for command, example in EXAMPLES.items():
    app.command(epilog=epilog(f"python -m benchmarks {example}"))(command)
