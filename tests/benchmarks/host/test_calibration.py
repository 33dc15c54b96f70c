"""When a machine counts as noisy."""

from dataclasses import replace

import pytest

from benchmarks.host.calibration import Calibration, calibrate, calibration, judge

QUIET = calibration([5.0 + 0.01 * i for i in range(20)])


def test_equal_and_narrow_calibrations_are_quiet():
    assert not judge(QUIET, QUIET).is_noisy


def test_a_wide_calibration_is_noise():
    wide = calibration([4.0, 5.1, 5.1, 9.0] * 5)
    (reason,) = judge(QUIET, wide).reasons
    assert "noisy after" in reason
    assert "at most 10 %" in reason


@pytest.mark.parametrize(("factor", "word"), [(1.2, "slower"), (0.8, "faster")])
def test_a_machine_that_changes_is_noise(factor: float, word: str):
    changed = calibration([ms * factor for ms in QUIET.samples_ms])
    (reason,) = judge(QUIET, changed).reasons
    assert f"20 % {word}" in reason


def test_one_outlier_is_no_noise():
    assert calibration([5.0] * 30 + [50.0]).spread == 0.0


def test_the_loop_is_timed_as_often_as_it_should_be():
    found = calibrate(loops=3)
    assert isinstance(found, Calibration)
    assert len(found.samples_ms) == 3
    assert min(found.samples_ms) > 0


def test_warnings_of_machine_and_noise_stand_in_the_report(report):
    noisy = replace(report, noise=judge(QUIET, calibration([4.0, 5.1, 5.1, 9.0] * 5)))
    doubtful = replace(noisy, device=replace(report.device, warnings=("on its battery",)))
    assert len(doubtful.warnings) == 2
    assert report.warnings == ()
