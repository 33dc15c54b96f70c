"""Beside Micro-Manager's demo camera: every frame is segmented, and the acquisition does not notice."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import EdgescopeError, InputError
from runtime.hosts.pymmcore import Acquired, Feedback, attach

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.live import LiveResult

useq = pytest.importorskip("useq")


def test_every_frame_of_an_mda_is_segmented_with_its_index(core: Any, artifact_path: Path):
    acquired = []
    core.mda.events.frameReady.connect(lambda frame, event, _: acquired.append((dict(event.index), frame)))
    results: list[LiveResult] = []
    with attach(core, artifact_path, policy="block", on_result=results.append, spare=False) as segmentation:
        core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 3}, channels=[]))
    assert [result.metadata.index for result in results] == [{"t": 0}, {"t": 1}, {"t": 2}]
    assert [result.metadata.mda_event.index for result in results] == [index for index, _ in acquired]
    assert all(result.segmentation.mask.shape == (96, 80) for result in results)
    assert all(result.segmentation.pixel_size_um == 0.5 for result in results)
    assert all(result.metadata.camera["exposure_ms"] == 5 for result in results)
    assert segmentation.counters.done == 3
    core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 1}))
    assert segmentation.counters.seen == 3  # detached


def test_a_continuous_sequence_is_taken_out_of_the_buffer(core: Any, artifact_path: Path):
    results: list[LiveResult] = []
    with attach(core, artifact_path, policy="latest", on_result=results.append, spare=False) as segmentation:
        core.startContinuousSequenceAcquisition(0)
        until(lambda: segmentation.counters.done >= 3)
        core.stopSequenceAcquisition()
        until(lambda: not core.getRemainingImageCount())
        assert not core.isBufferOverflowed()
    assert segmentation.missed == 0
    frames = [int(result.metadata.camera["ImageNumber"]) for result in results]
    assert frames == [result.metadata.index["t"] for result in results]
    assert frames == sorted(set(frames))
    assert results[0].metadata.camera["Camera"] == "Camera"
    assert results[0].segmentation.pixel_size_um == 0.5
    counters = segmentation.counters
    assert counters.seen == counters.done + counters.dropped


def test_a_sequence_that_runs_already_is_joined(core: Any, artifact_path: Path):
    core.startContinuousSequenceAcquisition(0)
    with attach(core, artifact_path, spare=False) as segmentation:
        first = next(segmentation.results())
        core.stopSequenceAcquisition()
    assert isinstance(first.metadata, Acquired)
    assert first.metadata.mda_event is None


def test_peeking_leaves_the_frames_to_the_host(core: Any, artifact_path: Path):
    with attach(core, artifact_path, buffer="peek", spare=False) as segmentation:
        core.startSequenceAcquisition(5, 0, True)
        until(lambda: segmentation.counters.done >= 1 and not core.isSequenceRunning())
        assert core.getRemainingImageCount() == 5


def test_events_follow_from_results_and_the_last_one_ends_the_run(core: Any, artifact_path: Path):
    visited: list[tuple[float, float]] = []

    def decide(result: LiveResult) -> list[Any]:
        event = result.metadata.mda_event
        visited.append((event.x_pos, event.y_pos))
        step = event.index["p"]
        return [useq.MDAEvent(index={"p": step + 1}, x_pos=10.0 * (step + 1), y_pos=5.0)] if step < 3 else []

    assert core.mda.engine.use_hardware_sequencing
    with attach(core, artifact_path, decide=decide, spare=False) as segmentation:
        core.mda.run(segmentation.events([useq.MDAEvent(index={"p": 0}, x_pos=0, y_pos=5)]))
    assert visited == [(0, 5), (10, 5), (20, 5), (30, 5)]
    assert core.getXPosition() == pytest.approx(30, abs=0.1)
    assert core.mda.engine.use_hardware_sequencing


def test_a_decision_that_fails_ends_the_run_and_is_told_at_the_end(core: Any, artifact_path: Path):
    def decide(_: LiveResult) -> list[Any]:
        msg = "no such well"
        raise LookupError(msg)

    segmentation = attach(core, artifact_path, decide=decide, spare=False)
    core.mda.run(segmentation.events([useq.MDAEvent(), useq.MDAEvent()]))
    with pytest.raises(EdgescopeError, match=r"LookupError: no such well"):
        segmentation.close()


def test_a_decision_may_be_none_and_a_second_run_is_refused(core: Any, artifact_path: Path):
    with attach(core, artifact_path, decide=lambda _: None, spare=False) as segmentation:
        core.mda.run(segmentation.events([useq.MDAEvent()]))
        assert segmentation.counters.done == 1
        with pytest.raises(InputError, match="attach anew"):
            segmentation.events([useq.MDAEvent()])


@pytest.mark.parametrize("first", [[], [useq.MDAEvent(action=useq.CustomAction(name="wait"))]], ids=["none", "custom"])
def test_a_run_whose_events_bring_no_frame_ends(first: list[Any]):
    feedback = Feedback(lambda _: [], lambda: True)
    feedback.add(first)
    assert list(feedback) == first


def test_an_overflow_with_policy_stop_ends_the_mda(core: Any, artifact_path: Path):
    segmentation = attach(core, artifact_path, policy="stop", slots=3, spare=False)
    finished: list[Any] = []
    core.mda.events.sequenceFinished.connect(finished.append)
    core.setExposure(1)
    core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 2000}))
    assert finished
    assert segmentation.counters.seen < 2000
    with pytest.raises(EdgescopeError):
        segmentation.close()


def test_a_frame_that_is_none_is_passed_over(core: Any, artifact_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING), attach(core, artifact_path, spare=False) as segmentation:
        for _ in range(2):
            segmentation.submit(np.zeros((4, 4, 3), np.uint8), Acquired({}))
    assert segmentation.refused == 2
    assert len([r for r in caplog.records if "cannot be segmented" in r.getMessage()]) == 1


@pytest.mark.parametrize(
    ("options", "word"),
    [({"buffer": "steal"}, "pop, peek or leave"), ({"decide": lambda _: [], "policy": "latest"}, "use 'block'")],
)
def test_options_that_make_no_sense_are_refused(core: Any, artifact_path: Path, options: dict[str, Any], word: str):
    with pytest.raises(InputError, match=word):
        attach(core, artifact_path, **options)


@pytest.mark.parametrize(("options", "due"), [({}, 60.0), ({"block_timeout_s": 2.0}, 2.0)])
def test_an_event_driven_run_has_patience_with_a_slow_model(
    core: Any, artifact_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], due: float
):
    given: list[float] = []

    def refuse(*_: Any, block_timeout_s: float, **__: Any) -> None:
        given.append(block_timeout_s)
        raise InputError

    monkeypatch.setattr("runtime.hosts.pymmcore.LiveSegmenter", refuse)
    with pytest.raises(InputError):
        attach(core, artifact_path, decide=lambda _: [], **options)
    assert given == [due]


def test_without_decide_there_are_no_events(core: Any, artifact_path: Path):
    with attach(core, artifact_path, spare=False) as segmentation, pytest.raises(InputError, match="decide="):
        segmentation.events([])


def test_feedback_ends_when_the_acquisition_was_cancelled():
    feedback = Feedback(lambda _: [], lambda: False)
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.extend(feedback))
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def until(holds: Any, seconds: float = 60) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
