"""No training: the thresholds of a student, chosen on a few labelled images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from distill import datasets
from distill.adapt.measure import as_it_runs
from distill.evaluation.evaluate import Evaluation, score
from distill.evaluation.predict import segmenting
from distill.evaluation.thresholds import choose
from distill.student.student import load, save
from distill.training.data import check_objects
from runtime.errors import InputError
from runtime.system.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from distill.networks.spec import StudentSpec
    from distill.student.student import Student

FOLDS = 3


@dataclass(frozen=True)
class Tuned:
    """before, after : on images that the thresholds were not chosen on; None for a single image

    fitted : after, on the very images that they were chosen on
    """

    student: Student
    begin: StudentSpec
    before: Evaluation
    after: Evaluation | None
    fitted: Evaluation


def tune(student: str, data: str, out: Path, name: str = "") -> Tuned:
    """Choose the mask threshold, the rule of seeds and the smallest object on labelled images, and write the student.

    The figures `after` are cross-validated: each image is scored by thresholds that were chosen on others.
    InputError for data without labels or objects, and an `out` that exists.
    """
    if out.exists():
        msg = f"{out} exists; choose another --out, or remove it."
        raise InputError(msg)
    begin = load(student)
    labels = begin.labels
    samples = list(datasets.open(data, "all"))
    for sample in samples:
        sample.labels_of(labels, "give data with such labels")
    check_objects(samples, labels, f"images of {data}")
    graph = as_it_runs(begin)
    after: list[Evaluation] = []
    for number in range(min(FOLDS, len(samples)) if len(samples) > 1 else 0):
        held_out = samples[number::FOLDS]
        spec, _ = choose(graph, begin.spec, [one for one in samples if one not in held_out], labels)
        after.append(score(segmenting(graph, spec), spec, held_out, labels))
    spec, curves = choose(graph, begin.spec, samples, labels)
    fitted = score(segmenting(graph, spec), spec, samples, labels)
    before = score(segmenting(graph, begin.spec), begin.spec, samples, labels)
    joined = None
    if after:
        pairs = {name: part for one in after for name, part in zip(one.names, one.parts, strict=True)}
        joined = Evaluation(before.names, tuple(pairs[name] for name in before.names))
    spec = replace(spec, name=name or f"{begin.spec.name}-tuned")
    validation = {"fp32" if begin.scheme is None else "int8": (joined or fitted).to_dict()}
    how = "cross-validation in 3 parts" if joined else "the very images that the thresholds were chosen on"
    told = {
        **begin.metrics,
        "validation": validation,
        "validated_by": f"{how}; thresholds chosen",
        "thresholds": curves,
    }
    seen = {*begin.lineage.trained_on, *(datasets.fingerprint(sample) for sample in samples)}
    lineage = replace(begin.lineage, trained_on=tuple(sorted(seen)), command="python -m distill tune STUDENT")
    result = replace(begin, spec=spec, metrics={**begin.metrics, **told}, lineage=lineage)
    with replacing(out) as folder:
        folder.mkdir()
        save(result, folder)
    return Tuned(result, begin.spec, before, joined, fitted)
