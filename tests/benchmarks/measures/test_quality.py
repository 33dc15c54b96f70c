"""The accuracy of one artefact: every metric over the images, and pictures of the worst images."""

import base64
import io
from dataclasses import replace

import numpy as np
from PIL import Image

from benchmarks.inputs.pictures import BLUE, ORANGE
from benchmarks.inputs.source import FieldOfView
from benchmarks.measures.figures import ImageScore
from benchmarks.measures.quality import Worst, draw, score_image, summarize
from runtime import Segmentation, metrics
from runtime.artifact.manifest import Objects

SIDE = 48


def found(labels: np.ndarray) -> Segmentation:
    return Segmentation((labels > 0).astype(np.float32), None, 0.5, Objects())


def blobs(count: int = 6) -> np.ndarray:
    """Squares that do not touch, as a label image."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number in range(count):
        row, col = divmod(number, 3)
        labels[16 * row + 2 : 16 * row + 12, 16 * col + 2 : 16 * col + 12] = number + 1
    return labels


def test_a_perfect_answer_is_scored_by_every_metric():
    quality = summarize([score_image("a", blobs(), found(blobs()))], "nuclei")
    assert set(quality.metrics) == set(quality.definitions) == set(metrics.names())
    assert all(score.mean == (metrics.load(name).better == "higher") for name, score in quality.metrics.items())


def test_an_image_without_a_value_leaves_its_metric_out():
    score = score_image("a", blobs(), found(np.zeros_like(blobs())))
    assert score.value("hd95_px") is None
    assert score.value("dice") == 0.0
    assert "hd95_px" not in summarize([score], "nuclei").metrics


def test_the_flags_of_the_images_are_kept_and_counted():
    odd = replace(found(blobs()), frame_flags=("uneven", "resized"))
    images = [score_image("a", blobs(), odd), score_image("b", blobs(), odd), score_image("c", blobs(), found(blobs()))]
    assert [image.flags for image in images] == [("uneven",), ("uneven",), ()]  # to resize is nothing odd
    assert summarize(images, "nuclei").flagged == {"uneven": 2}


def test_shares_of_objects_are_pooled_and_all_else_is_a_mean():
    one = ImageScore("a", {"dice": (100.0, 0.0, 0.0), "ap50": (1.0, 0.0, 0.0), "count_error": (4.0, 1.0)})
    other = ImageScore("b", {"dice": (0.0, 10.0, 10.0), "ap50": (0.0, 1.0, 1.0), "count_error": (0.0, 3.0)})
    quality = summarize([one, other], "nuclei")
    assert quality.figure("dice") == 0.5
    assert quality.figure("ap50") == 1 / 3
    assert quality.figure("count_error") == 2.0  # errors would cancel in the pool
    assert quality.figure("hd95_px") is None


def test_the_worst_images_come_first_and_can_be_looked_at():
    worst, truth = Worst(), blobs()
    for seed in range(6):
        answer = found(np.where(truth > seed, truth, 0))
        score = score_image(f"image {seed}", truth, answer)
        worst.see(score, FieldOfView(score.name, truth.astype(np.uint8) * 20, truth), answer)
    dices = [picture.score for picture in worst.pictures]
    assert len(dices) == 3
    assert dices == sorted(dices)
    with Image.open(io.BytesIO(base64.b64decode(worst.pictures[0].png))) as image:
        assert image.format == "PNG"
        assert image.size == (worst.pictures[0].width, worst.pictures[0].height)
        assert {ORANGE, BLUE} <= {colour for _, colour in image.convert("RGB").getcolors()}


def test_a_picture_of_a_large_image_is_small():
    truth = np.kron(blobs(), np.ones((20, 20), np.int32))
    picture = draw(1.0, FieldOfView("large", truth.astype(np.uint16), truth), truth)
    assert max(picture.width, picture.height) <= 384
