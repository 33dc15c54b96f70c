"""CARD.md: the artefact for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compile import npu_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runtime.manifest import Manifest

WHERE = {
    "intel": "Intel and other x86-64 CPUs with OpenVINO",
    "jetson": "NVIDIA Jetson with TensorRT",
    "microscope": "embedded microscope hosts with LiteRT (TFLite)",
}


def write_card(manifest: Manifest, name: str) -> str:
    """The card as Markdown. Every figure in it is the manifest's."""
    return "\n".join(_lines(manifest, name)) + "\n"


def _lines(manifest: Manifest, name: str) -> Iterator[str]:
    height, width = manifest.tile
    yield f"# {name}"
    yield ""
    yield f"Student **{manifest.student}** in {manifest.precision} for {WHERE.get(manifest.target, manifest.target)}."
    yield f"It reads one fluorescence channel ({', '.join(manifest.inputs[0].meaning)}) in tiles of {height}x{width}"
    yield f"pixels and gives {' and '.join(manifest.channels)} as probabilities; frames of any size are tiled."
    yield ""
    yield "    from runtime import Segmenter"
    yield f'    with Segmenter.open("{name}") as segment:'
    yield "        mask = segment(frame).mask      # frame: (H, W), uint8, uint16 or float32"
    yield ""
    yield from _accuracy(manifest)
    yield from _agreement(manifest)
    yield from _arithmetic(manifest)
    yield from _origin(manifest)


def _accuracy(manifest: Manifest) -> Iterator[str]:
    found = manifest.accuracy
    yield "## Validation: accuracy of this compiled file"  # the zoo looks for that word
    yield ""
    yield f"Measured through the runtime on {found['images']} images: {found['data']}."
    yield ""
    yield "| mean Dice | pooled Dice | mean IoU | AP at 0.5, pooled | fp32 student, mean Dice | drop, points |"
    yield "|---|---|---|---|---|---|"
    yield (
        f"| {found['dice_mean']:.4f} | {found['dice_pooled']:.4f} | {found['iou_mean']:.4f} "
        f"| {found['ap50_pooled']:.4f} | {found['fp32_dice_mean']:.4f} | {found['drop_points']:.2f} |"
    )
    yield ""
    yield (
        f"Outline F1 at 2 px {found['boundary_f1']:.4f} (fp32 {found['fp32_boundary_f1']:.4f}); object count error "
        f"{found['object_count_error']:.3f} (fp32 {found['fp32_object_count_error']:.3f})."
    )
    if within := found["intervals"]["drop_points"]:
        yield f"95 % interval of the drop, bootstrapped over the images: {within[0]:.2f} to {within[1]:.2f} points."
    yield ""
    yield found["protocol"]
    yield ""


def _agreement(manifest: Manifest) -> Iterator[str]:
    yield "## Agreement"
    yield ""
    yield f"On the probes. Reference: {manifest.probes.reference}."
    yield ""
    yield "| with | mask Dice | largest difference of probability | mean difference | mask Dice on the images above |"
    yield "|---|---|---|---|---|"
    for peer, found in manifest.agreement.items():
        images = f"{found['images_mask_dice']:.4f}" if "images_mask_dice" in found else ""
        yield (
            f"| {peer} | {found['mask_dice']:.4f} | {found['probability_max']:.4f} "
            f"| {found['probability_mean']:.5f} | {images} |"
        )
    yield ""


def _arithmetic(manifest: Manifest) -> Iterator[str]:
    operators = manifest.operators
    yield "## Arithmetic"
    yield ""
    yield (
        f"{operators['int8_convolutions']} of {operators['convolutions']} convolutions run in int8 "
        f"({operators['measured']})."
    )
    if layers := operators.get("layers_by_precision"):
        yield f"As executed: {', '.join(f'{count} layers in {name}' for name, count in layers.items())}."
    for note in manifest.notes:
        yield f"- {note}"
    yield ""
    if "npu" in operators:
        yield from _npu(operators["npu"])


def _npu(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## On an Ethos-U NPU"
    yield ""
    yield f"| {' | '.join(npu_report.COLUMNS)} |"
    yield "|---" * len(npu_report.COLUMNS) + "|"
    yield from (f"| {' | '.join(npu_report.cells(name, record))} |" for name, record in found.items())
    yield ""
    yield from (f"- {line}" for line in npu_report.lines(found))
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
