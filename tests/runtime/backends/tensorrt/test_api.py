"""The one code path over TensorRT's versions, on the stand-in, and the arithmetic of its progress."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.tensorrt.api import BuildFailed, PhaseProgress, Recipe, Refused, TensorRTModule, recipes

if TYPE_CHECKING:
    from runtime.artifact.artifact import Artifact

INT8 = {"onnx": "a", "onnx_fp16_qdq": "b", "onnx_fp16": "c"}
FP16 = {"onnx": "a", "onnx_fp16": "c"}
FP32 = {"onnx": "a"}


@pytest.mark.parametrize(
    ("payload", "strongly_typed", "due"),
    [
        (INT8, True, [("onnx_fp16_qdq", "int8"), ("onnx_fp16", "fp16")]),
        (INT8, False, [("onnx", "int8"), ("onnx_fp16", "fp16")]),
        (FP16, True, [("onnx_fp16", "fp16")]),
        (FP16, False, [("onnx", "fp16")]),
        (FP32, True, [("onnx", "fp32")]),
        (FP32, False, [("onnx", "fp32")]),
        ({}, True, []),
    ],
)
def test_what_is_built_from_a_bundle(payload, strongly_typed: bool, due):
    found = recipes(payload, strongly_typed=strongly_typed, hint="auto")
    assert found == tuple(Recipe(*pair) for pair in due)


@pytest.mark.parametrize("hint", ["int8", "fp16"])
def test_a_hint_leaves_one(hint: str):
    assert [one.precision for one in recipes(INT8, strongly_typed=True, hint=hint)] == [hint]


@pytest.mark.parametrize(
    ("version", "role", "flags", "typed", "level"),
    [
        ("8.5.2", "onnx", {"INT8", "FP16"}, False, None),
        ("8.6.1", "onnx", {"INT8", "FP16"}, False, 1),
        ("10.3.0", "onnx_fp16_qdq", set(), True, 1),
        ("11.4.1", "onnx_fp16_qdq", set(), True, 1),
    ],
)
def test_each_version_gets_what_it_knows(version, role, flags, typed, level, jetson, bundle: Artifact):
    jetson(version)
    trt = TensorRTModule(importlib.import_module("tensorrt"))
    network = trt.parse(bundle.payload(role))
    config = trt.configure(network, Recipe(role, "int8"), 64, 1, lambda part: None)
    assert network.network.strongly_typed is typed is trt.strongly_typed
    assert config.flags_set == flags
    assert config.workspace == 64 << 20
    assert getattr(config, "builder_optimization_level", None) == level
    assert trt.load(trt.build(network, config)) is not None


def test_a_network_that_is_refused_is_told_in_the_parsers_words(jetson):
    jetson()
    trt = TensorRTModule(importlib.import_module("tensorrt"))
    with pytest.raises(Refused, match="In node 7"):
        trt.parse(b"no network")


def test_a_build_that_fails_is_told_in_the_loggers_words(jetson, bundle: Artifact):
    jetson(faults={"int8": "out of memory"})
    trt = TensorRTModule(importlib.import_module("tensorrt"))
    network = trt.parse(bundle.payload("onnx_fp16_qdq"))
    config = trt.configure(network, Recipe("onnx_fp16_qdq", "int8"), 64, None, lambda part: None)
    with pytest.raises(BuildFailed, match="OutOfMemory"):
        trt.build(network, config)


@pytest.mark.parametrize(("version", "size"), [("8.6.1", 3 << 20), ("10.3.0", 3 << 20), ("11.4.1", 3 << 20)])
def test_the_memory_of_an_engine_is_asked_by_the_name_that_the_version_has(version, size, jetson, bundle: Artifact):
    jetson(version)
    trt = TensorRTModule(importlib.import_module("tensorrt"))
    network = trt.parse(bundle.payload("onnx_fp16"))
    config = trt.configure(network, Recipe("onnx_fp16", "fp16"), 64, None, lambda part: None)
    engine = trt.load(trt.build(network, config))
    assert engine is not None
    assert engine.memory_bytes == size
    assert engine.shape(engine.output) == (1, 2, 32, 48)


def test_progress_counts_what_is_under_way():
    progress = PhaseProgress()
    progress.start("all", None, 4)
    assert progress.step("all", 0) == 0.25
    progress.start("part", "all", 2)
    assert progress.step("part", 0) == pytest.approx(0.375)
    progress.finish("part")
    assert progress.step("all", 3) == 1.0
    assert progress.finish("all") == 1.0


names = st.sampled_from("abcd")
calls = st.one_of(
    st.tuples(st.just("start"), names, st.one_of(st.none(), names), st.integers(0, 5)),
    st.tuples(st.just("step"), names, st.integers(0, 9)),
    st.tuples(st.just("finish"), names),
)


@given(st.lists(calls, max_size=30))
def test_progress_never_falls_and_stays_within_0_and_1(made):
    progress, before = PhaseProgress(), 0.0
    for name, *arguments in made:
        fraction = getattr(progress, name)(*arguments)
        assert before <= fraction <= 1.0
        before = fraction
