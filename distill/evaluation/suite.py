"""A student on many sources of images, each at several scales: what it does outside the data it was made of.

Images are resized, and labels by nearest neighbour. The student segments each image with the diameter of its objects
given (the median of the labels), and without. Otsu's threshold and a watershed are the baseline of each source.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from distill import datasets
from distill.evaluation.predict import seen, segmenting, true_size
from distill.evaluation.scored_data import silent
from distill.student.student import Student, load
from runtime import Segmenter, metrics
from runtime.artifact.artifact import MANIFEST
from runtime.errors import InputError
from runtime.frames.flags import RESIZED
from runtime.frames.resize import resize
from runtime.frames.scale import AUTO, OFF, median_diameter, median_diameter_of, resized_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from distill.evaluation.scored_data import Progress
    from runtime.frames.scale import DiameterRequest
    from runtime.segmentation.result import Segmentation

    Image = NDArray[Any]
    Labels = NDArray[np.int32]

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
SMALLEST_PX = 8.0  # median diameter: an image is not shrunk further
WORST_BY = metrics.HEADLINES[1]  # of an image
BOUNDS_PX = (12.0, 40.0)  # diameters between small, medium and large objects
SIZES = ("small", "medium", "large")
LOSS = 0.05  # of AP 0.5 against the same image at scale 1
BASELINE, SPECK_PX = "Otsu + watershed", 30  # smaller components are no objects


def shown() -> list[str]:
    """The metrics of a row: the headlines, and the others that compare objects."""
    others = [name for name in metrics.names() if metrics.load(name).objects]
    return list(dict.fromkeys([*metrics.HEADLINES, *others]))


@dataclass
class SuiteRow:
    """One source at one scale, segmented in one way.

    diameter : "given", "auto", or "off" for a student that does not say which size of object it was made for
    labelled_px, seen_px : per image, the median diameter of the labelled objects, and the one that the runtime took
    by_size : int (3 sizes, 3), matched, invented and missed objects
    lost, unflagged : images that lose over LOSS of AP 0.5 against scale 1, and those of them without a flag
    """

    source: str
    method: str
    scale: float
    diameter: str
    names: list[str] = field(default_factory=list[str])
    parts: list[dict[str, metrics.Parts]] = field(default_factory=list[dict[str, metrics.Parts]])
    labelled_px: list[float | None] = field(default_factory=list[float | None])
    seen_px: list[float | None] = field(default_factory=list[float | None])
    flags: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    by_size: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(SIZES), 3), np.int64))
    lost: int | None = None
    unflagged: int | None = None

    def add(self, name: str, truth: Labels, labels: Labels, mask: NDArray[np.bool_] | None = None) -> None:
        """Compare one image with its labels."""
        compared = metrics.Comparison(labels, truth, mask)
        self.names.append(name)
        self.parts.append({metric: metrics.load(metric).parts(compared) for metric in shown()})
        self.labelled_px.append(median_diameter_of(truth))
        self.by_size += counts_by_size(truth, labels)

    def values(self, metric: str) -> list[float]:
        """A metric of each image."""
        of_image = metrics.load(metric).of_image
        return [value for image in self.parts if (value := of_image(image[metric])) is not None]

    def compare(self, original: SuiteRow) -> None:
        """Count the images that lose against the same images at scale 1."""
        before = dict(zip(original.names, original.values(WORST_BY), strict=True))
        pairs = zip(self.names, self.values(WORST_BY), self.flags, strict=True)
        flags = [flags for name, value, flags in pairs if before[name] - value > LOSS]
        self.lost, self.unflagged = len(flags), sum(not one for one in flags)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        columns = {metric: self.values(metric) for metric in shown()}
        worst = int(np.argmin(columns[WORST_BY]))
        return {
            "source": self.source,
            "method": self.method,
            "scale": self.scale,
            "diameter": self.diameter,
            "images": len(self.names),
            "scores": {name: score.to_dict() for name, score in metrics.summarize(self.parts).items()},
            "ap50_by_size": {
                size: tp / total if (total := tp + fp + fn) else None
                for size, (tp, fp, fn) in zip(SIZES, self.by_size.tolist(), strict=True)
            },
            "objects_by_size": {size: tp + fn for size, (tp, _, fn) in zip(SIZES, self.by_size.tolist(), strict=True)},
            "labelled_px": _median(self.labelled_px),
            "seen_px": _median(self.seen_px),
            "flags": dict(Counter(flag for flags in self.flags for flag in flags).most_common()),
            "lost": self.lost,
            "lost_without_flag": self.unflagged,
            "worst": {"name": self.names[worst], WORST_BY: columns[WORST_BY][worst]},
            "per_image": [
                {
                    "name": name,
                    **{metric: columns[metric][number] for metric in columns},
                    "labelled_px": self.labelled_px[number],
                    "seen_px": self.seen_px[number] if self.seen_px else None,
                    "flags": list(self.flags[number]) if self.flags else [],
                }
                for number, name in enumerate(self.names)
            ],
        }


def evaluate_suite(
    student: Student | str | Path,
    folder: Path,
    data: Sequence[str] = (),
    *,
    split: str = "all",
    labels: str | None = None,
    quantized: bool = False,
    include_trained: bool = False,
    scales: Sequence[float] = SCALES,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Score a student on sources of labelled images at several scales; a JSON-ready result.

    student : or an artefact, folder or zip, which is run by its backend
    folder : each of its sub-folders with images/ and labels/ is a source; data : more sources, NAME:PATH
    split : the part of `data` that is used; sub-folders are used whole
    scales : new side over old side, over 0 and at most 16; an image is not shrunk to objects under SMALLEST_PX
    Other arguments are those of distill.evaluation.evaluate.evaluate.

    Returns "rows" and "left_out", sentences. InputError for a folder without sources, a scale out of range, data
    without such labels, and a student that is not there.
    """
    for scale in scales:
        if not 0 < scale <= 16:
            msg = f"Scale {scale:g} is not over 0 and at most 16; give for example 0.5."
            raise InputError(msg)
    segment = _Compiled(Path(student)) if is_artifact(student) else _InTorch(student, quantized)
    kind = labels or segment.labels
    trained_on = frozenset() if include_trained else frozenset(segment.lineage.trained_on)
    sources = {
        name: datasets.unseen(datasets.open(spec, part), trained_on)
        for name, spec, part in _sources(folder, data, split, kind)
    }
    rows: list[SuiteRow] = []
    left_out: list[str] = []
    with progress(sum(map(len, sources.values()))) as step:
        for name, samples in sources.items():
            if count := samples.left_out.get(datasets.SEEN, 0):
                left_out.append(f"{name}: {count} images were {datasets.SEEN}")
            rows += _rows_of(name, samples.kept(), kind, segment, scales, left_out, step)
    if not rows:
        msg = f"No image is left to score: {'; '.join(left_out) or 'the sources are empty'}; give others."
        raise InputError(msg)
    return {
        "student": segment.name,
        "weights_sha256": segment.lineage.weights_sha256,
        "precision": segment.precision,
        "labels": kind,
        "metrics": shown(),
        "protocol": " ".join(f"{metrics.load(name).definition}." for name in shown()),
        "sizes_px": list(BOUNDS_PX),
        "left_out": left_out,
        "rows": [row.to_dict() for row in rows],
    }


