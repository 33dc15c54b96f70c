"""Holding this machine back, and saying so."""

import sys
from dataclasses import replace

import psutil
import pytest

from benchmarks.host import profiles
from benchmarks.host.device import Constraint
from benchmarks.host.profiles import PROFILES, constraint, held_back
from benchmarks.report import table
from runtime.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are set on Linux")


def test_nothing_asked_for_is_no_constraint():
    assert constraint(None, None, None) is None


def test_a_profile_is_labelled_as_constrained():
    found = constraint("1-core-512mb", None, None)
    assert found.label == "constrained to 1 core and 512 MB"
    assert len(found.cores) == 1
    assert found.memory_limit_mb == 512


def test_single_options_go_before_the_profile():
    found = constraint("1-core-512mb", None, 300)
    assert found.memory_limit_mb == 300
    assert found.profile == "1-core-512mb"


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (("raspberry-pi", None, None), "1-core-512mb"),
        ((None, 10**4, None), "cannot resemble"),
        ((None, 1, 8), "8 MB"),
    ],
)
def test_what_cannot_be_is_refused(asked, complaint: str):
    with pytest.raises(InputError, match=complaint):
        constraint(*asked)


def test_a_profile_of_more_cores_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(profiles, "usable_cores", lambda: 1)
    with pytest.raises(InputError, match="cannot resemble one with 4"):
        constraint("4-cores-2gb", None, None)


def test_no_profile_is_named_like_a_device():
    assert all(name.split("-")[1] in ("core", "cores") for name in PROFILES)


def test_cores_are_given_back():
    process = psutil.Process()
    before = process.cpu_affinity()
    with held_back(constraint(None, 1, None)):
        assert process.cpu_affinity() == before[:1]
    assert process.cpu_affinity() == before


def test_a_constrained_report_is_never_the_devices_own(report):
    limits = Constraint("2-cores-2gb", "constrained to 2 cores and 2000 MB", (0, 1), 2000)
    held = replace(report, constrained=limits)
    assert held.device_id == report.device_id + "+constrained"
    (entry,) = table.entries([held])
    assert "constrained to 2 cores" in table.device_of(entry)
    assert any("no figures of the device it resembles" in note for note in table.notes([entry]))
