"""Streams of tiles through real artefacts: whatever the way, what comes out is what one tile after the other gives."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.inputs.source import ImageSource
from benchmarks.measures import throughput
from benchmarks.measures.job import MeasureJob
from benchmarks.measures.throughput import Stream, measure_throughput, numbers_of_requests, shared_out, threads_each
from runtime.artifact.artifact import Artifact
from runtime.errors import EdgescopeError
from runtime.execution import Execution


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "LEAST_S", 0.0)
    monkeypatch.setattr(throughput, "REPEATS", 2)
    monkeypatch.setattr(throughput, "usable_cores", lambda: 2)


def job(artifact: Path, backend: str | None = None) -> MeasureJob:
    return MeasureJob("a", str(artifact), Execution(backend, threads=2), 2, "", ImageSource(), None)


def test_openvino_takes_batches_and_asynchronous_requests(write_tiny, hurry):
    found = measure_throughput(job(write_tiny()))
    assert [(rate.batch, rate.requests) for rate in found.batches] == [(2, 1), (4, 1), (8, 1)]
    assert [(rate.batch, rate.requests) for rate in found.requests] == [(1, 2), (1, 4)]
    assert all(len(rate.samples) == 2 and rate.tiles_per_s > 0 for rate in (found.sequential, *found.batches))
    assert found.not_measured == {}
    assert found.best.tiles_per_s >= found.sequential.tiles_per_s


def test_a_static_batch_is_said_to_be_one(write_tiny, hurry):
    found = measure_throughput(job(write_tiny("jetson"), "onnxruntime"))
    assert found.batches == ()
    assert "static batch of 1" in found.not_measured["batches"]
    assert [rate.requests for rate in found.requests] == [2, 4]


def test_results_that_differ_are_no_throughput(write_tiny, hurry, monkeypatch: pytest.MonkeyPatch):
    run = Stream.run
    wrong = {True: lambda results: 0 * results, False: lambda results: results}
    monkeypatch.setattr(
        Stream, "run", lambda stream, tiles: wrong[stream.batch * stream.requests > 1](run(stream, tiles))
    )
    found = measure_throughput(job(write_tiny()))
    assert found.batches == found.requests == ()
    assert "other results" in found.not_measured["requests"]


def test_a_model_that_cannot_be_reshaped_has_requests_and_no_batches(write_tiny, hurry, tmp_path: Path, monkeypatch):
    rigid = rigid_model(tmp_path)
    monkeypatch.setattr(Artifact, "payload", lambda artifact, name: rigid[name])
    found = measure_throughput(job(write_tiny()))
    assert found.batches == ()
    assert "batch of 2" in found.not_measured["batches"]
    assert [rate.requests for rate in found.requests] == [2, 4]


def rigid_model(folder: Path) -> dict[str, bytes]:
    """An OpenVINO model whose inner shape is written down, as it is in INT8 artefacts that were traced at one tile."""
    openvino = pytest.importorskip("openvino")
    ops = pytest.importorskip("openvino.opset13")
    tile = ops.parameter([1, 1, 64, 64], np.float32)
    twice = ops.concat([tile, tile], axis=1)
    openvino.save_model(openvino.Model([ops.reshape(twice, [1, 2, 64, 64], False)], [tile]), folder / "rigid.xml")
    return {name: (folder / f"rigid.{name[-3:]}").read_bytes() for name in ("openvino_xml", "openvino_bin")}


def test_a_backend_without_batches_refuses_them(write_tiny):
    with pytest.raises(EdgescopeError, match="one tile at a time"):
        Stream(job(write_tiny("jetson"), "onnxruntime"), 2, 1)


def test_results_come_back_in_the_order_of_the_tiles():
    from concurrent.futures import ThreadPoolExecutor

    tiles = np.arange(7.0).reshape(7, 1, 1)
    with ThreadPoolExecutor(3) as pool:
        np.testing.assert_array_equal(shared_out(pool, [lambda tile: tile * 10] * 3, tiles), tiles[:, 0] * 10)


def test_requests_share_the_threads():
    assert threads_each(None, 1) is None
    assert threads_each(8, 2) == 4
    assert threads_each(2, 8) == 1


@pytest.mark.parametrize(("cores", "numbers"), [(1, (2,)), (2, (2, 4)), (6, (2, 4, 8)), (64, (2, 4, 8, 16, 32))])
def test_requests_go_up_to_twice_the_cores(cores: int, numbers: tuple[int, ...]):
    assert numbers_of_requests(cores) == numbers
