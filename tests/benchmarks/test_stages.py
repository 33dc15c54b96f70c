"""A frame taken apart: stages add up to the call, and what a backend cannot tell is None."""

import numpy as np
import pytest

from benchmarks import stages
from benchmarks.figures import StageSamples
from runtime import open_artifact

FRAME = np.random.default_rng(0).integers(0, 4000, (100, 140), np.uint16)


def test_the_copies_of_openvino_are_told_from_its_inference(write_tiny):
    segment, watch = stages.open_watched(open_artifact(write_tiny()), None, 1, None)
    with segment:
        segment(FRAME)
        for part in (stages.split(segment, watch, FRAME) for _ in range(3)):
            assert min(part.preprocess, part.host_to_device, part.inference, part.device_to_host) > 0
            assert part.postprocess >= 0
            known = part.preprocess + part.host_to_device + part.inference + part.device_to_host
            assert part.total <= known + part.postprocess + 1e-6


def test_a_library_of_one_call_has_no_copies_rather_than_zero(write_tiny):
    segment, watch = stages.open_watched(open_artifact(write_tiny("jetson")), "onnxruntime", 1, None)
    with segment:
        samples = stages.sample(segment, watch, FRAME, 2)
    assert samples.host_to_device is None
    assert samples.device_to_host is None
    assert len(samples.inference) == len(samples.total) == 2


def test_the_stopwatch_changes_no_result(write_tiny):
    segment, watch = stages.open_watched(open_artifact(write_tiny()), None, 1, None)
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
    assert stages.combine([whole]).host_to_device.p50 == 2.0
    assert stages.combine([None]) is None


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_steps_give_what_run_gives(write_tiny, name: str):
    from runtime import backend as backends

    artifact = open_artifact(write_tiny("intel" if name == "openvino" else "jetson"))
    session = backends.load(name).open(artifact, None, 1)
    tile = artifact.probes().inputs[:1]
    assert isinstance(session, backends.Stepwise) == (name == "openvino")
    if isinstance(session, backends.Stepwise):
        session.feed(tile)
        session.infer()
        np.testing.assert_array_equal(session.fetch(), session.run(tile))
    session.close()
