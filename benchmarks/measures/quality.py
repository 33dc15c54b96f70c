"""The accuracy of one artefact: every metric against the labels, and the agreement with its own reference."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from benchmarks.inputs.pictures import BLUE, ORANGE, overlay, write_pictures
from benchmarks.inputs.source import Content, FieldOfView
from benchmarks.measures.figures import ImageScore, Picture, ProbeAgreement, Quality
from runtime import backend as backends
from runtime import metrics, open_artifact
from runtime.artifact.probes import replay
from runtime.execution import DEFAULT
from runtime.frames.flags import RESIZED
from runtime.records import OPTIONAL, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.measures.job import MeasureJob
    from runtime import Segmentation, Segmenter
    from runtime.artifact.artifact import Artifact

WORST = 3  # images shown
PICTURE = 384  # pixels of the longer side, at most
GREYS = 30  # of the palette, beside the two colours of outlines: a quarter of the bytes of a picture in full colour


@dataclass(frozen=True)
class Score(Record):
    """What one process found: which backend ran, and how good it was.

    stand_in : why the artefact's own backend did not run here; None where it did
    gmac : 10^9 multiply-adds of a tile; weights : numbers that are multiplied; None where the backend does not tell
    """

    backend: str
    stand_in: str | None
    description: Mapping[str, str]
    agreement: ProbeAgreement
    quality: Quality | None
    content: str
    gmac: float | None = field(default=None, metadata=OPTIONAL)
    weights: int | None = field(default=None, metadata=OPTIONAL)


def score_artifact(job: MeasureJob) -> Score:
    """Replay the probes, then segment every image, with pictures if asked for."""
    with job.open() as segment:
        artifact = open_artifact(Path(job.artifact))
        agreement = replay_probes(segment, artifact)
        content, worst = Content(), Worst()
        images = [score for field in job.source if (score := _score(segment, field, job, content, worst))]
        quality = summarize(images, job.source.labels or "", worst.pictures) if images else None
        work = backends.load(segment.backend).profile(artifact, DEFAULT)
        return Score(
            backend=segment.backend,
            stand_in=_stand_in(segment),
            description=dict(segment.description),
            agreement=agreement,
            quality=quality,
            content=content.sha256(),
            gmac=work and work.multiply_adds / 1e9,
            weights=(work and work.weights) or None,
        )


def _stand_in(segment: Segmenter) -> str | None:
    own = segment.manifest.backend
    return None if segment.backend == own else backends.refusal(own, segment.manifest) or "another one was asked for"


class Worst:
    """The images with the lowest score so far, as pictures: a picture is drawn of those alone that belong to them."""

    def __init__(self) -> None:
        self.pictures: tuple[Picture, ...] = ()

    def see(self, score: ImageScore, field: FieldOfView, result: Segmentation) -> None:
        """Take in one image."""
        value = score.value(metrics.HEADLINES[0]) or 0.0
        if len(self.pictures) < WORST or value < self.pictures[-1].score:
            picture = draw(value, field, result.labels())
            self.pictures = tuple(sorted((*self.pictures, picture), key=lambda p: (p.score, p.image))[:WORST])


def draw(score: float, field: FieldOfView, labels: NDArray[np.int32]) -> Picture:
    """The outlines as a small PNG in base64. Every n-th pixel is taken before they are drawn: they stay crisp."""
    step = -(-max(labels.shape) // PICTURE)
    small = FieldOfView(
        field.name, field.frame[::step, ::step], None if field.labels is None else field.labels[::step, ::step]
    )
    image = overlay(small, labels[::step, ::step], enlarge=False)
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(255 * level // (GREYS - 1) for level in range(GREYS) for _ in range(3)), *ORANGE, *BLUE])
    buffer = BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return Picture(field.name, score, image.width, image.height, b64encode(buffer.getvalue()).decode("ascii"))


def replay_probes(segment: Segmenter, artifact: Artifact) -> ProbeAgreement:
    """Run the artefact's own probes and compare with the outputs that it carries."""
    manifest, probes = artifact.manifest, artifact.probes()
    result = replay(segment.run_tile, probes, manifest.threshold, manifest.channels.index("foreground"))
    within = not result.misses(manifest.tolerance)
    return ProbeAgreement(len(probes), result.mask_dice, result.probability_max, result.probability_mean, within)


def _score(
    segment: Segmenter, field: FieldOfView, job: MeasureJob, content: Content, worst: Worst
) -> ImageScore | None:
    content.add(field)
    result = segment(field.frame)
    if job.pictures:
        write_pictures(Path(job.pictures), job.name, field, result)
    if field.labels is None:
        return None
    score = score_image(field.name, field.labels, result)
    worst.see(score, field, result)
    return score


def score_image(name: str, labels: NDArray[np.int32], result: Segmentation) -> ImageScore:
    """Compare with the labels by every metric. labels : int32 (H, W), 0 is background"""
    parts = metrics.parts_of(metrics.Comparison(result.labels(), labels, result.mask))
    flags = tuple(flag for flag in result.flags if flag != RESIZED)
    return ImageScore(name, {metric: values for metric, values in parts.items() if all(map(isfinite, values))}, flags)


def summarize(images: Sequence[ImageScore], labels: str, worst: tuple[Picture, ...] = ()) -> Quality:
    """Every metric over the images; at least one image."""
    scores = metrics.summarize([image.parts for image in images])
    definitions = {name: metrics.load(name).definition for name in scores}
    return Quality(labels, None, definitions, scores, tuple(images), worst)
