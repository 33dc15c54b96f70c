"""The device's description: complete enough to read a figure by, and fit to be passed on."""

import getpass
import platform

import pytest

from benchmarks import device


def test_the_description_names_processor_and_libraries():
    described = device.fingerprint()
    assert described.cpu
    assert 1 <= described.usable_cores
    assert described.memory_mb > 100
    assert described.versions["numpy"]


def test_the_description_names_neither_host_nor_user():
    text = device.fingerprint().to_json()
    assert platform.node() not in text or len(platform.node()) < 4  # a short name may be part of any word
    assert f"/{getpass.getuser()}/" not in text


def test_a_machine_without_cpuinfo_is_described_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device, "_cpuinfo", dict)
    described = device.fingerprint()
    assert described.isa == ()
    assert not described.has_bf16
    assert described.cpu


def test_flags_are_read_from_x86_and_arm(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device, "_cpuinfo", lambda: {"model name": "A", "flags": "fpu avx2 amx_bf16"})
    assert device.fingerprint().isa == ("avx2", "amx_bf16")
    monkeypatch.setattr(device, "_cpuinfo", lambda: {"Model": "Board", "Features": "fp asimd asimddp"})
    assert device.fingerprint().isa == ("asimd", "asimddp")
    assert not device.fingerprint().has_bf16
