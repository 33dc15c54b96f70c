"""What is known of a device, from the files that a Jetson has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.backends.tensorrt import probe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: ...\n", "36.4.3"),
        ("# R35 (release), REVISION: 6.1, GCID: 1\n", "35.6.1"),
        ("nothing of the kind", None),
    ],
)
def test_the_version_of_jetson_linux_is_read(text: str, version: str | None, tmp_path: Path):
    (tmp_path / "release").write_text(text)
    assert probe.l4t(tmp_path / "release") == version


def test_elsewhere_there_is_none(tmp_path: Path):
    assert probe.l4t(tmp_path / "gone") is None
    assert probe.board(tmp_path / "gone") is None


def test_a_machine_is_the_same_every_time_and_does_not_give_its_id_away():
    assert probe.machine() == probe.machine()
    assert len(probe.machine()) == 16
    assert all(probe.machine() not in path.read_text() for path in probe.MACHINE_IDS if path.is_file())


def test_the_device_is_described(jetson):
    jetson("10.16.1", SM="11.0", NAME="NVIDIA Thor", DRIVER="13020")
    device, cuda, trt = probe.look("gpu")
    assert (device.name, device.sm, device.integrated) == ("NVIDIA Thor", "11.0", True)
    assert (device.driver, device.runtime, device.tensorrt) == ("13.2", "12.6", "10.16.1")
    assert trt.__version__ == "10.16.1"
    assert cuda.device_count() == 1


def test_on_a_jetson_the_memory_is_what_linux_can_give(jetson, tmp_path: Path):
    jetson(FREE_MB="300")
    _, cuda, _ = probe.look()
    assert probe.available_mb(cuda, integrated=True) == 5859
    assert probe.available_mb(cuda, integrated=False) == 300
    (tmp_path / "meminfo").unlink()
    assert probe.available_mb(cuda, integrated=True) == 300


def test_doctors_state_tells_the_device(jetson):
    jetson()
    state = probe.state()
    assert state["devices"] == "Orin (stand-in) (SM 8.7)"
    assert state["driver"] == "12.6"
    jetson(DEVICES="-1")
    assert "driver version is insufficient" in probe.state()["devices"]