def _sources(folder: Path, data: Sequence[str], split: str, kind: str) -> list[tuple[str, str, str]]:
    """Name, data spec and split of each source."""
    if not folder.is_dir():
        msg = f"There is no folder {str(folder)!r}; give one whose sub-folders hold images/ and labels/."
        raise InputError(msg)
    inside = sorted(path for path in folder.iterdir() if (path / "images").is_dir() and (path / "labels").is_dir())
    if not inside:
        msg = f"No sub-folder of {str(folder)!r} holds images/ and labels/; give a folder of such sources."
        raise InputError(msg)
    query = "" if kind == "nuclei" else f"?labels={kind}"
    named = [(path.name, f"folder:{path}{query}", "all") for path in inside]
    for spec in data:
        reader, _, argument = spec.partition(":")
        named.append((f"{reader} {Path(argument.partition('?')[0]).stem}", spec, split))
    twice = [name for name, count in Counter(name for name, _, _ in named).items() if count > 1]
    if twice:
        msg = f"Two sources are called {twice[0]!r}; rename one of their files or folders."
        raise InputError(msg)
    return named


def is_artifact(student: Student | str | Path) -> bool:
    """Whether this names an artefact, and no student."""
    return not isinstance(student, Student) and ((path := Path(student)).is_file() or (path / MANIFEST).is_file())


