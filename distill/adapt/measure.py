"""Train the students of a plan, and score them on the images that they were not trained on, as they will run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from distill import datasets
from distill.evaluation.predict import seen, segmenting
from distill.evaluation.suite import resized_pair
from distill.evaluation.thresholds import choose
from distill.student.student import Student, load
from distill.training.train import fit
from runtime import metrics
from runtime.system.atomic import make_folder, replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch.fx import GraphModule

    from distill.adapt.survey import Role, Survey
    from distill.config.sections import Config
    from distill.networks.spec import StudentSpec
    from runtime.segmentation.result import Segmentation

BEGIN, TUNED, TRAINED = "as it was", "thresholds chosen", "fine-tuned"
CANDIDATES = (BEGIN, TUNED, TRAINED)
LARGER = 1.5  # times the student's size of object: larger objects are shrunk to it before they are trained on


@dataclass(frozen=True)
class Scores:
    """Students on images that they were not trained on.

    names : of the images; parts : candidate to what each image adds to each metric (see runtime.metrics.parts_of)
    """

    names: tuple[str, ...]
    parts: Mapping[str, Sequence[Mapping[str, metrics.Parts]]]

    def values(self, candidate: str, metric: str) -> np.ndarray:
        """A metric of each image, float64; NaN where it has no value."""
        of_image = metrics.load(metric).of_image
        found = [of_image(image[metric]) for image in self.parts[candidate]]
        return np.array([np.nan if value is None else value for value in found], np.float64)

    def mean(self, candidate: str, metric: str) -> float:
        """Mean over the images."""
        return float(np.nanmean(self.values(candidate, metric)))

    def gain(self, candidate: str, metric: str) -> tuple[float, tuple[float, float] | None]:
        """Mean difference to the student as it was, and its paired 95 % interval, None for too few images."""
        difference = self.values(candidate, metric) - self.values(BEGIN, metric)
        difference = difference[np.isfinite(difference)]
        return float(difference.mean()), metrics.interval(difference)

    @property
    def best(self) -> str:
        """The candidate with the best sum of the headline metrics; of equal ones the one that changes least."""
        return max(CANDIDATES, key=lambda one: sum(self.mean(one, metric) for metric in metrics.HEADLINES))

    def evaluation(self, candidate: str) -> dict[str, Any]:
        """As a student's metrics.json has it."""
        from distill.evaluation.evaluate import Evaluation

        return Evaluation(self.names, tuple(self.parts[candidate])).to_dict()

    def to_json(self) -> bytes:
        """For a file that `read` reads."""
        return json.dumps({"names": self.names, "parts": self.parts}, indent=1).encode()

    @classmethod
    def read(cls, path: Path) -> Scores:
        """What to_json wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = {
            one: tuple({name: tuple(values) for name, values in image.items()} for image in images)
            for one, images in content["parts"].items()
        }
        return cls(tuple(content["names"]), parts)

    @classmethod
    def joined(cls, scores: Sequence[Scores]) -> Scores:
        """All images of several rounds."""
        parts = {one: tuple(image for each in scores for image in each.parts[one]) for one in CANDIDATES}
        return cls(tuple(name for each in scores for name in each.names), parts)


def write_data(survey: Survey, object_diameter: float | None, folder: Path) -> None:
    """The images and labels of a round: labelled/ as they are, train/ and taught/ not larger than a student needs.

    object_diameter : of the student, pixels; None keeps the size
    """
    with replacing(folder) as partial:
        roles: tuple[Role, ...] = ("labelled", "taught")
        for role in roles:
            for one in survey.of(role):
                frame, labels = survey.read(one.name)
                if role == "labelled":
                    _write_pair(partial / role, one.name, frame, labels)
                if object_diameter and one.diameter_px and one.diameter_px > LARGER * object_diameter:
                    frame, labels = resized_pair(frame, labels, LARGER * object_diameter / one.diameter_px)
                _write_pair(partial / ("train" if role == "labelled" else role), one.name, frame, labels)


def _write_pair(folder: Path, name: str, frame: np.ndarray, labels: np.ndarray) -> None:
    for kind, pixels in (
        ("images", frame),
        ("labels", labels.astype(np.uint32 if labels.max() > 65535 else np.uint16)),
    ):
        make_folder(folder / kind)
        tifffile.imwrite(folder / kind / f"{name}.tif", pixels, photometric="minisblack", compression="zlib")


def trained(config: Config, out: Path) -> Student:
    """The student of a configuration, from the folder `out` where it is done already."""
    if out.exists():
        return load(out)
    student = fit(config, out)
    assert student is not None  # one process trains
    return student


def as_it_runs(student: Student) -> GraphModule:
    """The graph that computes as int8 does, where the student has a scheme."""
    return student.graph() if student.scheme is None else student.quantized()


def tuned(student: Student, data: str, labels: str) -> tuple[StudentSpec, Mapping[str, Any]]:
    """The student's spec with the thresholds that suit the images of a data spec, and what they were chosen from."""
    samples = list(datasets.open(data, "val"))
    return choose(as_it_runs(student), student.spec, samples, labels)


def score_round(
    begin: Student,
    tuned_spec: StudentSpec,
    student: Student,
    data: str,
    labels: str,
    drawings: Path,
) -> Scores:
    """Every candidate on the held-out images of a round: int8, the scale as it is seen in the frame.

    drawings : folder of the labels that the first and the last candidate drew, for the report
    """
    graph = as_it_runs(begin)
    candidates: dict[str, Callable[[Any], Segmentation]] = {
        BEGIN: segmenting(graph, begin.spec),
        TUNED: segmenting(graph, tuned_spec),
        TRAINED: segmenting(as_it_runs(student), student.spec),
    }
    names: list[str] = []
    parts: dict[str, list[Mapping[str, metrics.Parts]]] = {one: [] for one in candidates}
    for sample in datasets.open(data, "val"):
        truth = sample.labels_of(labels, "give such labels")
        drawn = {"truth": truth}
        for one, segment in candidates.items():
            result = segment(seen(sample, begin.spec))
            found = result.labels()
            parts[one].append(metrics.parts_of(metrics.Comparison(found, truth, result.mask)))
            drawn[one] = found
        names.append(sample.name)
        save_drawing(drawings / f"{sample.name}.npz", drawn)
    return Scores(tuple(names), parts)


def save_drawing(path: Path, drawn: Mapping[str, np.ndarray]) -> None:
    """Label images by candidate, and the truth."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **{key.replace(" ", "_"): value for key, value in drawn.items()})


def read_drawing(path: Path) -> dict[str, np.ndarray]:
    """What save_drawing wrote."""
    with np.load(path, allow_pickle=False) as file:
        return {key.replace("_", " "): file[key] for key in file.files}
