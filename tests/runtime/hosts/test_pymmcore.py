"""Beside Micro-Manager's demo camera: every frame is segmented, and the acquisition does not notice."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import EdgescopeError, InputError
from runtime.hosts.pymmcore import Acquired, Feedback, Poller, Where, attach

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


AFFINES = [(0.5, 0, 0, 0, 0.5, 0), (0, -0.5, 0, 0.4, 0, 0), (-0.35, 0.35, 9, 0.35, 0.35, 9)]  # the last is mirrored


def sees_a_bright_square(core: Any, place: tuple[float, float]) -> None:
    """Let MDAs see a square of 5 pixels at a place of the stage, by arithmetic of its own."""

    class Engine(pytest.importorskip("pymmcore_plus.mda").MDAEngine):
        def exec_event(self, event: Any) -> Any:
            for _, acquired, meta in super().exec_event(event):
                left, top, width, height = self.mmcore.getROI()
                binning = int(self.mmcore.getProperty("Camera", "Binning"))
                a, b, _, c, d, _ = self.mmcore.getPixelSizeAffine()
                x, y = np.subtract(place, self.mmcore.getXYPosition())
                col, row = np.linalg.solve([[a, b], [c, d]], [x, y])  # from the middle of the sensor, 80x96 pixels
                col, row = col + 80 / binning / 2 - left - 0.5, row + 96 / binning / 2 - top - 0.5
                frame = np.full((height, width), 100, np.uint16)
                row, col = round(row), round(col)
                frame[max(0, row - 2) : row + 3, max(0, col - 2) : col + 3] = 4000
                yield frame, acquired, meta

    core.mda.set_engine(Engine(core))


@pytest.mark.parametrize("affine", AFFINES)
@pytest.mark.parametrize("sequenced", [False, True])
def test_an_object_has_its_place_on_the_stage_whatever_the_region_and_the_binning(
    core: Any, artifact_path: Path, affine: tuple[float, ...], sequenced: bool
):
    sees_a_bright_square(core, (103.0, -55.0))
    core.mda.engine.use_hardware_sequencing = sequenced
    size = abs(affine[0] * affine[4] - affine[1] * affine[3]) ** 0.5
    core.setPixelSizeUm("Res", size)
    core.setPixelSizeAffine("Res", affine)
    core.definePixelSizeConfig("Res2", "Camera", "Binning", "2")
    core.setPixelSizeUm("Res2", size)
    core.setPixelSizeAffine("Res2", affine)
    results: list[LiveResult] = []
    events = [useq.MDAEvent(index={"p": 0}, x_pos=100, y_pos=-50), useq.MDAEvent(index={"p": 1}, x_pos=108, y_pos=-60)]
    with attach(core, artifact_path, policy="block", on_result=results.append, spare=False) as segmentation:
        core.mda.run(events)
        core.setROI(12, 20, 60, 64)
        core.mda.run(events)
        core.clearROI()
        core.setProperty("Camera", "Binning", "2")
        core.mda.run(events)
    assert segmentation.counters.done == 6
    for result in results:
        (one,) = result.segmentation.objects()
        place = result.metadata.stage.to_stage(one.centroid)
        assert np.linalg.norm(np.subtract(place, (103, -55))) < result.metadata.stage.pixel_size_um
    assert len({result.segmentation.mask.shape for result in results}) == 3


def test_frames_may_become_larger_when_the_binning_or_the_region_goes(core: Any, artifact_path: Path):
    core.setProperty("Camera", "Binning", "2")
    core.setROI(4, 8, 36, 40)
    results: list[LiveResult] = []
    with attach(core, artifact_path, policy="block", on_result=results.append, spare=False) as segmentation:
        core.mda.run([useq.MDAEvent()])
        core.clearROI()
        core.setProperty("Camera", "Binning", "1")
        core.mda.run([useq.MDAEvent()])
    assert segmentation.refused == 0
    assert [result.segmentation.mask.shape for result in results] == [(40, 36), (96, 80)]


def test_objects_and_their_numbers_come_with_the_result(core: Any, artifact_path: Path):
    sees_a_bright_square(core, (0.0, 0.0))
    options = {"policy": "block", "until": "objects", "track": 0.3}
    with attach(core, artifact_path, spare=False, **options) as segmentation:
        core.mda.run([useq.MDAEvent(x_pos=0, y_pos=0), useq.MDAEvent(x_pos=0.5, y_pos=0)])
        first, second = next(segmentation.results()), next(segmentation.results())
    assert first.segmentation.ids.tolist() == second.segmentation.ids.tolist() == [1]
    assert first.segmentation.objects()[0].mean_intensity > 2000  # the frame itself has left the ring


def test_a_sequence_has_the_place_of_the_stage_and_a_stream_for_each_camera(core: Any, artifact_path: Path):
    core.setXYPosition(30, 40)
    results: list[LiveResult] = []
    with attach(core, artifact_path, policy="block", on_result=results.append, spare=False) as segmentation:
        core.startSequenceAcquisition(2, 0, True)
        until(lambda: segmentation.counters.done == 2)
        core.setROI(8, 16, 40, 48)
        core.setXYPosition(50, 60)
        core.startSequenceAcquisition(2, 0, True)
        until(lambda: segmentation.counters.done == 4)
    assert [result.metadata.stream for result in results] == ["Camera"] * 4
    first, *_, last = [result.metadata.stage for result in results]
    np.testing.assert_allclose(first.to_stage((47.5, 39.5)), (30, 40), atol=0.02)  # the middle of 96x80
    np.testing.assert_allclose(
        last.to_stage((47.5 - 16, 39.5 - 8)), (50, 60), atol=0.02
    )  # the same point of the sensor


def test_frames_of_another_camera_are_passed_over(core: Any, artifact_path: Path):
    with attach(core, artifact_path, camera="Other", spare=False) as segmentation:
        core.mda.run([useq.MDAEvent()])
    assert segmentation.counters.seen == 0
    assert segmentation.refused == 0


def test_two_cameras_are_two_streams_with_numbers_of_their_own(artifact_path: Path):
    frame = np.zeros((4, 4), np.uint16)
    names = ["A", "B", "A", "B", "B"]
    images = [
        (frame, {"Camera": name, "ImageNumber": str(number)})
        for name, number in zip(names, (0, 0, 1, 3, 4), strict=True)
    ]
    taken: list[tuple[Any, int]] = []
    core = Fake(images)
    poller = Poller(core, "pop", Where(core), lambda _, acquired, size, missed: taken.append((acquired, missed)))
    poller.start()
    until(lambda: len(taken) == 5)
    poller.stop()
    assert [(acquired.stream, acquired.index["t"]) for acquired, _ in taken] == [
        ("A", 0), ("B", 0), ("A", 1), ("B", 1), ("B", 2)
    ]  # fmt: skip
    assert [missed for _, missed in taken] == [0, 0, 0, 2, 0]
    assert {acquired.stage for acquired, _ in taken} == {None}  # there is no stage


class Fake:
    """A core with these images in its buffer, and neither stage nor pixel size."""

    def __init__(self, images: list[Any]) -> None:
        self.images = images

    def getCameraDevice(self) -> str:
        return ""

    def getXYStageDevice(self) -> str:
        return ""

    def getPixelSizeUm(self) -> float:
        return 0.0

    def getPixelSizeAffine(self) -> list[float]:
        return [0.0] * 6

    def getROI(self, _: str) -> list[int]:
        return [0, 0, 4, 4]

    def hasProperty(self, *_: str) -> bool:
        return False

    def isSequenceRunning(self) -> bool:
        return bool(self.images)

    def getRemainingImageCount(self) -> int:
        return len(self.images)

    def popNextImageAndMD(self) -> Any:
        return self.images.pop(0)


def test_a_pixel_size_without_an_affine_is_warned_of_once(core: Any, caplog: pytest.LogCaptureFixture):
    where = Where(core)
    core.setXYPosition(3, 4)
    with caplog.at_level(logging.WARNING):
        views = [where.of_sequence(np.zeros((96, 80)), "Camera", {}) for _ in range(2)]
    assert views[0].affine == ((0.5, 0), (0, 0.5))
    assert views[0].origin == (47.5, 39.5)
    assert len([r for r in caplog.records if "affine" in r.getMessage()]) == 1


def test_a_stage_that_does_not_answer_loses_the_place_and_not_the_frame(
    core: Any, artifact_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail() -> None:
        msg = "the controller is switched off"
        raise RuntimeError(msg)

    monkeypatch.setattr(core, "getXYPosition", fail)
    with attach(core, artifact_path, policy="block", spare=False) as segmentation:
        core.startSequenceAcquisition(1, 0, True)
        assert next(segmentation.results()).metadata.stage is None


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
