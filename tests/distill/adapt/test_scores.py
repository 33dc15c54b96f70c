"""Gains are paired, intervals need five images, and what changes least wins among equals."""

import numpy as np
import pytest

from distill.adapt.measure import BEGIN, CANDIDATES, TRAINED, TUNED, Scores
from runtime import metrics
from runtime.metrics import Comparison, parts_of

TRUTH = np.zeros((20, 20), np.int32)
TRUTH[2:10, 2:10] = 1


def drawn(width: int) -> dict:
    """The parts of an image in which so many of eight columns of the object were found."""
    labels = np.zeros_like(TRUTH)
    labels[2:10, 2 : 2 + width] = 1
    return parts_of(Comparison(labels, TRUTH, labels > 0))


def scores(images: int, begin: int, tuned: int, trained: int) -> Scores:
    columns = dict(zip(CANDIDATES, (begin, tuned, trained), strict=True))
    parts = {one: tuple(drawn(width) for _ in range(images)) for one, width in columns.items()}
    return Scores(tuple(f"i{number}" for number in range(images)), parts)


@pytest.mark.parametrize(
    ("widths", "best"), [((8, 8, 8), BEGIN), ((4, 8, 8), TUNED), ((4, 5, 8), TRAINED), ((8, 5, 4), BEGIN)]
)
def test_the_best_one_is_kept(widths, best):
    assert scores(3, *widths).best == best


def test_a_gain_has_an_interval_from_five_images_on():
    dice = metrics.HEADLINES[0]
    gain, interval = scores(5, 4, 4, 8).gain(TRAINED, dice)
    assert gain == pytest.approx(1 - 2 / 3)
    assert interval == pytest.approx((gain, gain))
    assert scores(4, 4, 4, 8).gain(TRAINED, dice)[1] is None


def test_scores_come_back_from_their_file(tmp_path):
    first = scores(2, 4, 5, 8)
    (tmp_path / "a.json").write_bytes(first.to_json())
    again = Scores.read(tmp_path / "a.json")
    assert again.names == first.names
    assert again.mean(TRAINED, metrics.HEADLINES[0]) == first.mean(TRAINED, metrics.HEADLINES[0])
    assert len(Scores.joined([first, again]).names) == 4
