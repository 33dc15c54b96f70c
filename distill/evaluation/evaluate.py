"""How well a student segments labelled images: per image, and over all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from distill import datasets
from distill.evaluation.predict import seen, segmenting
from distill.evaluation.scored_data import labelled, silent, unseen
from distill.student.student import Student, load
from runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from distill.datasets import Sample
    from distill.evaluation.scored_data import Progress
    from distill.networks.spec import StudentSpec
    from runtime.segmentation.result import Segmentation


@dataclass(frozen=True)
class Evaluation:
    """Every metric of runtime.metrics over images.

    names : of the images; parts : what each of them adds to each metric (see runtime.metrics.parts_of)
    """

    names: tuple[str, ...]
    parts: tuple[Mapping[str, metrics.Parts], ...]

    @cached_property
    def scores(self) -> dict[str, metrics.MetricScore]:
        """Each metric over all images."""
        return metrics.summarize(self.parts)

    def values(self, metric: str) -> list[float | None]:
        """A metric of each image."""
        of_image = metrics.load(metric).of_image
        return [of_image(image[metric]) for image in self.parts]

    @property
    def protocol(self) -> str:
        """How the metrics are defined, and what is counted."""
        counted = (
            "Labelled objects are counted whatever their size; detections under the student's min_area are dropped."
        )
        return " ".join([*(f"{metrics.load(name).definition}." for name in self.scores), counted])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        columns = {name: self.values(name) for name in self.scores}
        return {
            "images": len(self.names),
            "scores": {name: score.to_dict() for name, score in self.scores.items()},
            "protocol": self.protocol,
            "per_image": [
                {"name": name, **{metric: values[number] for metric, values in columns.items()}}
                for number, name in enumerate(self.names)
            ],
        }


def evaluate(
    student: Student | str | Path,
    data: str,
    *,
    split: str = "all",
    labels: str | None = None,
    quantized: bool = False,
    include_trained: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Score a student on labelled images that it was not trained on; a JSON-ready result.

    student : one that is loaded, a bundled one's name, or a folder
    data : NAME:PATH, such as "bbbc038:stage1_train.zip"; split : "all", "train", "val" or "test"
    labels : "nuclei" or "cells"; None for what the student was trained on
    quantized : compute as int8 does; include_trained : use images seen in training, too
    progress : the number of images to a context manager, whose value is called after each of them

    Returns "scores", each metric's mean over the images with its 95 % interval and its value over all of them, the
    values "per_image", and what was scored. InputError for data that hold no such images or labels, and for a student
    that is not there.
    """
    samples = datasets.open(data, split)
    loaded = student if isinstance(student, Student) else load(student)
    wanted = labels or loaded.labels
    new = unseen(samples, data, () if include_trained else loaded.lineage.trained_on)
    graph = loaded.quantized() if quantized else loaded.graph()
    with progress(len(new)) as step:
        evaluation = score(segmenting(graph, loaded.spec), loaded.spec, labelled(new, wanted), wanted, step)
    left_out = dict(new.left_out)
    return {
        "student": loaded.spec.name,
        "data": data,
        "split": split,
        "labels": wanted,
        "precision": "int8 (fake-quantised)" if quantized else "fp32",
        "threshold": loaded.spec.threshold,
        "seen_in_training": left_out.get(datasets.SEEN, 0),
        "left_out": left_out,
        **evaluation.to_dict(),
    }


def score(
    segment: Callable[[NDArray[Any]], Segmentation],
    spec: StudentSpec,
    samples: Iterable[Sample],
    labels: str,
    progress: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Score ``segment`` (what the spec's student sees, to its segmentation) on samples.

    labels : "nuclei" or "cells". The spec says which channels the student sees.
    """
    names, parts = [], []
    for sample in samples:
        result = segment(seen(sample, spec))
        names.append(sample.name)
        parts.append(metrics.parts_of(metrics.Comparison(result.labels(), sample.labels[labels], result.mask)))
        progress()
    return Evaluation(tuple(names), tuple(parts))
