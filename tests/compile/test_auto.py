"""The walk from int8 to fp32: what is tried, in which order, and what is recommended."""

from types import SimpleNamespace

import pytest

from compile.accuracy.sensitivity import Effect, LayerError, Sensitivity
from compile.auto import MIXES, Step, advice, mixes

NAMES = tuple("abcdefgh")


SHARES = dict(zip(NAMES, (0.4, 0.3, 0.1, 0.1, 0.04, 0.03, 0.02, 0.01), strict=True))


class Sensor:
    """A student of independent layers: each has a share of the error, and is float alone."""

    layers = tuple(SimpleNamespace(name=name, reads=name, writes=None, tensors=frozenset(name)) for name in NAMES)

    def effect(self, floats):
        return Effect(sum(share for name, share in SHARES.items() if name not in floats.convolutions), 0.9)


ROWS = tuple(LayerError(name, name, Effect(share, 1.0), Effect(1 - share, 1.0)) for name, share in SHARES.items())
FOUND = Sensitivity(Effect(1.0, 0.9), ROWS, 4)


def int8(drop=None, forced=()):
    trial = None if drop is None else SimpleNamespace(drops={"intel": drop / 2, "jetson": drop})
    return Step("int8", forced, "it lost too much", trial)


@pytest.mark.parametrize(
    ("drop", "budget", "due"),
    [
        (1.6, 1.0, [("a",), ("a", "b")]),  # without a, 0.6 of the error is left
        (3.0, 1.0, [("a", "b"), ("a", "b", "c", "d")]),
        (9.0, 1.0, [("a", "b", "c", "d")]),  # eight in float would be no int8 any more
        (50.0, 1.0, []),
        (3.0, 0.0, []),
        (3.0, -1.0, []),
    ],
)
def test_mixes_that_promise_too_little_are_passed_over(drop, budget, due):
    found = list(mixes(Sensor(), FOUND, int8(drop), budget))
    assert found == due
    assert len(found) <= MIXES


def test_layers_with_scales_that_do_not_fit_come_first():
    assert next(mixes(Sensor(), FOUND, int8(forced=("g",)), 0.5)) == ("g",)
    assert list(mixes(Sensor(), FOUND, int8(forced=("g",)), 0.5))[1] == ("g", "a")


def test_too_many_of_them_leave_no_mix():
    assert list(mixes(Sensor(), FOUND, int8(forced=NAMES[:5]), 0.5)) == []


def steps(int8_ms, half_ms, precision="int8"):
    timed = [{} if ms is None else {"intel": ms} for ms in (int8_ms, half_ms)]
    return [Step(precision, latency_ms=timed[0]), Step("fp16", latency_ms=timed[1])]


def test_fp16_is_recommended_where_int8_saves_less_than_a_tenth():
    assert advice(steps(9.1, 10.0), "intel").startswith("intel: use FP16 (--precision fp16): int8 takes 9.1 ms")
    assert advice(steps(11.0, 10.0, "mixed"), "intel").startswith("intel: use FP16")


def test_int8_that_pays_is_kept():
    text = advice(steps(5.0, 10.0), "intel")
    assert "FP16" not in text
    assert "it saves 50 %" in text


def test_what_was_not_timed_is_not_recommended():
    assert "not timed here" in advice(steps(None, None), "intel")


def test_where_fp16_was_chosen_there_is_nothing_to_compare():
    assert advice([Step("int8", refused="no"), Step("fp16", latency_ms={"intel": 1.0})], "intel") is None
