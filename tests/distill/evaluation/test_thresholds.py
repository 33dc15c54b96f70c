"""Thresholds are those that score best on the validation images, and close to 0.5 where it makes no difference."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.datasets import Sample
from distill.evaluation.thresholds import choose
from distill.networks.spec import StudentSpec
from runtime.artifact.manifest import Normalization, Objects


class Echo(torch.nn.Module):
    """The probability of every output is the intensity of the tile, the core's a little lower."""

    def __init__(self, core: float = 0.0):
        super().__init__()
        self.core = core

    def forward(self, tile: torch.Tensor) -> torch.Tensor:
        planes = torch.cat([tile, (tile - self.core).clamp(0, 1)], 1)
        return torch.logit(planes.double().clamp(1e-4, 1 - 1e-4))


SPEC = StudentSpec(
    "echo", "mobilenetv3", tile=(64, 64), normalization=Normalization(low=0.0, high=100.0), objects=Objects(0.5, 1)
)


def sample(brightest_background: float, darkest_object: float) -> Sample:
    """One bright square, its rim no brighter than darkest_object, on a background with a bright patch."""
    frame = np.zeros((64, 64), np.float32)
    labels = np.zeros((64, 64), np.int32)
    labels[8:40, 8:40] = 1
    frame[labels > 0] = darkest_object
    frame[20:28, 20:28] = 1.0
    frame[50:60, 50:60] = brightest_background
    return Sample("square", frame[None], ("nucleus",), {"nuclei": labels})


@pytest.mark.parametrize(("background", "rim", "best"), [(0.61, 0.64, 0.625), (0.33, 0.36, 0.35), (0.2, 0.9, 0.5)])
def test_the_mask_threshold_separates_best(background: float, rim: float, best: float):
    spec, record = choose(Echo(), SPEC, [sample(background, rim)], "nuclei")
    assert spec.threshold == pytest.approx(best)
    assert record["dice_by_threshold"][best] == max(record["dice_by_threshold"].values()) == 1.0


def test_the_core_threshold_tells_objects_apart():
    frame = np.zeros((64, 64), np.float32)
    frame[10:30, 5:55] = 0.75
    frame[10:30, 5:28] = frame[10:30, 32:55] = 1.0  # two objects that touch in a darker bridge
    labels = np.zeros((64, 64), np.int32)
    labels[10:30, 5:30], labels[10:30, 30:55] = 1, 2
    spec, record = choose(Echo(0.1), SPEC, [Sample("two", frame[None], ("nucleus",), {"nuclei": labels})], "nuclei")
    assert spec.objects.core_threshold == 0.7
    assert not spec.objects.core_prominence
    scores = record["object_score_by_seeds"]
    assert scores["core over 0.7"] == 1.0
    assert scores["core over 0.5"] < 1.0


def test_summits_tell_objects_apart_where_no_threshold_does():
    frame = np.zeros((64, 64), np.float32)
    frame[10:30, 5:55] = 0.5
    frame[12:28, 8:26] = 0.97  # bright, with a bright bridge to its neighbour
    frame[12:28, 26:34] = 0.7
    frame[12:28, 34:52] = 0.97
    frame[40:60, 5:35] = 0.5  # and two dim ones
    frame[42:58, 7:17] = frame[42:58, 23:33] = 0.65
    labels = np.zeros((64, 64), np.int32)
    labels[10:30, 5:30], labels[10:30, 30:55], labels[40:60, 5:20], labels[40:60, 20:35] = 1, 2, 3, 4
    spec, record = choose(Echo(0.1), SPEC, [Sample("four", frame[None], ("nucleus",), {"nuclei": labels})], "nuclei")
    scores = record["object_score_by_seeds"]
    assert spec.objects.core_prominence > 0
    assert max(scores.values()) == 1.0
    assert max(score for rule, score in scores.items() if rule.startswith("core over")) < 1.0


def test_of_mask_thresholds_that_are_as_good_in_dice_the_one_with_the_best_objects_is_taken():
    class Sure(Echo):
        def forward(self, tile):
            planes = torch.cat([tile, (tile > 0.3).to(tile.dtype)], 1)
            return torch.logit(planes.double().clamp(1e-4, 1 - 1e-4))

    frame = np.zeros((192, 192), np.float32)
    labels = np.zeros((192, 192), np.int32)
    labels[10:170, 10:90], labels[10:170, 100:180] = 1, 2
    frame[labels > 0] = 1.0
    frame[10:30, 10] = 0.56  # 20 pixels of a nucleus
    frame[180:184, 40:44] = 0.56  # and 16 of dirt
    spec, record = choose(Sure(), SPEC, [Sample("dirt", frame[None], ("nucleus",), {"nuclei": labels})], "nuclei")
    dices = record["dice_by_threshold"]
    assert dices[0.5] == max(dices.values()) > dices[0.575] > dices[0.5] - 0.0005
    assert record["object_score_by_threshold"]["0.5"] == pytest.approx(2 / 3)
    assert record["object_score_by_threshold"]["0.575"] == 1.0
    assert spec.threshold == 0.575


def test_the_smallest_object_is_chosen_last():
    frame = np.zeros((64, 64), np.float32)
    frame[10:30, 5:30] = frame[40:44, 40:44] = 1.0
    labels = np.zeros((64, 64), np.int32)
    labels[10:30, 5:30] = 1  # what is 16 pixels large is dirt
    given = replace(SPEC, objects=Objects(0.5, 12))
    spec, record = choose(Echo(), given, [Sample("dirt", frame[None], ("nucleus",), {"nuclei": labels})], "nuclei")
    assert record["object_score_by_min_area"] == {"12 px": 0.5, "20 px": 1.0, "30 px": 1.0}
    assert spec.objects.min_area == 20


def test_without_a_core_there_is_no_core_threshold():
    class One(Echo):
        def forward(self, tile):
            return super().forward(tile)[:, :1]

    alone = replace(SPEC, outputs=("foreground",))
    spec, record = choose(One(), alone, [sample(0.2, 0.9)], "nuclei")
    assert spec.objects == alone.objects
    assert set(record) == {"dice_by_threshold"}


def test_nothing_else_of_the_spec_changes():
    spec, _ = choose(Echo(), SPEC, [sample(0.61, 0.64)], "nuclei")
    assert replace(spec, threshold=SPEC.threshold, objects=SPEC.objects) == SPEC
