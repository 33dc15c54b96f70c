"""int8 or fp16: the faster one that passes, and why."""

from __future__ import annotations

import pytest

from runtime.artifact.manifest import Tolerance
from runtime.artifact.probes import Replay
from runtime.backends.tensorrt.choice import EngineCandidate, choose, misses

TOLERANCE = Tolerance(0.5, 0.01, 0.99)


def timed(precision: str, ms: float, *failures: str) -> EngineCandidate:
    return EngineCandidate("onnx", precision, failures, median_ms=ms, p99_ms=ms)


@pytest.mark.parametrize(
    ("int8", "fp16", "kept", "why"),
    [
        (1.0, 2.0, "int8", "1.000 ms a tile against 2.000 ms of fp16, 50 % less"),
        (2.0, 1.5, "fp16", "1.500 ms a tile against 2.000 ms of int8, 25 % less"),
        (1.0, 1.05, "int8", "that is little, and a bundle in fp16 rounds less"),
        (1.0, 1.01, "fp16", "it is as fast as int8 (1.010 and 1.000 ms), and rounds less"),
    ],
)
def test_the_faster_one_is_kept_and_a_tie_goes_to_fp16(int8: float, fp16: float, kept: str, why: str):
    choice = choose([timed("int8", int8), timed("fp16", fp16)])
    assert choice is not None
    assert choice.kept.precision == kept
    assert why in choice.reason


def test_a_faster_one_that_misses_the_probes_is_out_with_the_reason():
    choice = choose([timed("int8", 1.0, "on the probes, mask Dice is 0.5"), timed("fp16", 9.0)])
    assert choice is not None
    assert choice.reason == "fp16 is kept: int8 is out (on the probes, mask Dice is 0.5)"


def test_one_that_was_never_built_is_out():
    choice = choose([EngineCandidate("onnx", "int8", ("the builder was killed by SIGSEGV",)), timed("fp16", 9.0)])
    assert choice is not None
    assert choice.kept.precision == "fp16"
    assert "SIGSEGV" in choice.reason


def test_where_none_is_good_nothing_is_chosen():
    assert choose([timed("int8", 1.0, "bad"), EngineCandidate("onnx", "fp16", ("bad",))]) is None


def test_one_alone_is_kept():
    choice = choose([timed("fp32", 1.0)])
    assert choice is not None
    assert choice.reason == "fp32 is kept: it is the only one of this bundle"


def test_an_engine_that_does_not_round_is_not_judged_by_its_maximum_against_a_rounding_reference():
    found = Replay(probability_max=0.6, probability_mean=0.005, mask_dice=0.995)
    assert misses(found, TOLERANCE, rounded=False) == ()
    assert misses(found, TOLERANCE, rounded=True) == ("max |dp| is 0.600000, due at most 0.500000",)


def test_an_engine_that_does_not_round_is_judged_by_its_mask():
    found = Replay(probability_max=0.1, probability_mean=0.005, mask_dice=0.9)
    assert len(misses(found, TOLERANCE, rounded=False)) == 1
