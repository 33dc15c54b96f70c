"""Proof that travels with an artefact: probes, what each backend makes of them, and accuracy on labelled images.

Everything here is measured through the runtime on the compiled artefact, not on the graph it came from.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime

from distill import datasets
from distill.bootstrap import interval
from distill.evaluate import evaluate
from distill.predict import predictor
from runtime.errors import BudgetMissed, InputError
from runtime.manifest import Intensity, Tolerance
from runtime.normalize import normalize
from runtime.overlap import dice, dice_of
from runtime.probes import ProbeSet, compare
from runtime.quality import describe
from runtime.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from compile.export import QuantizedGraph
    from distill.datasets import Sample
    from distill.student import Student
    from runtime.artifact import Artifact

PROBES = 4
LOOKED_AT = 64  # frames that the manifest's intensities are taken from
COMPARED = ("dice_mean", "boundary_f1", "object_count_error")
LEAST_GAIN = 0.1  # of what lies between a trivial answer and a perfect one; less, and a student has learnt nothing
PROBE_PIXELS = PROBES * 256 * 256  # larger tiles: fewer probes, so that the file stays small
# What a replay may differ by. int8 backends round alike but not equally: a code that falls on the other side of a
# tie moves a probability by up to 0.016, and such steps add up through the layers.
TOLERANCES = {
    "int8": Tolerance(probability_max=0.5, probability_mean=0.01, mask_dice=0.99),
    "mixed": Tolerance(probability_max=0.5, probability_mean=0.01, mask_dice=0.99),
    "fp16": Tolerance(probability_max=0.1, probability_mean=0.002, mask_dice=0.998),
    "fp32": Tolerance(probability_max=0.01, probability_mean=0.0005, mask_dice=0.999),
}
TYPED = {"int8": "onnx_fp16_qdq", "mixed": "onnx_fp16_qdq", "fp16": "onnx_fp16"}  # precision to role
REFERENCE = f"onnxruntime {version('onnxruntime')}, graph optimisation disabled, on the student's {{}} graph"


def make_probes(graph: QuantizedGraph) -> ProbeSet:
    """Tiles of the frames that the student carries, and what the unoptimised reference makes of them."""
    run = reference(graph.reference)
    count = max(1, min(PROBES, PROBE_PIXELS // (graph.tile[0] * graph.tile[1])))
    frames = [frame for frame, _ in recorded(graph.student)][:count]
    tiles = [upper_left(normalize(frame, graph.student.spec.normalization), graph.tile) for frame in frames]
    inputs = np.concatenate(tiles)
    return ProbeSet(inputs, np.concatenate([run(tile) for tile in tiles]))


def reference(model: onnx.ModelProto) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Run a model in onnxruntime with nothing optimised: float32 (1, 1, h, w) -> float32 (1, C, h, w)."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda tile: np.asarray(session.run(None, {name: tile})[0], np.float32)


def recorded(student: Student) -> list[tuple[NDArray[Any], NDArray[np.int32]]]:
    """Frames (h, w) and labels that travel with the student; a student without any gets synthetic ones."""
    if student.probes:
        return [(frame.numpy(), labels.numpy().astype(np.int32)) for frame, labels in student.probes]
    data = datasets.open(f"synthetic:{PROBES}@77")
    return [(sample.frame, sample.labels[labels_of(student)]) for sample in data]


def labels_of(student: Student) -> str:
    """Which objects the student was trained on: nuclei or cells."""
    return str(student.metrics.get("labels", "nuclei"))


def replay(artifact: Artifact, probes: ProbeSet) -> NDArray[np.float32]:
    """The compiled artefact's outputs on the probes' inputs, float32 (n, C, h, w)."""
    with open_here(artifact) as segment:
        return np.concatenate([segment.run_tile(tile[None]) for tile in probes.inputs])


def replay_typed(artifact: Artifact, probes: ProbeSet) -> NDArray[np.float32] | None:
    """The same of the file that is typed in fp16, where the artefact has one beside the one that is replayed.

    It is what TensorRT 10 and 11 build from; onnxruntime computes each of its operations in float32 and rounds to fp16.
    """
    role = TYPED.get(artifact.manifest.precision, "")
    if role not in artifact.manifest.payload:
        return None
    run = reference(onnx.ModelProto.FromString(artifact.payload(role)))
    return np.concatenate([run(tile[None]) for tile in probes.inputs])


def agreement(
    outputs: Mapping[str, NDArray[np.float32]], probes: ProbeSet, student: Student, precision: str
) -> dict[str, dict[str, Any]]:
    """Everything that ran on the probes against the reference and against each other.

    outputs : a target, or a second file of one, to its outputs on the probes
    Returns mask Dice and differences of probability, {one: {other: figures}}; BudgetMissed when one is outside the
    tolerance.
    """
    threshold, tolerance = student.spec.threshold, TOLERANCES[precision]
    everything = {"reference": probes.outputs, **outputs}
    matrix: dict[str, dict[str, Any]] = {name: {} for name in outputs}
    for one, other in combinations(everything, 2):
        found = compare(everything[one], everything[other], threshold)
        if misses := found.misses(tolerance):
            msg = f"{one} and {other} disagree on the probes: {'; '.join(misses)}. Nothing was written."
            raise BudgetMissed(msg)
        for name, peer in ((one, other), (other, one)):
            if name in matrix:
                matrix[name][peer] = asdict(found)
    return matrix


class Validation:
    """Labelled images on which compiled artefacts and the fp32 student are compared."""

    def __init__(self, student: Student, spec: str | None) -> None:
        self.student, self.labels = student, labels_of(student)
        self.masks: dict[str, list[NDArray[np.uint8]]] = {}  # of every target, a bit a pixel
        self.samples, self.note = self._recorded() if spec is None else self._labelled(spec)

    @cached_property
    def fp32(self) -> dict[str, Any]:
        """Figures of the fp32 student, and under "trivial" the mean Dice of an answer that is the same everywhere."""
        infer, sizes = predictor(self.student.graph(), self.student.spec), []

        def predict(frame: NDArray[Any]) -> NDArray[np.float32]:
            sizes.append(frame.size)
            return infer(frame)

        found = evaluate(predict, self.student.spec, self.samples, self.labels)
        labelled = [row["tp"] + row["fn"] for row in found["per_image"]]
        full = [dice_of(pixels, size - pixels, 0) for pixels, size in zip(labelled, sizes, strict=True)]
        return {**found, "trivial": max(float(np.mean(full)), float(np.mean([not pixels for pixels in labelled])))}

    def untrained(self) -> str | None:
        """Why nothing can be lost any more, in words: the fp32 student segments no better than one answer for all."""
        reached, trivial = self.fp32["dice_mean"], self.fp32["trivial"]
        if trivial == 1 or reached > trivial + LEAST_GAIN * (1 - trivial):  # 1: these images tell nothing
            return None
        return (
            f"The fp32 student {self.student.spec.name} has a Dice of {reached:.3f} on {self.note}, no better than "
            f"calling every pixel the same ({trivial:.3f}): its weights are random or damaged, or these images are "
            "of another kind than it was trained on. Nothing was written; train it, or give other images to --validate."
        )

    def accuracy(self, artifact: Artifact) -> dict[str, Any]:
        """Figures of the compiled artefact, through the runtime, and how far they are below the fp32 student's.

        Intervals are 95 % bootstraps over the images, paired where two models are compared; null for one image alone.
        """
        masks = self.masks[artifact.manifest.target] = []
        with open_here(artifact) as segment:

            def predict(frame: NDArray[Any]) -> NDArray[np.float32]:
                found = segment(frame)
                masks.append(np.packbits(found.mask))
                return np.stack([found.probability] if found.core is None else [found.probability, found.core])

            measured = evaluate(predict, self.student.spec, self.samples, self.labels)
        names = ("dice_mean", "dice_pooled", "iou_mean", "ap50_pooled", "ap50_mean", *COMPARED[1:])
        return {
            "data": self.note,
            "labels": self.labels,
            "images": measured["images"],
            **{name: round(measured[name], 5) for name in names},
            **{f"fp32_{name}": round(self.fp32[name], 5) for name in COMPARED},
            "drop_points": round(100 * (self.fp32["dice_mean"] - measured["dice_mean"]), 3),
            "boundary_drop_points": round(100 * (self.fp32["boundary_f1"] - measured["boundary_f1"]), 3),
            "intervals": self._intervals(measured),
            "protocol": measured["protocol"],
        }

    def _intervals(self, measured: Mapping[str, Any]) -> dict[str, list[float] | None]:
        def column(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
            return np.array([row[name.removesuffix("_mean")] for row in rows], np.float64)

        own, fp32 = measured["per_image"], self.fp32["per_image"]
        values = {name: column(own, name) for name in COMPARED}
        values["drop_points"] = 100 * (column(fp32, "dice") - column(own, "dice"))
        values["boundary_drop_points"] = 100 * (column(fp32, "boundary_f1") - column(own, "boundary_f1"))
        return {
            name: [round(end, 5) for end in interval(array)] if len(array) > 1 else None
            for name, array in values.items()
        }

    def intensity(self) -> Intensity:
        """What these images and the recorded frames look like, so that the runtime notices frames that do not."""
        frames = [frame for frame, _ in recorded(self.student)]
        frames += [sample.frame for sample in islice(self.samples, LOOKED_AT)]
        return describe(frames, self.student.spec.normalization)

    def add_agreement(self, matrix: dict[str, dict[str, Any]]) -> None:
        """Add to the matrix of `agreement` the mean mask Dice of every two targets over these images."""
        for one, other in combinations(self.masks, 2):
            pairs = zip(self.masks[one], self.masks[other], strict=True)
            found = round(float(np.mean([dice(np.unpackbits(a), np.unpackbits(b)) for a, b in pairs])), 6)
            matrix[one][other]["images_mask_dice"] = matrix[other][one]["images_mask_dice"] = found

    def _recorded(self) -> tuple[Sequence[Sample], str]:
        samples = [
            datasets.Sample(f"recorded-{number}", frame[None], ("nucleus",), {self.labels: labels})
            for number, (frame, labels) in enumerate(recorded(self.student))
        ]
        return samples, "the student's recorded tiles (give --validate for your own images)"

    def _labelled(self, spec: str) -> tuple[Sequence[Sample], str]:
        samples = datasets.unseen(datasets.open(spec), frozenset(self.student.lineage.trained_on))
        left_out = samples.left_out.get(datasets.SEEN, 0)
        if not len(samples):
            msg = f"{spec} holds no images that the student was not trained on; give other images to --validate."
            raise InputError(msg)
        if self.labels not in (there := samples[0].labels):
            has = ", ".join(there) or "nothing"
            msg = f"{spec} has labels of {has}, and the student finds {self.labels}; give other images to --validate."
            raise InputError(msg)
        reader = spec.partition(":")[0]
        note = f"{len(samples)} images of {reader}"
        return samples, note + (f"; {left_out} that the student was trained on were left out" if left_out else "")


def open_here(artifact: Artifact) -> Segmenter:
    """Open an artefact with the backend that runs on this machine: a jetson bundle is checked by onnxruntime."""
    backend = "onnxruntime" if artifact.manifest.backend == "tensorrt" else None
    return Segmenter.of(artifact, backend=backend)


def upper_left(image: NDArray[Any], tile: tuple[int, int]) -> NDArray[Any]:
    """The upper left tile of an image (mirrored up to the tile where it is smaller), (1, 1, h, w)."""
    missing = [max(0, due - side) for due, side in zip(tile, image.shape, strict=True)]
    padded = np.pad(image, [(0, missing[0]), (0, missing[1])], mode="symmetric")
    return np.ascontiguousarray(padded[None, None, : tile[0], : tile[1]])
