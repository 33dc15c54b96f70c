"""A student's card: what it is, what it is good for and not, what it was made of, and how to use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distill import students, teachers
from distill.evaluation.thresholds import AS_GOOD
from distill.student.student import parameters
from runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from distill.config.sections import Config
    from distill.networks.spec import StudentSpec
    from distill.student.student import Student
    from runtime.artifact.manifest import Objects

OBJECTS = {"nuclei": "nuclei", "cells": "whole cells"}
CORES = {
    "eroded": "core (the eroded interior of each object)",
    "distance": "core (how deep inside its object a pixel lies, 0 at the border and 1 where it is deepest)",
}


def card(student: Student, config: Config, curve: str | None = None) -> str:
    """The card in Markdown.

    curve : file name of the training curve beside the card, or None
    """
    sections = (
        _head(student, config),
        _use(student),
        _limits(student, config),
        _quality(student, config),
        _decisions(student, config),
        _data(student, config),
        _size(student),
        _again(config, curve),
    )
    return "\n\n".join(sections) + "\n"


def _head(student: Student, config: Config) -> str:
    spec = student.spec
    meaning = {"core": CORES[config.data.core]}
    outputs = " and ".join(meaning.get(name, name) for name in spec.outputs)
    quantized = (
        "It was trained to compute in int8: the scales in `scheme.json` are learnt, and all targets use exactly these."
        if student.scheme
        else "It has no int8 scales; it runs in fp32 and fp16."
    )
    several = len(spec.channels) > 1
    seen = f"the channels {', '.join(spec.channels)}: a teacher" if several else "one fluorescence channel"
    lines = [
        f"# {spec.name}",
        f"Finds {OBJECTS[config.data.labels]} in {seen}. A U-Net on {spec.family}; "
        f"{'planes of one field' if several else 'one frame'} in, two-dimensional, of any size; per pixel the "
        f"probability of {outputs} out. {quantized}",
    ]
    if student.lineage.non_commercial:
        lines.append("**For non-commercial purposes only: its teacher or its data require that; see the licences.**")
    return "\n\n".join(lines)


def _use(student: Student) -> str:
    name = student.spec.name
    if len(student.spec.channels) > 1:
        kind = next((name for name in teachers.names() if teachers.load(name).trained_by_studies), "NAME")
        return (
            "## Use\n\nIt teaches students of the nucleus alone; it is not compiled. In their configuration:\n\n"
            f'```toml\n[teacher]\nname = "{kind}"\nweights = "DIR"  # this folder\n```'
        )
    return (
        "## Use\n\n"
        f"Compile it first (`python -m compile --target intel --student {name}`; bundled students by name, "
        "others by folder), then:\n\n"
        "```python\n"
        "from runtime import Segmenter\n\n"
        f'with Segmenter.open("{name}-intel-{"int8" if student.scheme else "fp32"}") as segment:\n'
        "    mask = segment(frame).mask  # frame: uint8, uint16 or float32 (H, W); .labels() tells objects apart\n"
        "```"
    )


def _limits(student: Student, config: Config) -> str:
    pixel, size = student.spec.pixel_size_um, student.spec.object_diameter
    seen = OBJECTS[config.data.labels]
    how = "give `diameter`, it cannot be seen in a frame" if size and size.certainty == 1.0 else "seen in the frame"
    scale = (
        f"- It works at objects of {size.median_px:g} pixels: frames whose objects are not between {size.low_px:g} and "
        f"{size.high_px:g} pixels wide are resized for it ({how}), and `result.scale` says by how much."
        if size
        else f"- It was trained at {pixel:g} um per pixel, and between {1 / config.augment.scale:g} and "
        f"{config.augment.scale:g} times that size."
        if pixel
        else f"- It knows no pixel size; its training images were scaled by up to {config.augment.scale:g} both ways. "
        "Objects much larger or smaller than those are missed or split."
    )
    return (
        "## Intended use and limits\n\n"
        f"- For segmenting {seen} in fluorescence micrographs with a dark background, beside the microscope or in "
        "bulk: counting, measuring, steering an acquisition.\n"
        "- Not for diagnosis, and not for bright-field or stained colour images.\n"
        f"{scale}\n"
        "- Try it on labelled images of your own stain, tissue and microscope before you rely on it: "
        f"`python -m distill evaluate {student.spec.name} --data folder:PATH`.\n"
        "- A frame is scaled between two of its own percentiles: in a frame without any object, noise is stretched "
        "to full contrast, and may be taken for objects."
    )


def _quality(student: Student, config: Config) -> str:
    scores: Mapping[str, Mapping[str, Any]] = student.metrics.get("validation", {})
    if not scores:
        return "## Quality\n\nNot measured."
    precisions = [name for name in ("int8", "fp32") if name in scores]
    titles = {"int8": "int8 (fake-quantised)", "fp32": "fp32"}
    rows = [row for metric in scores[precisions[0]]["scores"] for row in _metric(metric, scores, precisions)]
    table = _table(["", *(titles[name] for name in precisions)], rows)
    one = scores[precisions[0]]
    if how := student.metrics.get("validated_by"):
        return f"## Quality\n\nOn {one['images']} images: {how}.\n\n{table}\n\n{one['protocol']}"
    return (
        f"## Quality\n\nOn the validation images ({one['images']}), which were not trained on:\n\n{table}\n\n"
        f"{one['protocol']}\n\nThe images are of the same collections as those of training "
        f"({_sources(config.data.validation)}), and the thresholds below were chosen on them: expect a little less "
        "elsewhere. Both columns are measured in torch; a compiled artefact says what was measured on itself."
    )


def _metric(name: str, scores: Mapping[str, Mapping[str, Any]], precisions: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """A metric's mean over the images, and its value over all of them where it has one."""
    metric, columns = metrics.load(name), [scores[precision]["scores"][name] for precision in precisions]
    for key, over in (("mean", "mean over images"), ("pooled", "all together")):
        if columns[0][key] is not None:
            yield f"{metric.title}, {over}", *(f"{column[key]:.{metric.decimals}f}" for column in columns)


