"""A frame taken apart: stages add up to the call, and what a backend cannot tell is None."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.measures import figures, stages
from benchmarks.measures.figures import StageSamples
from runtime import Segmenter, open_artifact
from runtime.execution import Execution
from runtime.frames.tiling import Grid
from runtime.segmentation.result import Segmentation

FRAME = np.random.default_rng(0).integers(0, 4000, (100, 140), np.uint16)


def test_the_copies_of_openvino_are_told_from_its_inference(write_tiny):
    segment, watch = stages.open_watched(open_artifact(write_tiny()), Execution(threads=1))
    with segment:
        segment(FRAME)
        for part in (stages.split(segment, watch, FRAME, "mask") for _ in range(3)):
            assert min(part.preprocess, part.host_to_device, part.inference, part.device_to_host) > 0
            assert part.postprocess >= 0
            known = part.preprocess + part.host_to_device + part.inference + part.device_to_host
            assert part.total <= known + part.postprocess + 1e-6


def test_a_library_of_one_call_has_no_copies_rather_than_zero(write_tiny):
    segment, watch = stages.open_watched(open_artifact(write_tiny("jetson")), Execution("onnxruntime", threads=1))
    with segment:
        samples = stages.sample(segment, watch, FRAME, 2, "mask")
    assert samples.host_to_device is None
    assert samples.device_to_host is None
    assert len(samples.inference) == len(samples.total) == 2


RUN = {  # what of a segmentation is made until each end
    "network": set(),
    "mask": {"maps", "mask"},
    "labels": {"maps", "labels"},
    "objects": {"maps", "labels", "objects"},
}


class Spy:
    """A segmenter, and notes of what its results were asked for."""

    def __init__(self, segment: Segmenter) -> None:
        self.segment, self.manifest, self.asked, self.tiles = segment, segment.manifest, set(), 0

    def run_tile(self, tile):
        self.tiles += 1
        return self.segment.run_tile(tile)

    def scale_of(self, frame):
        return self.segment.scale_of(frame)

    def __call__(self, frame):
        self.asked.add("maps")
        return Asked(self.segment(frame), self.asked)


class Asked:
    def __init__(self, result: Segmentation, asked: set[str]) -> None:
        self._result, self._asked, self.scale = result, asked, result.scale

    @property
    def mask(self):
        self._asked.add("mask")
        return self._result.mask

    def labels(self):
        self._asked.add("labels")
        return self._result.labels()

    def objects(self, frame):
        self._asked |= {"labels", "objects"}
        return self._result.objects(frame)


@pytest.mark.parametrize("until", figures.ENDS)
def test_until_says_where_the_timed_frame_ends(write_tiny, until: str):
    segment, watch = stages.open_watched(open_artifact(write_tiny()), Execution(threads=1))
    with segment:
        whole, taken_apart = Spy(segment), Spy(segment)
        stages.run_until(whole, FRAME, until)
        part = stages.split(taken_apart, watch, FRAME, until)
    assert whole.asked == taken_apart.asked == RUN[until]
    assert (whole.tiles > 0) == (until == "network")
    assert part.inference > 0
    later = {name for name in ("postprocess", "labels", "objects") if getattr(part, name) is not None}
    assert later == {"network": set(), "mask": {"postprocess"}}.get(until, {"postprocess", *RUN[until]} - {"maps"})
    known = sum(value or 0.0 for value in part[:-1])
    assert part.total <= known + 1e-6


def test_the_network_alone_runs_every_tile_of_the_frame(write_tiny):
    with Segmenter.open(write_tiny(), threads=1) as segment:
        spy = Spy(segment)
        stages.run_until(spy, FRAME, "network")
        manifest = segment.manifest
    assert spy.tiles == len(Grid.over(FRAME.shape, manifest.tile, manifest.overlap)) > 1


def test_the_stopwatch_changes_no_result(write_tiny):
    segment, watch = stages.open_watched(open_artifact(write_tiny()), Execution(threads=1))
    with segment:
        plain = segment(FRAME).probability.copy()
        watch.notes = True
        np.testing.assert_array_equal(segment(FRAME).probability, plain)


def test_rounds_are_pooled_and_a_stage_that_one_round_lacks_is_none():
    whole = StageSamples((1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (4.0, 4.0), (5.0, 5.0), (15.0, 15.0))
    blind = StageSamples((1.0,), None, (9.0,), None, (5.0,), (15.0,))
    pooled = stages.combine([whole, blind])
    assert pooled.inference.count == 3
    assert pooled.host_to_device is None
    assert pooled.labels is None
    assert stages.combine([whole]).host_to_device.p50 == 2.0
    assert stages.combine([replace(whole, labels=(6.0, 8.0))]).labels.p50 == 7.0
    assert stages.combine([None]) is None


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_steps_give_what_run_gives(write_tiny, name: str):
    from runtime import backend as backends

    artifact = open_artifact(write_tiny("intel" if name == "openvino" else "jetson"))
    session = backends.load(name).open(artifact, Execution(threads=1))
    tile = artifact.probes().inputs[:1]
    assert isinstance(session, backends.Stepwise) == (name == "openvino")
    if isinstance(session, backends.Stepwise):
        session.feed(tile)
        session.infer()
        np.testing.assert_array_equal(session.fetch(), session.run(tile))
    session.close()
