"""LiveSegmenter with a real worker: what comes out, in which order, by which way, and what each policy does."""

from __future__ import annotations

import itertools
import logging
import os
import queue
import signal
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import EdgescopeError, InputError, Segmenter
from runtime.artifact.manifest import ObjectSize
from runtime.live import LiveSegmenter, RingOverflow, RingTimeout

if TYPE_CHECKING:
    from pathlib import Path

WAIT = "while not once('go'): time.sleep(0.01)"  # the worker keeps a frame until the test asks for "go"


def adds_up(live: LiveSegmenter) -> bool:
    c = live.counters
    return c.seen == c.done + c.dropped + c.failed + c.pending


def test_results_are_those_of_segmenter(artifact_path: Path, spots):
    frames = [spots(number) for number in range(5)]
    with Segmenter.open(artifact_path) as segment:
        expected = [segment(frame) for frame in frames]
    with LiveSegmenter(artifact_path, policy="block", spare=False) as live:
        for frame in frames:
            live.submit(frame, pixel_size_um=0.5)
        assert live.drain(60)
        results = list(live.results())
    for result, due in zip(results, expected, strict=True):
        assert result.backend == "onnxruntime"
        assert result.segmentation.pixel_size_um == 0.5
        np.testing.assert_array_equal(result.segmentation.probability, due.probability)
        np.testing.assert_array_equal(result.segmentation.core, due.core)
        np.testing.assert_array_equal(result.segmentation.labels(), due.labels())


def test_a_result_carries_its_frames_index_metadata_and_times_in_order(live, spots):
    with live(policy="block") as segmenter:
        given = [object() for _ in range(20)]
        assert [segmenter.submit(spots(i), given[i]) for i in range(20)] == list(range(20))
        segmenter.drain()
        results = list(segmenter.results())
    assert [result.index for result in results] == list(range(20))
    assert all(result.metadata is one for result, one in zip(results, given, strict=True))
    for result in results:
        assert result.submitted_ns < result.started_ns < result.finished_ns < result.delivered_ns
        assert result.error is None
        assert not result.late
    assert segmenter.counters.done == 20
    assert adds_up(segmenter)


def test_iterator_callback_and_queue_get_the_same_results(live, spots):
    called: list[Any] = []
    target: queue.Queue[Any] = queue.Queue()
    with live(policy="block", on_result=called.append, queue=target) as segmenter:
        looped = segmenter.results()
        for i in range(5):
            segmenter.submit(spots(i))
    looped = list(looped)
    assert [result.index for result in called] == list(range(5))
    assert looped == called == [target.get_nowait() for _ in range(5)]


def test_a_loop_over_results_runs_beside_the_camera_and_ends_with_it(live, spots):
    segmenter = live(policy="block")
    seen: list[int] = []
    reader = threading.Thread(target=lambda: seen.extend(result.index for result in segmenter.results()))
    reader.start()
    for i in range(10):
        segmenter.submit(spots(i))
    segmenter.close()
    reader.join(30)
    assert seen == list(range(10))


def test_frames_may_be_submitted_after_a_drain(live, spots):
    with live(policy="block") as segmenter:
        for round_ in range(3):
            segmenter.submit(spots())
            assert segmenter.drain(60)
            assert [result.index for result in segmenter.results()] == [round_]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float32"])
