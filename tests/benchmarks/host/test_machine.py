"""What the files of a device tell, on stand-ins of devices; see stand_ins/README.md."""

import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.host.device import Clocks, Detection, Device, Jetson
from benchmarks.host.fingerprint import fingerprint
from benchmarks.host.machine import Machine, firmware_flags
from benchmarks.host.warnings import warnings_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins' paths hold what Windows forbids")


def test_a_jetson_tells_board_releases_and_power_mode(stand_in):
    jetson = stand_in("jetson-orin-nano")
    assert jetson.board() == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit"
    assert jetson.jetson() == Jetson("36.4.3", "6.2+b77", "10.3.0.30-1+cuda12.5", "25W", False)
    assert jetson.clocks() == Clocks("schedutil", "tegra194", None, 729.6, 1728.0, 1190.4)


def test_pinned_clocks_of_a_jetson_are_seen(stand_in):
    jetson = stand_in("jetson-orin-nano")
    for lowest in jetson.root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_min_freq"):
        lowest.write_text("1728000")
    assert jetson.jetson().jetson_clocks is True


def test_a_jetson_below_its_full_power_is_doubted(stand_in):
    reasons = fingerprint(stand_in("jetson-orin-nano")).warnings
    assert any("25W, not in MAXN" in reason for reason in reasons)
    assert any("jetson_clocks" in reason for reason in reasons)


def test_a_jetson_in_maxn_with_pinned_clocks_is_not_doubted(stand_in):
    described = fingerprint(stand_in("jetson-orin-nano"))
    pinned = replace(described.jetson, nvpmodel="MAXN_SUPER", jetson_clocks=True)
    assert warnings_of(replace(described, jetson=pinned)) == ()


def test_a_throttled_raspberry_pi_is_doubted(stand_in):
    described = fingerprint(stand_in("raspberry-pi-5"))
    assert described.board == "Raspberry Pi 5 Model B Rev 1.0"
    assert described.throttled == (
        "under-voltage now",
        "throttled now",
        "under-voltage since boot",
        "throttled since boot",
    )
    assert any("under-voltage now" in reason and "not usable" in reason for reason in described.warnings)


def test_throttling_of_the_past_is_a_milder_doubt(stand_in):
    described = replace(fingerprint(stand_in("raspberry-pi-5")), throttled=("throttled since boot",))
    (reason,) = warnings_of(described)
    assert "has throttled the board before" in reason


def test_a_laptop_on_its_battery_is_doubted(stand_in):
    laptop = stand_in("intel-laptop")
    described = fingerprint(laptop)
    assert described.on_battery is True
    assert any("battery" in reason for reason in described.warnings)
    (laptop.root / "sys/class/power_supply/AC/online").write_text("1")
    assert laptop.on_battery() is False


def test_the_battery_of_a_mouse_is_not_the_machines(stand_in):
    laptop = stand_in("intel-laptop")
    for name in ("AC/type", "BAT0/type"):
        (laptop.root / "sys/class/power_supply" / name).write_text("Unknown")
    assert laptop.on_battery() is False


def test_a_governor_that_pins_the_lowest_clock_is_doubted_more_than_an_adaptive_one(stand_in):
    adaptive = fingerprint(stand_in("intel-laptop"))
    assert any("clocks rise with the load" in reason for reason in adaptive.warnings)
    pinned = replace(adaptive, clocks=replace(adaptive.clocks, driver="acpi-cpufreq"))
    assert any("not usable" in reason for reason in warnings_of(pinned))


def test_a_laptop_is_no_virtual_machine_and_no_container(stand_in):
    laptop = stand_in("intel-laptop")
    assert laptop.virtual_machine() is None
    assert laptop.container() is None
    assert laptop.clocks().boost is True
    assert fingerprint(laptop).isa == ("avx2", "avx_vnni")
    assert fingerprint(laptop).drivers["i915"] == "1.6.0"


def test_container_virtual_machine_quota_and_nodes_are_found(stand_in):
    server = stand_in("container-on-a-server")
    assert server.container() == Detection("docker", "/.dockerenv")
    assert server.virtual_machine() == Detection("qemu", "/sys/class/dmi/id/sys_vendor")
    assert server.quota_cores() == 1.5
    assert server.memory_limit_mb() == 2147
    assert server.numa() == ("0-15", "16-31", "32-47", "48-63")  # node10 comes after node2


def test_a_quota_below_the_cores_and_several_nodes_are_doubted(stand_in, report):
    reasons = warnings_of(replace(report.device, quota_cores=1.5, numa=("0-1", "2-3")))
    assert any("the time of 1.5 of 2 cores" in reason for reason in reasons)
    assert any("NUMA" in reason for reason in reasons)


def test_no_limit_of_cgroup_version_1_is_none(stand_in):
    machine = stand_in("container-of-cgroup-1")
    assert machine.quota_cores() is None
    assert machine.memory_limit_mb() is None
    assert machine.container() == Detection("docker", "/proc/1/cgroup")


def test_the_strictest_limit_above_the_own_group_counts(stand_in):
    machine = stand_in("container-on-a-server")
    (machine.root / "proc/self/cgroup").write_text("0::/user.slice/job\n")
    own = machine.root / "sys/fs/cgroup/user.slice/job"
    own.mkdir(parents=True)
    (own / "memory.max").write_text("max\n")
    (own.parent / "memory.max").write_text("1000000000\n")
    assert machine.memory_limit_mb() == 1000


def test_a_machine_without_files_tells_nothing(tmp_path):
    empty = fingerprint(Machine(tmp_path))
    assert (empty.board, empty.clocks, empty.jetson, empty.container, empty.virtual_machine) == (None,) * 5
    assert (empty.isa, empty.numa, empty.warnings) == ((), (), ())
    assert empty.cpu


@given(st.integers(0, 0xFFFFF))
def test_every_form_of_the_firmwares_flags_is_read(bits: int):
    assert firmware_flags(f"{bits:x}") == firmware_flags(f"throttled={bits:#x}\n")
    assert len(firmware_flags(f"{bits:x}")) == (bits & 0xF000F).bit_count()


def test_no_flags_are_none_of_them_and_nonsense_is_unknown():
    assert firmware_flags("0") == ()
    assert firmware_flags("error=1") is None


def test_equal_machines_share_an_id_and_a_power_mode_is_part_of_it(report):
    device: Device = replace(report.device, isa=("avx2", "avx512_vnni"))
    assert device.id == "some-cpu-2c-8g"
    assert replace(device, isa=("avx2",)).id == "some-cpu-no-vnni-2c-8g"
    board = replace(device, board="NVIDIA Jetson Orin Nano", jetson=Jetson(None, None, None, "MAXN", None))
    assert board.id == "nvidia-jetson-orin-nano-maxn-2c-8g"
