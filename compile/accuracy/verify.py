"""Proof that travels with an artefact: probes, what each backend makes of them, and accuracy on labelled images.

Everything here is measured through the runtime on the compiled artefact, not on the graph it came from.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property
from importlib.metadata import version
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from distill import datasets
from distill.evaluation.evaluate import Evaluation, score
from distill.evaluation.predict import segmenting
from runtime.artifact.manifest import Accuracy, Agreement, Intensity, Tolerance
from runtime.artifact.probes import ProbeSet, compare
from runtime.backend import load, refusal
from runtime.backend import reference as reference_backend
from runtime.errors import BudgetMissed, InputError
from runtime.execution import Execution
from runtime.frames.flags import describe
from runtime.frames.normalize import normalize
from runtime.metrics import HEADLINES, dice, dice_of, interval
from runtime.segmenter import Segmenter
from runtime.system import extras

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from compile.export import QuantizedGraph
    from distill.datasets import Sample
    from distill.student.student import Student
    from runtime.artifact.artifact import Artifact
    from runtime.frames.scale import Scale
    from runtime.segmentation.result import Segmentation

    Matrix = dict[str, dict[str, Agreement]]  # whoever ran, and each peer

PROBES = 4
LOOKED_AT = 64  # frames that the manifest's intensities are taken from
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
    onnxruntime = extras.load("onnxruntime", extra="onnxruntime")
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
    data = datasets.generate(PROBES, seed=77)
    return [(sample.frame, sample.labels[student.labels]) for sample in data]


def replay(artifact: Artifact, probes: ProbeSet) -> NDArray[np.float32]:
    """The compiled artefact's outputs on the probes' inputs, float32 (n, C, h, w)."""
    with open_here(artifact) as segment:
        return np.concatenate([segment.run_tile(tile[None]) for tile in probes.inputs])


def replay_role(artifact: Artifact, role: str, probes: ProbeSet) -> NDArray[np.float32]:
    """The same of another ONNX file of the payload, in the unoptimised reference.

    Of a file that is typed in fp16, onnxruntime computes each operation in float32 and rounds to fp16.
    """
    run = reference(onnx.ModelProto.FromString(artifact.payload(role)))
    return np.concatenate([run(tile[None]) for tile in probes.inputs])


def agreement(outputs: Mapping[str, NDArray[np.float32]], probes: ProbeSet, student: Student, precision: str) -> Matrix:
    """Everything that ran on the probes against the reference and against each other.

    outputs : a target, or a further file of one, to its outputs on the probes
    BudgetMissed when two are further apart than the tolerance.
    """
    threshold, tolerance = student.spec.threshold, TOLERANCES[precision]
    everything = {"reference": probes.outputs, **outputs}
    matrix: Matrix = {name: {} for name in outputs}
    for one, other in combinations(everything, 2):
        difference = compare(everything[one], everything[other], threshold)
        if misses := difference.misses(tolerance):
            msg = f"{one} and {other} disagree on the probes: {'; '.join(misses)}. Nothing was written."
            raise BudgetMissed(msg)
        for name, peer in ((one, other), (other, one)):
            if name in matrix:
                matrix[name][peer] = Agreement(**asdict(difference))
    return matrix


class Validation:
    """Labelled images on which compiled artefacts and the fp32 student are compared."""

    def __init__(self, student: Student, spec: str | None) -> None:
        self.student, self.labels = student, student.labels
        self.masks: dict[str, list[NDArray[np.uint8]]] = {}  # of every target at the same scales, a bit a pixel
        self.scales: list[Scale] = []  # of the images, as the first target saw them
        self.samples, self.note = self._recorded() if spec is None else self._labelled(spec)

    @cached_property
    def fp32(self) -> Evaluation:
        """The fp32 student on these images."""
        return score(segmenting(self.student.graph(), self.student.spec), self.student.spec, self.samples, self.labels)

    @cached_property
    def trivial(self) -> float:
        """Mean Dice of an answer that is the same everywhere: all foreground, or none."""
        truths = [sample.labels[self.labels] > 0 for sample in self.samples]
        everything = [dice_of(int(truth.sum()), int(truth.size - truth.sum()), 0) for truth in truths]
        return max(float(np.mean(everything)), float(np.mean([not truth.any() for truth in truths])))

    def untrained(self) -> str | None:
        """Why nothing can be lost any more, in words: the fp32 student segments no better than one answer for all."""
        reached = self.fp32.scores[HEADLINES[0]].mean
        if self.trivial == 1 or reached > self.trivial + LEAST_GAIN * (
            1 - self.trivial
        ):  # 1: these images tell nothing
            return None
        return (
            f"The fp32 student {self.student.spec.name} has a Dice of {reached:.3f} on {self.note}, no better than "
            f"calling every pixel the same ({self.trivial:.3f}): its weights are random or damaged, or these images "
            "are of another kind than it was trained on. Nothing was written; train it, or give other images to "
            "--validate."
        )

    def accuracy(self, artifact: Artifact, max_drop: float | None) -> Accuracy:
        """How good the compiled artefact is, through the runtime, and how far below the fp32 student.

        max_drop : Dice points that are allowed, for the record
        """
        masks = self.masks[artifact.manifest.target] = []
        with open_here(artifact) as segment:

            def remember(frame: NDArray[Any]) -> Segmentation:
                result = segment(frame)
                if len(masks) == len(self.scales):
                    self.scales.append(result.scale)
                scale = self.scales[len(masks)]
                same = result if result.scale.factor == scale.factor else segment(frame, scale=scale)
                masks.append(np.packbits(same.mask))
                return result

            measured = score(remember, self.student.spec, self.samples, self.labels)
        drops = 100 * (_dices(self.fp32) - _dices(measured))
        return Accuracy(
            data=self.note,
            labels=self.labels,
            images=len(measured.names),
            scores=measured.scores,
            float_scores=self.fp32.scores,
            drop_points=round(float(drops.mean()), 3),
            drop_interval=interval(drops),
            max_drop_points=max_drop,
            protocol=measured.protocol,
        )

    def intensity(self) -> Intensity:
        """What these images and the recorded frames look like, so that the runtime notices frames that do not."""
        frames = [frame for frame, _ in recorded(self.student)]
        frames += [sample.frame for sample in islice(self.samples, LOOKED_AT)]
        return describe(frames, self.student.spec.normalization)

    def add_agreement(self, matrix: Matrix) -> None:
        """Add to the matrix of `agreement` the mean mask Dice of every two targets over these images.

        At the same scales: two targets may see a size that is just within the student's range and just beyond it.
        """
        for pair in combinations(self.masks, 2):
            masks = zip(*(self.masks[name] for name in pair), strict=True)
            mean = round(float(np.mean([dice(np.unpackbits(a), np.unpackbits(b)) for a, b in masks])), 6)
            for one, other in (pair, pair[::-1]):
                matrix[one][other] = replace(matrix[one][other], images_mask_dice=mean)

    def _recorded(self) -> tuple[Sequence[Sample], str]:
        samples = [
            datasets.Sample(f"recorded-{number}", frame[None], ("nucleus",), {self.labels: labels})
            for number, (frame, labels) in enumerate(recorded(self.student))
        ]
        return samples, "the student's recorded tiles (give --validate for your own images)"

    def _labelled(self, spec: str) -> tuple[Sequence[Sample], str]:
        samples = datasets.unseen(datasets.open(spec), frozenset(self.student.lineage.trained_on)).kept()
        left_out = samples.left_out.get(datasets.SEEN, 0)
        if not len(samples):
            msg = f"{spec} holds no images that the student was not trained on; give other images to --validate."
            raise InputError(msg)
        samples[0].labels_of(self.labels, "the student finds these: give other images to --validate")
        reader = spec.partition(":")[0]
        note = f"{len(samples)} images of {reader}"
        return samples, note + (f"; {left_out} that the student was trained on were left out" if left_out else "")


def _dices(evaluation: Evaluation) -> NDArray[np.float64]:
    return np.array(evaluation.values(HEADLINES[0]), np.float64)


def open_here(artifact: Artifact) -> Segmenter:
    """Open an artefact with its own backend where that runs here at once, or else with the reference's."""
    return Segmenter.of(artifact, Execution(reference_backend() if not_runnable(artifact) else None))


def not_runnable(artifact: Artifact) -> str | None:
    """Why the artefact's own backend cannot run it here and now; None when it can. Only then does its time count."""
    name = artifact.manifest.backend
    if reason := refusal(name, artifact.manifest):
        return reason
    return load(name).unprepared(artifact, None)


def upper_left(image: NDArray[Any], tile: tuple[int, int]) -> NDArray[Any]:
    """The upper left tile of an image (mirrored up to the tile where it is smaller), (1, 1, h, w)."""
    missing = [max(0, due - side) for due, side in zip(tile, image.shape, strict=True)]
    padded = np.pad(image, [(0, missing[0]), (0, missing[1])], mode="symmetric")
    return np.ascontiguousarray(padded[None, None, : tile[0], : tile[1]])
