"""Commands about layers: `roofline`, how near artefacts come to what this machine can do, `layers` and `predict`."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.commands.options import (
    Artifacts,
    Json,
    MarkdownFile,
    Threads,
    progress,
    say,
    show_markdown,
    show_table,
)
from benchmarks.host.profiles import constraint
from benchmarks.inputs.artifacts import open_artifacts
from benchmarks.roofline import layers as layer_costs
from benchmarks.roofline import predict as predicting
from benchmarks.roofline import roofline as flow
from benchmarks.roofline.table import to_markdown
from runtime.commands.output import write_json, write_text
from runtime.system.places import check_file

SLOWEST = 10  # layers that are printed; the files have all


def roofline(
    artifact: Artifacts = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="B", help="Backend to use. Default: the artefacts' own, or the first that can time layers."
        ),
    ] = None,
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Number of rounds.")] = 5,
    repeats: Annotated[int, typer.Option(metavar="N", min=1, help="Timed runs per round.")] = 20,
    json_file: Json = None,
    markdown: MarkdownFile = None,
) -> int:
    """Compare each artefact with the fastest convolutions of this machine, in INT8 and fp32."""
    check_file(json_file, markdown)
    plan = flow.RooflinePlan(backend, threads, rounds, repeats)
    with progress("roofline", flow.steps(plan)) as step:
        result = flow.run(artifact or (), plan, step)
    text = to_markdown(result)
    write_json(json_file, result)
    write_text(markdown, text)
    show_markdown(text)
    return 0


def layers(
    artifact: Artifacts = None,
    threads: Threads = None,
    repeats: Annotated[int, typer.Option(metavar="N", min=1, help="Number of timed runs of each artefact.")] = 20,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="Limit this machine, as in `run`.")] = None,
    cores: Annotated[int | None, typer.Option(metavar="N", min=1, help="Use only N cores.")] = None,
    label: Annotated[str | None, typer.Option(metavar="NAME", help="Name of this machine in tables.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="F", help="Write a CSV table with one row per layer.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="F", help="Write the layer times, for `predict`.")] = None,
) -> int:
    """Time each layer of artefacts on this machine's CPU, by the library's own counters."""
    check_file(csv, out)
    opened = open_artifacts(artifact or ())
    with progress("layers", len(opened)) as step:
        costs = layer_costs.layers(opened, threads, repeats, constraint(profile, cores, None), label, step)
    write_text(csv, layer_costs.to_csv(costs))
    write_json(out, costs)
    for one in costs.artifacts:
        say([f"{one.name}: {one.ms:.3g} ms as a whole, {sum(layer.ms for layer in one.layers):.3g} ms in layers"])
        slowest = sorted(one.layers, key=lambda layer: -layer.ms)[:SLOWEST]
        lines = [
            [layer.kind, layer.runs_in, f"{layer.multiply_adds / flow.GIGA:.4f}", f"{layer.ms:.3g}", layer.name]
            for layer in slowest
        ]
        show_table(["kind", "runs in", "GMAC", "ms", "layer"], lines)
    return 0


def predict(
    files: Annotated[list[Path], typer.Argument(metavar="LAYERS...", help="Files written by `layers --out`.")],
    json_file: Json = None,
) -> int:
    """Predict the time of networks on other devices from layer times, with cross-validated errors."""
    check_file(json_file)
    found = predicting.predict([layer_costs.read_costs(path) for path in files])
    lines = [
        [
            one.machine,
            one.artifact,
            f"{one.ms:.3g}",
            "-" if one.low_ms is None or one.high_ms is None else f"{one.low_ms:.3g} to {one.high_ms:.3g}",
            "-" if one.measured_ms is None else f"{one.measured_ms:.3g}",
            "-" if one.error is None else f"{one.error:+.0%}",
            one.basis,
        ]
        for one in found
    ]
    show_table(["machine", "artefact", "predicted ms", "error bar", "measured ms", "error", "predicted with"], lines)
    say(["", *predicting.summary(found)])
    write_json(json_file, [one.to_dict() for one in found])
    return 0
