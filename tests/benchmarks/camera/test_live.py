"""`benchmarks live`, `soak` and `split` with a tiny artefact: figures are there, and frames are accounted for."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.camera import camera, live, soak
from benchmarks.inputs.stream import CameraStream
from benchmarks.measures.latency import summarize
from runtime import InputError
from runtime.live import Counters, LiveResult, LiveSegmenter
from runtime.segmentation.result import Segmentation

SMALL = ("--camera", "64x96x16@100", "--frames", "40", "--source", "synthetic")


def test_the_synthetic_camera_keeps_its_rate_and_says_when_it_overflows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(camera, "BUFFER_MB", 0)
    stream = CameraStream(8, 8, 500)
    with camera.open_camera("synthetic", stream) as source:
        source.start()
        while not source.overflowed:
            pass
        source.stop()
        shots = list(iter(source.pop, None))
    assert len(shots) == 4
    assert shots[0].frame.shape == (8, 8)
    assert all(shot.at_ms >= 2 * number for number, shot in enumerate(shots, 1))


def test_another_source_is_refused():
    with pytest.raises(InputError, match="mmcore and synthetic"), camera.open_camera("usb", CameraStream(8, 8, 1)):
        pass


@pytest.mark.parametrize("policy", ["latest", "block"])
def test_live_accounts_for_every_frame(bench, write_tiny, tmp_path: Path, policy: str):
    said = bench("live", "--artifact", write_tiny(), "--policy", policy, *SMALL, "--json", tmp_path / "live.json")
    assert said.code == 0, said.err
    found = json.loads((tmp_path / "live.json").read_text())
    counters = found["counters"]
    assert found["acquired"] == counters["seen"] + found["refused"] == 40
    assert counters["seen"] == counters["done"] + counters["dropped"]
    assert counters["dropped"] == 0 or policy == "latest"
    assert found["submit"]["count"] == found["copy"]["count"] == 40
    assert found["latency"]["count"] == counters["done"] > 0
    assert 50 < found["without"]["rate"] < 150
    for words in ("acquired 40", "submit", "plain copy", "to objects", "without", "attached", "of that without"):
        assert words in said.out


@pytest.mark.parametrize("until", ["mask", "labels", "objects"])
def test_a_live_frame_is_timed_until_its_end(write_tiny, until: str):
    asked: list[str] = []
    stream = CameraStream(64, 96, 100)
    with camera.open_camera("synthetic", stream) as source, pytest.MonkeyPatch.context() as patch:
        for name in ("labels", "objects"):
            made = getattr(Segmentation, name)
            patch.setattr(Segmentation, name, lambda *given, n=name, m=made: asked.append(n) or m(*given))
        found = live.measure(
            source,
            stream,
            "synthetic",
            lambda receive: LiveSegmenter(write_tiny(), "block", on_result=receive),
            "block",
            8,
            until,
            lambda what: None,
        )
    assert asked == [until] * 8 if until != "mask" else not asked
    assert found.latency.count == 8
    assert found.frames_per_s == pytest.approx(found.attached.rate)


def test_a_live_frame_does_not_end_at_the_network(bench, write_tiny):
    said = bench("live", "--artifact", write_tiny(), *SMALL, "--until", "network")
    assert said.code == 2
    assert "one of mask, labels, objects" in said.err


def test_live_with_micro_managers_demo_camera(bench, write_tiny, tmp_path: Path):
    pytest.importorskip("pymmcore_plus")
    pytest.importorskip("mm_test_adapters")
    small = ("--camera", "64x96x16@50", "--frames", "8")
    said = bench("live", "--artifact", write_tiny(), *small, "--json", tmp_path / "live.json")
    assert said.code == 0, said.err
    found = json.loads((tmp_path / "live.json").read_text())
    assert (found["source"], found["acquired"]) == ("mmcore", 8)


def test_frames_that_the_demo_camera_does_not_have_are_refused():
    pytest.importorskip("pymmcore_plus")
    pytest.importorskip("mm_test_adapters")
    stream = CameraStream(10**7, 10**7, 5)
    with pytest.raises(InputError, match="10000000x10000000 pixels"), camera.open_camera("mmcore", stream):
        pass


def test_frames_that_are_missing_are_noticed():
    interval = live.Interval(4, 1.0, 1.0, 0.0, None, 1.0)
    counters = {"seen": 4, "done": 3, "dropped": 1, "failed": 0, "pending": 0, "late": 0, "restarts": 0}
    some = summarize((1.0, 2.0))
    given = ("c", "s", "latest", "b", 4, 0, counters, some, some, some, interval, interval, 1.0, "objects", 0.75)
    report = live.LiveReport(*given, overflowed=False, ended=None, handover=some, behind=some)
    assert report.adds_up
    assert not replace(report, acquired=5).adds_up
    assert not replace(report, counters={**counters, "done": 2}).adds_up
    assert not report.verdicts["keeps up: every frame got its objects"]
    kept_up = replace(report, counters={**counters, "done": 4, "dropped": 0})
    assert kept_up.verdicts["keeps up: every frame got its objects"]
    assert not replace(report, rate_share=0.97).verdicts["rate at least 98 % of that without"]
    promised = set(report.verdicts) - set(replace(report, policy="block").verdicts)
    assert promised == {"submit p99 at most 3 ms", "submit never over 20 ms", live.HANDOVER}  # "block" waits by design


class Late:
    """A live segmenter that finishes each frame in 3 ms, and hands the result over when two more have come."""

    backend = "none"

    def __init__(self, receive: Callable[[LiveResult], object], wait_ms: float) -> None:
        self.receive, self.wait_ms, self.seen, self.handed = receive, wait_ms, 0, 0

    def __enter__(self) -> "Late":
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()

    @property
    def counters(self) -> Counters:
        return Counters(self.seen, self.handed, pending=self.seen - self.handed)

    def submit(self, frame: np.ndarray, metadata: object) -> None:
        self.seen += 1
        if self.seen > 2:
            self.hand_over()

    def drain(self) -> None:
        while self.handed < self.seen:
            self.hand_over()

    def hand_over(self) -> None:
        finished = 1_000_000 * (10 * self.handed + 3)
        delivered = finished + round(1e6 * self.wait_ms)
        times = (finished - 3_000_000, finished - 2_000_000, finished, delivered)
        self.receive(LiveResult(self.handed, None, None, *times, late=False, flags=(), error=None, backend="none"))
        self.handed += 1


@pytest.mark.parametrize(("wait_ms", "kept"), [(1.0, True), (25.0, False)])
def test_how_old_a_result_is_when_it_is_handed_over(wait_ms: float, kept: bool):
    stream = CameraStream(64, 96, 100)
    with camera.open_camera("synthetic", stream) as source:
        found = live.measure(
            source, stream, "synthetic", lambda receive: Late(receive, wait_ms), "latest", 12, "objects", print
        )
    assert found.handover.max == found.handover.p50 == wait_ms
    assert found.behind.max == 2
    assert found.behind.count == 12
    verdict = replace(found, attached=interval_of(10.0)).verdicts[live.HANDOVER]
    assert verdict is kept
    assert live.HANDOVER not in replace(found, policy="block").verdicts  # which waits by design


def interval_of(ms: float) -> live.Interval:
    return live.Interval(9, 1e3 / ms, ms, 0.0, None, ms)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(("--policy", "newest"), "Policy is 'newest'"), (("--camera", "big"), "'big' is no camera")],
)
def test_a_wrong_call_of_live_is_refused(bench, write_tiny, wrong: tuple[str, str], words: str):
    said = bench("live", "--artifact", write_tiny(), *SMALL, *wrong)
    assert said.code == 2
    assert words in said.err


def test_a_soak_reports_memory_and_handles_of_both_processes(bench, write_tiny, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(soak, "GROWTH_MB", 1000.0)  # 200 frames are too few for a slope
    said = bench("soak", "--artifact", write_tiny(), "--frames", "200", "--json", tmp_path / "soak.json")
    assert said.code == 0, said.err
    found = json.loads((tmp_path / "soak.json").read_text())
    assert (found["frames"], found["done"], found["restarts"]) == (200, 200, 0)
    for name in ("host", "worker"):
        assert found[name]["resident_mb"] > 10
        assert found[name]["handles"] > 0
        assert found[name]["handles_gained"] == 0


def test_growth_is_the_slope_after_the_warm_up():
    numbers = np.arange(0, 100_000, 1000)
    looks = np.stack([numbers, 100 + 2e-4 * numbers, np.full(len(numbers), 9)], axis=1)
    growth = soak._growth(looks)
    assert growth.slope_mb == pytest.approx(2.0)
    assert not growth.flat
    assert not replace(growth, slope_mb=0.5, handles_gained=1).flat
    assert replace(growth, slope_mb=0.5).flat


def test_a_soak_over_budget_fails(bench, write_tiny, monkeypatch):
    monkeypatch.setattr(soak, "GROWTH_MB", -1e9)
    said = bench("soak", "--artifact", write_tiny(), "--frames", "200")
    assert said.code == 1
    assert "budget" in said.err


def test_split_adds_up(bench, write_tiny, tmp_path: Path):
    said = bench("split", "--artifact", write_tiny(), "--side", "100", "--repeats", "3", "--json", tmp_path / "s.json")
    assert said.code == 0, said.err
    (row,) = json.loads((tmp_path / "s.json").read_text())["splits"]
    assert row["total_ms"] >= row["infer_ms"] > 0
    assert row["pre_ms"] > 0
    assert min(row["labels_ms"], row["objects_ms"]) > 0
    maps_ms = row["total_ms"] - row["labels_ms"] - row["objects_ms"]
    assert row["overhead"] == pytest.approx((maps_ms - row["infer_ms"]) / maps_ms)
    assert "100x100" in said.out


def test_split_stops_where_it_is_told(bench, write_tiny, tmp_path: Path):
    call = ("split", "--artifact", write_tiny(), "--side", "100", "--repeats", "3", "--json", tmp_path / "s.json")
    assert bench(*call, "--until", "network").code == 0
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["until"] == "network"
    assert {found["splits"][0][name] for name in ("post_ms", "labels_ms", "objects_ms")} == {None}
    assert bench(*call, "--until", "cells").code == 2
