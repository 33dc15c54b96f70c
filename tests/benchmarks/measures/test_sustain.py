"""How a sustained run is cut into windows, and what drift is made of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.host.machine import Machine
from benchmarks.host.sensors import Recorder
from benchmarks.measures.figures import Sustained
from benchmarks.measures.latency import histogram
from benchmarks.measures.sustain import drift, summary, windows


def run(samples: np.ndarray, minutes: float, tmp_path) -> Sustained:
    at_s = np.linspace(0, minutes * 60, len(samples), endpoint=False)
    return summary(minutes, minutes * 60, (8, 8), at_s.tolist(), samples.tolist(), Recorder(Machine(tmp_path)))


def test_a_machine_that_slows_down_is_caught(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.3, 3000)
    found = run(10 + np.linspace(0, 2, 3000) + noise, 10, tmp_path)
    assert found.drift_ms_per_minute == pytest.approx(0.2, abs=0.02)
    low, high = found.drift_interval
    assert 0 < low < 0.2 < high
    assert found.drift_percent == pytest.approx(20, abs=2)
    assert len(found.windows) == 60
    assert sum(window.frames for window in found.windows) == 3000


def test_a_steady_machine_has_no_drift(tmp_path):
    found = run(10 + np.random.default_rng(1).normal(0, 0.3, 3000), 10, tmp_path)
    low, high = found.drift_interval
    assert low < 0 < high


def test_a_disturbed_minute_is_no_drift(tmp_path):
    samples = 10 + np.random.default_rng(2).normal(0, 0.3, 3000)
    samples[2700:] = 90
    assert abs(run(samples, 10, tmp_path).drift_ms_per_minute) < 0.05


def test_four_windows_carry_no_drift():
    assert drift(windows(4.0, [0, 1, 2, 3], [1, 1, 1, 1])) == (None, None)


def test_a_window_in_which_no_frame_began_is_left_out():
    assert [window.at_s for window in windows(5.0, [0.1, 4.2], [4000.0, 900.0])] == [0.5, 4.5]


@given(st.lists(st.floats(1e-3, 1e5), min_size=1))
def test_a_histogram_is_faithful_to_one_percent(samples: list[float]):
    found = histogram(samples)
    assert sum(found.counts) == len(samples)
    assert found.counts[0] > 0
    assert found.counts[-1] > 0
    edges = found.least_ms * (1 + found.resolution) ** np.arange(len(found.counts) + 1)
    lower, upper = np.repeat(edges[:-1], found.counts), np.repeat(edges[1:], found.counts)
    np.testing.assert_array_less(lower * (1 - 1e-6), np.sort(samples))
    np.testing.assert_array_less(np.sort(samples), upper * (1 + 1e-6))