def test_every_kind_of_frame_arrives_as_it_is(live, spots, dtype: str):
    frame = (spots() // 17).astype(dtype)[::2, ::3]  # neither contiguous nor of the tile's size
    with live(policy="block") as segmenter:
        segmenter.submit(frame)
        segmenter.drain()
        (result,) = segmenter.results()
    np.testing.assert_array_equal(result.segmentation.mask, frame > frame.max() / 2)


def test_latest_takes_the_newest_frame_and_counts_the_others(live, backend, spots, ask, until):
    with live(backends=[backend(fault=WAIT)]) as segmenter:
        segmenter.submit(spots())
        until(lambda: segmenter._supervisor._taken)
        for i in range(1, 50):
            segmenter.submit(spots(i))
        assert segmenter.counters.dropped == 48
        assert adds_up(segmenter)
        ask("go")
        until(lambda: segmenter.counters.done == 1)
        until(lambda: segmenter._supervisor._taken)
        ask("go")
        segmenter.drain()
        results = list(segmenter.results())
    assert [result.index for result in results] == [0, 49]
    assert [result.dropped_before for result in results] == [0, 48]


def test_behind_a_slow_callback_only_the_newest_result_waits(live, spots, until):
    go, called = threading.Event(), []

    def slow(result: Any) -> None:
        called.append(result)
        go.wait(60)

    with live(on_result=slow) as segmenter:
        for i in range(10):
            segmenter.submit(spots(i))
            until(lambda i=i: segmenter.counters.done + segmenter.counters.dropped == i + 1)
        assert segmenter.counters.done == 2  # one is with the callback, one waits
        assert segmenter.counters.dropped == 8
        assert adds_up(segmenter)
        go.set()
    assert [(result.index, result.dropped_before) for result in called] == [(0, 0), (9, 8)]


def test_a_slow_loop_gets_the_newest_result_and_a_callback_still_gets_each_that_it_can_take(live, spots, until):
    segmenter = live()
    loop = segmenter.results()
    segmenter.submit(spots())
    assert next(loop).index == 0
    for i in range(1, 6):  # the loop is busy with the first result
        segmenter.submit(spots(i))
        until(lambda i=i: segmenter.counters.done + segmenter.counters.dropped == i + 1)
    until(segmenter._outbox._is_handed)
    result = next(loop)
    assert (result.index, result.dropped_before) == (5, 4)
    assert segmenter.counters.dropped == 4
    assert segmenter.counters.done == 2


def test_a_lost_frame_is_told_behind_a_slow_callback_too(live, spots, until):
    go, called = threading.Event(), []

    def slow(result: Any) -> None:
        called.append((result.index, result.error is None))
        go.wait(60)

    nan = np.full((32, 48), np.nan, np.float32)
    with live(on_result=slow, max_frame_bytes=nan.nbytes) as segmenter:
        for i, frame in enumerate([spots(), spots(), nan, spots()]):
            segmenter.submit(frame)
            until(lambda i=i: segmenter.counters.pending == 0 and segmenter.counters.seen == i + 1)
        go.set()
    assert called == [(0, True), (2, False), (3, True)]


@pytest.mark.parametrize("end", ["labels", "objects"])
def test_labels_and_objects_of_the_worker_are_those_of_segmenter(artifact_path: Path, spots, end: Any):
    frames = [spots(number) for number in range(3)]
    frames.append(np.full_like(frames[0], 100))  # no objects
    with Segmenter.open(artifact_path) as segment:
        expected = [segment(frame, 0.5) for frame in frames]
    with LiveSegmenter(artifact_path, policy="block", spare=False, until=end) as live:
        for frame in frames:
            live.submit(frame, pixel_size_um=0.5)
        assert live.drain(60)
        results = [result.segmentation for result in live.results()]
    assert [len(result.objects()) for result in results] == [len(one.objects()) for one in expected]
    assert len(expected[0].objects()) > 0
    for result, due, frame in zip(results, expected, frames, strict=True):
        np.testing.assert_array_equal(result.labelled[0], due.labels())
        assert result.labels() is result.labelled[0]
        assert (result.measured is not None) == (end == "objects")
        np.testing.assert_array_equal(result.table(frame), due.table())
        if end == "objects":  # the intensities of a frame that is not at hand any more
            np.testing.assert_array_equal(result.table(), due.table())
            assert result.objects() == due.objects()


def test_the_ring_holds_as_many_objects_as_a_frame_can_have(live, manifest):
    frame = np.zeros((40, 48), np.uint16)
    frame[::4, ::4] = 1000
    frame[1::4, ::4] = frame[::4, 1::4] = frame[1::4, 1::4] = 1000
    with live(policy="block", until="objects") as segmenter:
        segmenter.submit(frame)
        segmenter.drain()
        (result,) = segmenter.results()
    assert result.error is None
    assert len(result.segmentation.table()) == (0 if manifest.objects.min_area > 4 else 120)


def test_another_binning_is_another_scale_although_no_pixel_size_is_known(made, tmp_path: Path):
    """A.13: the first frame does not stand for frames of another binning or region; for its own kind it does."""
    path = replace(made, manifest=replace(made.manifest, object_diameter=ObjectSize(12, 10, 14))).write(tmp_path / "a")
    frame = np.random.default_rng(0).integers(90, 110, (180, 180)).astype(np.uint16)
    rows, cols = np.ogrid[:180, :180]
    for row, col in np.ndindex(3, 3):
        frame[np.hypot(rows - 30 - 60 * row, cols - 30 - 60 * col) < 20] = 4000
    binned = np.ascontiguousarray(frame[::2, ::2])
    with LiveSegmenter(path, policy="block", spare=False, hang_s=600.0) as live:
        for one in (frame, binned, frame, binned):
            live.submit(one)
        assert live.drain(600)
        scales = [result.segmentation.scale for result in live.results()]
    assert [scale.source for scale in scales] == ["seen"] * 4
    assert scales[0] == scales[2]
    assert scales[1] == scales[3]
    assert scales[1].factor == pytest.approx(2 * scales[0].factor, rel=0.15)


def test_a_frame_that_is_enlarged_may_hold_more_objects(made, tmp_path: Path):
    """A frame that is enlarged may hold smaller objects than the rule says, and so more of them."""
    rule, size = replace(made.manifest.objects, min_area=60), ObjectSize(12, 10, 14)
    path = replace(made, manifest=replace(made.manifest, objects=rule, object_diameter=size)).write(tmp_path / "many")
    frame = np.zeros((40, 48), np.uint16)
    for row, col in np.ndindex(6, 8):
        frame[row * 6 + 1 : row * 6 + 5, col * 6 + 1 : col * 6 + 5] = 4000
    with Segmenter.open(path, diameter=3.0) as segment:
        expected = segment(frame, 0.5)
    assert len(expected.table()) > frame.size // 60 + 1
    with LiveSegmenter(path, policy="block", spare=False, until="objects", track=0.3, diameter=3.0) as live:
        live.submit(frame, pixel_size_um=0.5)
        live.drain()
        (result,) = live.results()
    np.testing.assert_array_equal(result.segmentation.table(), expected.table())
    np.testing.assert_array_equal(result.segmentation.labels(), expected.labels())
    assert result.segmentation.ids.tolist() == list(range(1, len(expected.table()) + 1))


def test_the_worker_s_flags_are_those_of_segmenter_with_its_objects(artifact_path: Path, spots):
    with Segmenter.open(artifact_path) as segment:
        expected = segment(spots())
        expected.labels()
    with LiveSegmenter(artifact_path, policy="block", spare=False, until="labels") as live:
        live.submit(spots())
        live.drain()
        (result,) = live.results()
    assert result.flags == result.segmentation.flags == expected.flags


def test_objects_keep_their_numbers_from_frame_to_frame_and_past_a_worker(live, spots, until):
    with live(policy="block", until="labels", track=0.2) as segmenter:
        ids = []
        for number in (0, 2, 4, 18):  # a square that moves, and one that is somewhere else
            segmenter.submit(spots(number))
            segmenter.drain()
            (result,) = segmenter.results()
            ids.append(result.segmentation.ids.tolist())
        assert ids == [[1], [1], [1], [2]]
        os.kill(segmenter.worker_pid, signal.SIGKILL)
        until(lambda: segmenter.counters.restarts == 1)
        segmenter.submit(spots(18))
        segmenter.drain()
        (result,) = segmenter.results()
        assert result.segmentation.ids.tolist() == [3]  # what came before is forgotten, and no number is given twice


def test_block_waits_for_a_slot_then_says_so_and_loses_no_frame(live, backend, spots, ask):
    with live(backends=[backend(fault=WAIT)], policy="block", slots=3, block_timeout_s=0.1) as segmenter:
        for i in range(3):
            segmenter.submit(spots(i))
        with pytest.raises(RingTimeout, match=r"full for 0\.1 s, and frame 3 was not taken"):
            segmenter.submit(spots(3))
        assert segmenter.counters.seen == 3
        for i in range(3):
            ask("go")
            while segmenter.counters.done == i:
                threading.Event().wait(0.01)
        assert segmenter.submit(spots(3)) == 3
        ask("go")
        segmenter.drain()
        assert [result.index for result in segmenter.results()] == [0, 1, 2, 3]


def test_stop_ends_on_overflow_and_still_segments_what_it_has(live, backend, spots, ask):
    with live(backends=[backend(fault=WAIT)], policy="stop", slots=3) as segmenter:
        for i in range(3):
            segmenter.submit(spots(i))
        for _ in range(2):
            with pytest.raises(RingOverflow, match="full when frame 3 came"):
                segmenter.submit(spots())
        for i in range(3):
            ask("go")
            while segmenter.counters.done == i:
                threading.Event().wait(0.01)
        segmenter.drain()
        assert [result.index for result in segmenter.results()] == [0, 1, 2]
    assert segmenter.counters.seen == segmenter.counters.done == 3


def test_late_results_are_marked(live, backend, spots):
    with live(backends=[backend(fault="time.sleep(0.05)")], policy="block", deadline_ms=1) as segmenter:
        segmenter.submit(spots())
        segmenter.drain()
        (result,) = segmenter.results()
    assert result.late
    assert result.segmentation is not None
    assert (segmenter.counters.done, segmenter.counters.late) == (1, 1)


def test_late_results_are_skipped_on_request_and_counted_as_dropped(live, backend, spots):
    fake = backend(fault="time.sleep(0.05)")
    with live(backends=[fake], policy="block", deadline_ms=1, late="skip") as segmenter:
        for i in range(4):
            segmenter.submit(spots(i))
        segmenter.drain()
        assert list(segmenter.results()) == []
    counters = segmenter.counters
    assert (counters.done, counters.dropped, counters.late) == (0, 4, 4)


def test_a_frame_with_nan_comes_back_with_its_error_and_the_next_is_segmented(live, spots):
    bad = spots().astype(np.float32)
    bad[3, 5] = np.nan
    with live(policy="block", max_failures=1) as segmenter:
        for frame in (bad, bad, spots()):
            segmenter.submit(frame)
        segmenter.drain()
        results = list(segmenter.results())
    assert [result.segmentation is None for result in results] == [True, True, False]
    assert "not finite" in results[0].error
    assert (segmenter.counters.failed, segmenter.counters.restarts) == (2, 0)


def test_what_is_no_frame_is_refused_at_once_and_not_counted(live, spots):
    with live() as segmenter:
        for frame in (np.zeros((3, 4, 5), np.uint8), np.zeros((4, 4)), [[1, 2]]):
            with pytest.raises(InputError):
                segmenter.submit(frame)
        with pytest.raises(InputError, match="pixel size"):
            segmenter.submit(spots(), pixel_size_um=0)
        assert segmenter.counters.seen == 0


def test_a_frame_that_does_not_fit_the_ring_is_refused_with_the_size_to_give(live, spots):
    with live() as segmenter:
        segmenter.submit(np.zeros((32, 64), np.uint16))
        with pytest.raises(InputError, match="max_frame_bytes=20000"):
            segmenter.submit(np.zeros((100, 100), np.uint16))
    with live(max_frame_bytes=20000, backends=["onnxruntime"]) as segmenter:
        segmenter.submit(spots())
        segmenter.submit(np.zeros((100, 100), np.uint16))


def test_a_callback_that_fails_or_is_slow_harms_nobody_else(live, spots, caplog):
    def fail(result):
        msg = "the host's own"
        raise RuntimeError(msg)

    target: queue.Queue[Any] = queue.Queue()
    with live(policy="block", on_result=fail, queue=target) as segmenter:
        segmenter.submit(spots())
        segmenter.submit(spots())
    assert target.qsize() == 2
    assert "on_result failed for frame 1" in caplog.text


def test_a_callback_that_wants_to_exit_does_not_end_the_delivery(live, spots):
    seen = []

    def leave(result):
        seen.append(result.index)
        sys.exit(3)

    with live(policy="block", on_result=leave) as segmenter:
        for i in range(3):
            segmenter.submit(spots(i))
        assert segmenter.drain(60)
    assert seen == [0, 1, 2]


def test_a_callback_may_submit_and_close(live, spots):
    ended = threading.Event()

    def feed_back(result):
        if result.index < 3:
            segmenter.submit(spots(), result.index + 1)
        else:
            segmenter.close()
            ended.set()

    segmenter = live(policy="block", on_result=feed_back)
    segmenter.submit(spots(), 0)
    assert ended.wait(30)
    assert segmenter.counters.done == 4


def test_results_that_nobody_takes_hold_up_the_worker_until_somebody_does(live, spots, until):
    one = 2 * 4 * spots().size
    segmenter = live(policy="block", slots=20, backlog_bytes=2 * one)
    for i in range(10):
        segmenter.submit(spots(i))
    until(lambda: segmenter._outbox.full)
    until(lambda: segmenter.counters.done == 3)  # the limit is looked at before a frame is given to the worker
    assert not segmenter.drain(0.1)
    results = segmenter.results()
    assert [next(results).index for _ in range(10)] == list(range(10))


def test_close_hands_a_result_to_a_full_queue_or_says_that_it_is_lost(live, spots, caplog, until):
    target: queue.Queue[Any] = queue.Queue(1)
    segmenter = live(policy="block", queue=target)
    segmenter.submit(spots())
    segmenter.submit(spots())
    until(target.full)
    with caplog.at_level(logging.WARNING):
        segmenter.close(timeout=0.5)
    assert "dropped" in caplog.text
    assert target.get_nowait().index == 0


def test_after_closing_it_says_so(live, spots):
    segmenter = live()
    segmenter.close()
    segmenter.close()
    with pytest.raises(EdgescopeError, match="closed; open another"):
        segmenter.submit(spots())
    assert list(segmenter.results()) == []


def test_abort_drops_what_waits(live, backend, spots):
    segmenter = live(backends=[backend(fault=WAIT)], policy="block")
    for i in range(3):
        segmenter.submit(spots(i))
    segmenter.abort()
    assert (segmenter.counters.seen, segmenter.counters.dropped, segmenter.counters.pending) == (3, 3, 0)


def test_an_error_in_the_block_aborts(live, backend, spots):
    with pytest.raises(KeyError), live(backends=[backend(fault=WAIT)]) as segmenter:
        segmenter.submit(spots())
        raise KeyError
    assert segmenter.counters.dropped == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"policy": "newest"}, "Policy is 'newest'"),
        ({"late": "drop"}, "late is 'drop'"),
        ({"slots": 2}, "2 slots"),
        ({"deadline_ms": 0}, "deadline is 0"),
        ({"max_failures": 0}, "max_failures is 0"),
        ({"threads": 0}, "Threads is 0"),
        ({"max_frame_bytes": 0}, "max_frame_bytes is 0"),
        ({"hang_s": -1}, "hang_s is -1"),
        ({"hang_s": float("nan")}, "hang_s is nan"),
        ({"open_timeout_s": 0}, "open_timeout_s is 0"),
        ({"block_timeout_s": -1}, "block_timeout_s is -1"),
        ({"block_timeout_s": float("inf")}, "block_timeout_s is inf"),
        ({"backlog_bytes": 0}, "backlog_bytes is 0"),
        ({"diameter": "always"}, "The diameter is 'always'"),
        ({"until": "maps"}, "until is 'maps'"),
        ({"until": "labels", "track": 2}, "least overlap"),
        ({"track": 0.3}, "until='labels'"),
        ({"backends": "nothing"}, "nothing: this version"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_starts(artifact_path: Path, wrong: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        LiveSegmenter(artifact_path, **wrong)


def test_the_worker_leaves_a_core_and_the_first_place_to_the_host(live, backend, tmp_path: Path, spots):
    with live(threads=3, policy="block") as segmenter:
        segmenter.submit(spots())
    threads, _ = (tmp_path / "opened").read_text().split()
    assert threads == "3"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_worker_runs_below_the_hosts_priority(live):
    import os

    with live() as segmenter:
        assert os.getpriority(os.PRIO_PROCESS, segmenter.worker_pid) > os.getpriority(os.PRIO_PROCESS, 0)


def test_several_threads_may_submit(live, spots):
    with live(policy="block", slots=4) as segmenter:
        numbers = [[] for _ in range(4)]

        def camera(mine):
            for i in range(10):
                mine.append(segmenter.submit(spots(i), threading.get_ident()))

        threads = [threading.Thread(target=camera, args=(mine,)) for mine in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        segmenter.drain()
        assert [result.index for result in segmenter.results()] == list(range(40))
    assert sorted(itertools.chain(*numbers)) == list(range(40))


def test_thresholds_of_ones_own_are_used_by_the_worker_and_stand_in_the_result(artifact_path: Path, spots):
    own = {"threshold": np.float32(0.75), "min_area": 170, "prominence": 0.2}
    with Segmenter.open(artifact_path, **own) as segment, Segmenter.open(artifact_path) as plain:
        expected, usual = segment(spots()), plain(spots())
    with LiveSegmenter(artifact_path, policy="block", spare=False, until="objects", **own) as live:
        live.submit(spots())
        assert live.drain(60)
        (result,) = live.results()
    assert result.segmentation.settings == expected.settings != usual.settings
    assert result.segmentation.rule.min_area == 170
    np.testing.assert_array_equal(result.segmentation.labels(), expected.labels())
    np.testing.assert_array_equal(result.segmentation.mask, expected.mask)
    assert len(result.segmentation.table()) == 0 < usual.labels().max()  # its only object has 160 pixels


@pytest.mark.parametrize("wrong", [{"threshold": 1.5}, {"min_area": -1}, {"prominence": 0}])
def test_a_rule_that_cannot_be_is_refused_before_a_worker_is_started(artifact_path: Path, wrong: Any):
    with pytest.raises(InputError, match="; give "):
        LiveSegmenter(artifact_path, **wrong)
