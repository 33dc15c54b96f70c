"""Which device of this machine: a row for each, slow ones refused, and what cannot run here."""

from dataclasses import replace

import pytest

from benchmarks.answers.choose import choose
from benchmarks.answers.requirements import Limits
from benchmarks.campaign import campaign
from benchmarks.commands.devices import not_here, slower_than_first
from benchmarks.host.fingerprint import fingerprint
from benchmarks.inputs.stream import CameraStream
from runtime import backend as backends
from runtime import open_artifact
from runtime.errors import InputError


def with_devices(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    own = type(backends.load("openvino"))
    monkeypatch.setattr(own, "devices", lambda self: dict.fromkeys(names, "a device"))


def test_every_device_of_the_backend_is_a_row_the_first_under_the_plain_name(write_tiny, monkeypatch):
    with_devices(monkeypatch, ("CPU", "GPU.0", "NPU"))
    plan = campaign.RunPlan(every_device=True)
    variants = campaign.list_variants([open_artifact(write_tiny())], plan, fingerprint())
    assert [(one.name, one.device) for one in variants] == [
        ("tiny-intel-fp32", "CPU"),
        ("tiny-intel-fp32-on-GPU.0", "GPU.0"),
        ("tiny-intel-fp32-on-NPU", "NPU"),
    ]


def test_without_being_asked_only_the_first_device_runs(write_tiny, monkeypatch):
    with_devices(monkeypatch, ("CPU", "GPU.0"))
    variants = campaign.list_variants([open_artifact(write_tiny())], campaign.RunPlan(), fingerprint())
    assert [(one.name, one.device) for one in variants] == [("tiny-intel-fp32", None)]


def test_an_accelerator_that_slows_down_is_refused(make_report):
    rows = (
        {"name": "a-intel-int8", "ms": 10.0},
        {"name": "a-intel-gpu", "ms": 25.0},
        {"name": "a-intel-npu", "ms": 5.0},
    )
    report = make_report(*rows, noise=0.0)
    cpu, gpu, npu = report.rows
    report = replace(
        report, rows=(cpu, replace(gpu, name=f"{cpu.name}-on-GPU"), replace(npu, name=f"{cpu.name}-on-NPU"))
    )
    (said,) = slower_than_first(report)
    assert said == "refuse GPU: a-intel-int8 takes 2.50 times as long there as on the first device"


def test_a_device_that_computes_something_else_is_no_candidate(make_report):
    report = make_report({"name": "a-intel-int8"}, {"name": "b-intel-int8", "ms": 1.0})
    good, wrong = report.rows
    wrong = replace(wrong, agreement=replace(wrong.agreement, within_tolerance=False))
    answer = choose([replace(report, rows=(good, wrong))], Limits())
    assert [candidate.row for candidate in answer.candidates] == ["a-intel-int8"]
    assert "does not reproduce its probes" in answer.left_out[0]


def test_the_camera_gives_the_pace():
    assert campaign.RunPlan(camera=CameraStream(64, 64, 7.0)).rate == 7.0
    assert campaign.RunPlan().rate is None
    with pytest.raises(InputError, match="pace is nan"):
        campaign.RunPlan(pace=float("nan"))


def test_a_backend_that_is_not_installed_is_named_with_its_line(monkeypatch):
    own = type(backends.load("openvino"))
    monkeypatch.setattr(own, "library", lambda self: None)
    assert any(line.startswith("not here: openvino") and "pip install" in line for line in not_here())