class _InTorch:
    """A student's graph, and how it is asked for the size of objects."""

    def __init__(self, student: Student | str | Path, quantized: bool) -> None:
        loaded = student if isinstance(student, Student) else load(student)
        self.name, self.lineage = loaded.spec.name, loaded.lineage
        self.labels = loaded.labels
        self.precision = "int8 (fake-quantised)" if quantized else "fp32"
        self.diameters = _diameters(loaded.spec.object_diameter is not None and len(loaded.spec.channels) == 1)
        self._spec, self._graph = loaded.spec, loaded.quantized() if quantized else loaded.graph()

    def sees(self, sample: datasets.Sample) -> Image:
        return seen(sample, self._spec)

    def __call__(self, image: Image, truth: Labels, diameter: str) -> Segmentation:
        request: DiameterRequest = true_size(truth, self._spec) if diameter == "given" else AUTO
        return segmenting(self._graph, self._spec, request=request)(image)


class _Compiled:
    """An artefact, run by its backend as at deployment."""

    def __init__(self, path: Path) -> None:
        self._segmenter = Segmenter.open(path)
        manifest = self._segmenter.manifest
        self.name, self.lineage = manifest.student, manifest.lineage
        self.labels = manifest.accuracy.labels if manifest.accuracy else "nuclei"
        self.precision = f"{manifest.precision}, compiled for {manifest.target}, run by {self._segmenter.backend}"
        self.diameters = _diameters(manifest.object_diameter is not None)

    def sees(self, sample: datasets.Sample) -> Image:
        return sample.frame

    def __call__(self, image: Image, truth: Labels, diameter: str) -> Segmentation:
        size = median_diameter_of(truth) if diameter == "given" else AUTO.kind
        return self._segmenter(image, diameter=OFF.kind if size is None or diameter == "off" else size)


def _diameters(resizes: bool) -> tuple[str, ...]:
    return ("given", "auto") if resizes else ("off",)


def _rows_of(
    source: str,
    samples: datasets.Dataset,
    kind: str,
    segment: _InTorch | _Compiled,
    scales: Sequence[float],
    left_out: list[str],
    step: Callable[[], None],
) -> list[SuiteRow]:
    """The rows of one source; those without any image are left out, and what is left out is noted."""
    rows = {
        (scale, diameter): SuiteRow(source, segment.name, scale, diameter)
        for scale in scales
        for diameter in segment.diameters
    }
    baselines = [SuiteRow(source, BASELINE, 1.0, diameter) for diameter in ("given", "auto")]
    small: Counter[float] = Counter()
    for sample in samples:
        truth = sample.labels_of(kind, "choose with --labels, or leave this source out")
        image = segment.sees(sample)
        size = median_diameter_of(truth)
        for scale in scales:
            if scale < 1 and size is not None and size * scale < SMALLEST_PX:
                small[scale] += 1
                continue
            resized, labels = resized_pair(image, truth, scale)
            for diameter in segment.diameters:
                result = segment(resized, labels, diameter)
                row = rows[scale, diameter]
                row.add(sample.name, labels, result.labels(), result.mask)
                row.seen_px.append(result.scale.diameter_px)
                row.flags.append(tuple(flag for flag in result.flags if flag != RESIZED))
        for row in baselines:
            row.add(sample.name, truth, otsu_watershed(sample.frame, size if row.diameter == "given" else None))
        step()
    for scale, count in sorted(small.items()):
        left_out.append(
            f"{source} at scale {scale:g}: {count} of {len(samples)} images, "
            f"their objects would be under {SMALLEST_PX:g} px"
        )
    for (scale, diameter), row in rows.items():
        if scale != 1 and (1.0, diameter) in rows:
            row.compare(rows[1.0, diameter])
    return [row for row in (*rows.values(), *baselines) if row.names]


