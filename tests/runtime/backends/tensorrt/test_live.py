"""A camera with TensorRT in the chain, on the stand-in: an engine that is there is used, and none is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime import EdgescopeError, Segmenter
from runtime.live import LiveSegmenter

if TYPE_CHECKING:
    from runtime.artifact.artifact import Artifact

CHAIN = ("tensorrt", "onnxruntime")


def test_an_engine_that_was_built_before_segments(jetson, bundle: Artifact):
    jetson()
    Segmenter.of(bundle).close()
    frame = np.random.default_rng(0).integers(0, 4000, (32, 48)).astype(np.uint16)
    with LiveSegmenter(bundle.path, spare=False, backends=CHAIN) as live:
        live.submit(frame)
        assert live.drain(60)
        assert live.backend == "tensorrt"
        assert live.counters.done == 1


def test_without_an_engine_the_next_backend_segments_and_nothing_is_built(jetson, bundle: Artifact):
    cache = jetson()
    events = []
    with LiveSegmenter(bundle.path, spare=False, backends=CHAIN, on_event=events.append) as live:
        assert live.backend == "onnxruntime"
    assert list(cache.glob("*.engine")) == []
    assert f"run: python -m runtime prewarm {bundle.path}" in str(events[0])


def test_without_an_engine_and_another_backend_it_is_said_what_to_do(jetson, bundle: Artifact):
    jetson()
    with pytest.raises(EdgescopeError, match=r"its engine is not built here .*python -m runtime prewarm"):
        LiveSegmenter(bundle.path, spare=False, backends=["tensorrt"])