def _decisions(student: Student, config: Config) -> str:
    spec = student.spec
    how = spec.normalization
    rows = [
        ["intensities", f"percentiles {how.low:g} to {how.high:g} of the whole frame are scaled to [0, 1] and clipped"],
        ["tile", f"{spec.tile[0]} x {spec.tile[1]} pixels"],
        ["mask", f"foreground probability > {spec.threshold:g}, {_best(spec)}"],
    ]
    if calibration := student.metrics.get("calibration"):
        rows.append(["probabilities", _calibrated(calibration)])
    if "core" in spec.outputs:
        rows.append(["objects", f"watershed from {_seeds(spec.objects)}, the rule of the best object score"])
    rows.append(["smallest object", f"{spec.objects.min_area} pixels"])
    return f"## The numbers it decides with\n\n{_table(['what', 'value'], rows)}"


def _calibrated(calibration: Mapping[str, float]) -> str:
    if calibration["temperature"] == 1:
        return "as trained: they are not surer than the validation labels bear out"
    return (
        f"calibrated: the foreground's logits are divided by {calibration['temperature']:g}, which lowers the "
        f"cross-entropy on the validation images from {calibration['cross_entropy_before']:.4f} to "
        f"{calibration['cross_entropy']:.4f}"
    )


def _best(spec: StudentSpec) -> str:
    if "core" not in spec.outputs:
        return "the threshold of the best mean Dice"
    return f"of the thresholds of the best mean Dice (to {AS_GOOD}) the one of the best object score"


def _seeds(rule: Objects) -> str:
    if not rule.core_prominence:
        return f"core > {rule.core_threshold:g}"
    return (
        f"summits of the core that rise by {rule.core_prominence:g} over the pass to a higher one, after smoothing by "
        f"{rule.core_smoothing:g} px"
    )


def _data(student: Student, config: Config) -> str:
    lineage = student.lineage
    rows = [[source.name, source.licence, source.note] for source in lineage.data]
    teacher = (
        f"Distilled from the teacher {lineage.teacher}; the teacher's licences are among those below."
        if lineage.teacher
        else "No teacher: it was trained on the labels of these data."
    )
    versions = ", ".join(f"{name} {version}" for name, version in lineage.versions.items())
    return (
        f"## Data, licences, lineage\n\n{_table(['data', 'licence', 'what'], rows)}\n\n"
        f"{teacher} {_beginning(config)}\n\n"
        f"- licences that went in: {', '.join(lineage.licences) or 'none'}\n"
        f"- training frames known by their content: {len(lineage.trained_on)} (`trained_on` in `student.json`; "
        "`evaluate` and the benchmarks leave them out)\n"
        f"- weights: sha256 `{lineage.weights_sha256}`\n"
        f"- trained with {versions}"
    )


def _beginning(config: Config) -> str:
    if weights := config.student.encoder_weights:
        return f"Its encoder began with published weights ({weights}), its decoder at random."
    if config.student.init_from:
        return "It began with the weights of another student, named above, where their convolutions are alike."
    return "Its weights started at random; no pretrained weights went in."


def _size(student: Student) -> str:
    count = parameters(student.spec)
    family = students.load(student.spec.family)
    stored = sum(weight.numel() for weight in student.weights.values()) / 1e6
    quoted = family.paper_parameters_m
    beside = f" (the paper quotes {quoted:g} M)" if quoted else ""
    rows = [
        ["encoder, as papers count", f"{count['backbone_m']:.2f} M{beside}"],
        ["encoder and decoder", f"{count['whole_m']:.2f} M"],
        ["stored, batch normalisation folded", f"{stored:.2f} M"],
    ]
    left_out = quoted and not student.spec.squeeze_excite
    gates = "\n\nThe encoder has no squeeze-excite gates; the paper's has them." if left_out else ""
    return f"## Size\n\n{_table(['parameters', 'count'], rows)}{gates}"


def _again(config: Config, curve: str | None) -> str:
    picture = f"\n\n![validation Dice and loss over the steps of training]({curve})" if curve else ""
    steps = f"{config.float.steps} steps in float"
    if config.qat.steps:
        steps += f", then {config.qat.steps} with int8 arithmetic"
    return (
        f"## Training it again\n\n`config.toml` holds every setting; data are given by their last name, so set "
        f"`data.train` and `data.validation` to where they are:\n\n"
        "    python -m distill fit config.toml --out DIR\n\n"
        f"{steps}; seed {config.seed}. "
        "The same machine gives the same weights, also after an interruption. "
        f"`training.csv` holds the course of it.{picture}"
    )


def _sources(specs: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(spec.partition(":")[0] for spec in specs))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