def resized_pair(image: Image, labels: Labels, scale: float) -> tuple[Image, Labels]:
    """An image and its labels at another size; whole numbers are rounded, labels are those of the nearest pixel.

    image : (H, W) or (C, H, W), uint8, uint16 or float32; labels : int32 (H, W); scale : new side over old side
    """
    if scale == 1:
        return image, labels
    shape = resized_shape((labels.shape[0], labels.shape[1]), scale)
    planes = np.stack([resize(plane, shape) for plane in image.reshape(-1, *labels.shape)])
    if image.dtype.kind == "u":
        planes = np.rint(planes)
    rows, cols = ((np.arange(new) + 0.5) * old // new for old, new in zip(labels.shape, shape, strict=True))
    nearest = labels[np.ix_(rows.astype(np.intp), cols.astype(np.intp))]
    return planes.astype(image.dtype).reshape(*image.shape[:-2], *shape), nearest


def otsu_watershed(frame: Image, diameter: float | None = None) -> Labels:
    """Otsu's threshold (1979), and a watershed from the peaks of the smoothed distance to the background.

    frame : (H, W); diameter : of the objects in pixels, which decides how much is smoothed and how far peaks are
    apart; without one, it is that of the median connected component. Returns int32 (H, W).
    """
    if frame.min() == frame.max():
        return np.zeros(frame.shape, np.int32)
    smooth = ndimage.gaussian_filter(frame.astype(np.float32), 1)
    mask = np.asarray(ndimage.binary_fill_holes(smooth > threshold_otsu(smooth)))
    components, count = ndimage.label(mask)
    areas = np.bincount(components.ravel(), minlength=count + 1)
    mask &= areas[components] >= SPECK_PX
    size = diameter or median_diameter(areas[1:][areas[1:] >= SPECK_PX]) or 1.0
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask).astype(np.float32), size / 16)
    peaks = mask & (distance == ndimage.maximum_filter(distance, 2 * math.ceil(size / 4) + 1))
    seeds, _ = ndimage.label(peaks, np.ones((3, 3)))
    return watershed(-distance, seeds, mask=mask).astype(np.int32)


def counts_by_size(truth: Labels, labels: Labels) -> NDArray[np.int64]:
    """int64 (3 sizes, 3): matched, invented and missed objects at IoU > 0.5.

    Matched and missed objects are sorted by their labelled diameter, invented ones by their own.
    """
    pairs = metrics.match_pairs(truth, labels)
    true, pred = (
        np.digitize(2 * np.sqrt(areas / math.pi), BOUNDS_PX) for areas in (pairs.true_areas, pairs.pred_areas)
    )
    matched = _histogram(true[pairs.true])
    invented = _histogram(np.delete(pred, pairs.pred))
    return np.stack([matched, invented, _histogram(true) - matched], axis=1)


def _histogram(sizes: NDArray[np.intp]) -> NDArray[np.int64]:
    return np.bincount(sizes, minlength=len(SIZES)).astype(np.int64)


def _median(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.median(numbers)) if numbers else None
