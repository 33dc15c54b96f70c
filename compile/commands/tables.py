"""The tables that the command prints: artefacts, agreement, layer errors, and the steps of --precision auto."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distill.commands.tables import table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.table import Table

    from compile.accuracy.sensitivity import Effect, Sensitivity
    from compile.accuracy.verify import Matrix
    from compile.auto import Step
    from compile.target import TargetReport
    from runtime.artifact.artifact import Artifact

LAYERS = 12  # that are printed; all are in the file of --json
REFERENCE_ROW = "reference"


def row_of(artifact: Artifact, steps: Sequence[Step]) -> dict[str, Any]:
    """What is printed about an artefact, JSON-ready. steps : what --precision auto tried"""
    manifest = artifact.manifest
    return {
        "path": str(artifact.path),
        "target": manifest.target,
        "precision": manifest.precision,
        "bytes": artifact.size_bytes,
        "accuracy": manifest.accuracy and manifest.accuracy.to_dict(),
        "agreement": {peer: one.to_dict() for peer, one in manifest.agreement.items()},
        "operators": manifest.operators.to_dict(),
        "notes": list(manifest.notes),
        **({"steps": [step.to_dict(manifest.target) for step in steps]} if steps else {}),
    }


def artefacts_table(artifacts: Sequence[Artifact]) -> Table:
    """One row per artefact: accuracy, agreement, and the number of int8 convolutions."""
    from runtime import metrics  # numpy, which `compile --help` does without

    accuracy = artifacts[0].manifest.accuracy
    names = list(accuracy.scores) if accuracy else []
    titles = [metrics.load(name).title.replace(" ", "\n", 1) for name in names]
    digits = [metrics.load(name).decimals for name in names]
    table = table_of("artefact", "MB", "drop", "95 %", *titles, "with\nreference", "with\nothers", "int8\nconv.")
    for artifact in artifacts:
        table.add_row(*_cells(artifact, dict(zip(names, digits, strict=True))))
    return table


def report_table(report: TargetReport) -> Table:
    """A table of a target's own."""
    table = table_of(*(column.replace(" ", "\n", 1) for column in report.columns))
    for row in report.rows:
        table.add_row(*row)
    return table


def _cells(artifact: Artifact, decimals: Mapping[str, int]) -> Iterator[str]:
    manifest = artifact.manifest
    accuracy, operators = manifest.accuracy, manifest.operators
    assert accuracy is not None
    yield artifact.path.name
    yield f"{artifact.size_bytes / 1e6:.2f}"
    yield f"{accuracy.drop_points:.2f}"
    yield "{:.2f} to {:.2f}".format(*accuracy.drop_interval) if accuracy.drop_interval else "-"
    yield from (f"{accuracy.scores[name].mean:.{digits}f}" for name, digits in decimals.items())
    yield f"{manifest.agreement['reference'].mask_dice:.4f}"
    dices = [peer.images_mask_dice for peer in manifest.agreement.values() if peer.images_mask_dice is not None]
    yield f"{min(dices):.4f}" if dices else "-"
    yield f"{operators.int8_convolutions}/{operators.convolutions}"


def agreement_table(matrix: Matrix) -> Table:
    """A row and a column per artefact: mask Dice on the probes, and the largest difference of probability."""
    names = [*matrix, REFERENCE_ROW]
    table = table_of("agreement", *names)
    for name in names:
        pairs = [matrix[name].get(peer) if name in matrix else matrix[peer].get(name) for peer in names if peer != name]
        cells = [f"{pair.mask_dice:.4f} {pair.probability_max:.3f}" if pair else "-" for pair in pairs]
        cells.insert(names.index(name), "")
        table.add_row(name, *cells)
    return table


def layers_table(found: Sensitivity) -> Table:
    """The layers that int8 hurts most."""
    table = table_of(
        "layer", "alone\nmean |dp|", "alone\nmask Dice", "without it\nmean |dp|", "without it\nmask Dice", "reads"
    )
    for row in found.rows[:LAYERS]:
        table.add_row(row.layer, *_effect(row.alone), *_effect(row.without), row.reads)
    table.add_row("all rounded", *_effect(found.whole), "", "", "", style="bold")
    return table


def steps_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """What --precision auto tried, target by target."""
    table = table_of("tried", "target", "float\nlayers", "Dice", "drop", "ms/frame", "holds")
    for row in steps:
        table.add_row(
            row["precision"],
            row["target"],
            str(len(row["float_layers"])) if row["float_layers"] else "-",
            _figure(row["dice"], 4),
            _figure(row["drop_points"], 2),
            _figure(row["latency_ms"], 1),
            "no" if row["refused"] else "yes",
        )
    return table


def _effect(effect: Effect) -> tuple[str, str]:
    return f"{effect.difference:.5f}", f"{effect.mask_dice:.4f}"


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
