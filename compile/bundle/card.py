"""CARD.md: the artefact for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.target import Target, TargetReport
    from runtime.artifact.manifest import Accuracy, Manifest


def write_card(manifest: Manifest, name: str, target: Target) -> str:
    """The card as Markdown. Every figure in it is the manifest's."""
    return "\n".join(_lines(manifest, name, target)) + "\n"


def _lines(manifest: Manifest, name: str, target: Target) -> Iterator[str]:
    height, width = manifest.tile
    yield f"# {name}"
    yield ""
    yield f"Student **{manifest.student}** in {manifest.precision} for {target.where}."
    yield f"It reads one fluorescence channel ({', '.join(manifest.inputs[0].meaning)}) in tiles of {height}x{width}"
    yield f"pixels and gives {' and '.join(manifest.channels)} as probabilities; frames of any size are tiled."
    yield ""
    yield "    from runtime import Segmenter"
    yield f'    with Segmenter.open("{name}") as segment:'
    yield "        mask = segment(frame).mask      # frame: (H, W), uint8, uint16 or float32"
    yield ""
    if manifest.accuracy is not None:
        yield from _accuracy(manifest.accuracy)
    yield from _agreement(manifest)
    yield from _arithmetic(manifest)
    for report in target.reports(manifest):
        yield from _report(report)
    yield from _origin(manifest)


def _accuracy(accuracy: Accuracy) -> Iterator[str]:
    yield "## Validation: accuracy of this compiled file"  # the zoo looks for that word
    yield ""
    yield f"Measured through the runtime on {accuracy.images} images: {accuracy.data}."
    yield ""
    yield "| metric | mean | 95 % interval | all images together | fp32 student, mean |"
    yield "|---|---|---|---|---|"
    for name, score in accuracy.scores.items():
        metric = metrics.load(name)
        figure = f"{{:.{metric.decimals}f}}".format
        within = " to ".join(map(figure, score.interval)) if score.interval else "-"
        pooled = "-" if score.pooled is None else figure(score.pooled)
        floats = figure(accuracy.float_scores[name].mean) if name in accuracy.float_scores else "-"
        yield f"| {metric.title} | {figure(score.mean)} | {within} | {pooled} | {floats} |"
    yield ""
    ends = accuracy.drop_interval
    within = f" (95 %: {ends[0]:.2f} to {ends[1]:.2f}, bootstrapped over the images)" if ends else ""
    yield f"Mean Dice is {accuracy.drop_points:.2f} points below the fp32 student's{within}."
    yield ""
    yield accuracy.protocol
    yield ""


def _agreement(manifest: Manifest) -> Iterator[str]:
    yield "## Agreement"
    yield ""
    yield f"On the probes. Reference: {manifest.probes.reference}."
    yield ""
    yield "| with | mask Dice | largest difference of probability | mean difference | mask Dice on the images above |"
    yield "|---|---|---|---|---|"
    for peer, one in manifest.agreement.items():
        images = "" if one.images_mask_dice is None else f"{one.images_mask_dice:.4f}"
        yield f"| {peer} | {one.mask_dice:.4f} | {one.probability_max:.4f} | {one.probability_mean:.5f} | {images} |"
    yield ""


def _arithmetic(manifest: Manifest) -> Iterator[str]:
    operators = manifest.operators
    yield "## Arithmetic"
    yield ""
    yield (
        f"{operators.int8_convolutions} of {operators.convolutions} convolutions run in int8 ({operators.measured})."
    )
    if layers := operators.details.get("layers_by_precision"):
        yield f"As executed: {', '.join(f'{count} layers in {name}' for name, count in layers.items())}."
    for note in manifest.notes:
        yield f"- {note}"
    yield ""


def _report(report: TargetReport) -> Iterator[str]:
    yield f"## {report.title}"
    yield ""
    yield f"| {' | '.join(report.columns)} |"
    yield "|---" * len(report.columns) + "|"
    yield from (f"| {' | '.join(row)} |" for row in report.rows)
    yield ""
    yield from (f"- {line}" for line in report.lines)
    yield ""


def _origin(manifest: Manifest) -> Iterator[str]:
    lineage = manifest.lineage
    yield "## Origin and licences"
    yield ""
    yield f"- teacher: {lineage.teacher or 'none; trained on labels'}"
    yield from (f"- data: {source.name} ({source.licence}): {source.note}" for source in lineage.data)
    yield f"- licences: {', '.join(lineage.licences)}"
    if lineage.non_commercial:
        yield "- **This student may be used for non-commercial purposes only, as its teacher or data require.**"
    yield f"- weights: sha256 {lineage.weights_sha256}"
    yield f"- made by: `{lineage.command}` with {', '.join(f'{k} {v}' for k, v in lineage.versions.items())}"
