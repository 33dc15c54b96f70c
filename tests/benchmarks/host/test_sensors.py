"""Sensors of stand-in devices, and what is made of their readings."""

import sys

import pytest

from benchmarks.host import sensors
from benchmarks.host.machine import Machine
from benchmarks.host.sensors import Rail, Rapl, Recorder, meter, temperatures
from benchmarks.measures.energy import energy

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins' paths hold what Windows forbids")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The sensors' time, in seconds: set clock[0]."""
    now = [100.0]
    monkeypatch.setattr(sensors, "monotonic", lambda: now[0])
    return now


def test_a_jetson_measures_what_the_module_takes(stand_in, clock):
    found = meter(stand_in("jetson-orin-nano"))
    assert isinstance(found, Rail)
    assert found.watts() == pytest.approx(5.056)
    clock[0] += 2
    assert found.joules() == pytest.approx(2 * 5.056)


def test_power_between_two_looks_is_their_mean(stand_in, clock):
    jetson = stand_in("jetson-orin-nano")
    found = meter(jetson)
    (jetson.root / "sys/class/hwmon/hwmon1/curr1_input").write_text("3000")
    clock[0] += 1
    assert found.joules() == pytest.approx(2 * 5.056)


def test_rapl_counts_packages_alone(stand_in):
    laptop = stand_in("intel-laptop")
    found = meter(laptop)
    assert isinstance(found, Rapl)
    rapl = laptop.root / "sys/class/powercap"
    (rapl / "intel-rapl:0/energy_uj").write_text("262107000000")
    (rapl / "intel-rapl:0:0/energy_uj").write_text("900000000")
    (rapl / "intel-rapl:1/energy_uj").write_text("900000000")
    assert found.joules() == pytest.approx(7.0)


def test_a_counter_that_starts_again_is_followed(stand_in):
    laptop = stand_in("intel-laptop")
    found = meter(laptop)
    (laptop.root / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("1000000")
    assert found.joules() == pytest.approx(262143.328850 - 262100.0 + 1.0)


def test_a_counter_that_may_not_be_read_is_none(stand_in):
    laptop = stand_in("intel-laptop")
    (laptop.root / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    assert meter(laptop) is None
    assert meter(Machine(laptop.root / "nowhere")) is None


def test_idle_power_is_no_energy_of_a_frame():
    assert energy("s", 4.0, 10.0, frames=30, seconds=5.0, frame_shape=(1, 1)).joules_per_frame == pytest.approx(1.0)


def test_a_difference_below_nothing_is_no_figure():
    assert energy("s", 4.0, 3.9, frames=30, seconds=5.0, frame_shape=(1, 1)).joules_per_frame is None


def test_zones_that_are_off_give_no_temperature(stand_in):
    assert dict(temperatures(stand_in("jetson-orin-nano"))) == pytest.approx(
        {"cpu-thermal": 48.562, "gpu-thermal": 46.812, "tj-thermal": 48.562}
    )
    assert "iwlwifi_1" not in dict(temperatures(stand_in("intel-laptop")))


def test_zones_and_chips_are_named(stand_in):
    assert dict(temperatures(stand_in("intel-laptop"))) == pytest.approx(
        {"acpitz": 27.8, "coretemp Package id 0": 61.0, "coretemp Core 0": 58.0}
    )


def test_a_recorder_reads_once_a_second(stand_in, clock):
    recorder = Recorder(stand_in("jetson-orin-nano"))
    for clock[0] in (100.0, 100.5, 101.0, 102.5):
        recorder.look()
    traces = {trace.sensor: trace for trace in recorder.traces()}
    assert traces["cpu-thermal"].at_s == (0.0, 1.0, 2.5)
    assert traces["cpu-thermal"].unit == "\u00b0C"
    assert traces["processor"].values == (1190.4,) * 3
    assert traces["Jetson VDD_IN"].at_s == (1.0, 2.5)  # power is energy between two looks
    assert traces["Jetson VDD_IN"].values == pytest.approx((5.056, 5.056))


def test_throttling_during_a_run_is_noted_once(stand_in, clock):
    recorder = Recorder(stand_in("raspberry-pi-5"))
    for clock[0] in (100.0, 101.0, 102.0):
        recorder.look()
    assert recorder.throttled() == ("under-voltage now", "throttled now")


def test_throttling_that_intel_counts_is_that_of_the_run(stand_in, clock):
    laptop = stand_in("intel-laptop")
    recorder = Recorder(laptop)
    counts = laptop.root / "sys/devices/system/cpu/cpu0/thermal_throttle"
    (counts / "core_throttle_count").write_text("15")
    assert recorder.throttled() == ("core_throttle: 3 times",)


def test_a_machine_without_sensors_has_no_traces(tmp_path, clock):
    recorder = Recorder(Machine(tmp_path))
    recorder.look()
    assert recorder.traces() == ()
    assert recorder.throttled() == ()
