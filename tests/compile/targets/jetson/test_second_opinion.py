"""What TensorRT-RTX says of a bundle's files, and that its death is a message."""

import json
import signal
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from compile.targets.jetson import second_opinion
from runtime.errors import InputError

installed = pytest.mark.skipif(find_spec(second_opinion.LIBRARY) is None, reason="needs TensorRT-RTX (extra rtx)")
node = helper.make_node


def file(nodes=(), **values):
    """image -> nodes -> y, as bytes."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 16, 8, 8])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    graph = helper.make_graph(list(nodes) or [node("Relu", ["image"], ["y"])], "g", [image], [result], stored)
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("my.lab", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def rounded(scale):
    nodes = [
        node("QuantizeLinear", ["image", "scale", "zero"], ["q"], "act:quantize"),
        node("DequantizeLinear", ["q", "scale", "zero"], ["y"], "act:dequantize"),
    ]
    return file(nodes, scale=np.float32(scale), zero=np.int8(0))


@installed
def test_it_parses_every_file_and_builds_the_first():
    found = second_opinion.ask({"a.onnx": rounded(0.5), "b.onnx": file()})
    assert found["asked"].startswith("TensorRT-RTX 1.")
    assert (found["parsed"], found["built"]) == (["a.onnx", "b.onnx"], ["a.onnx"])
    assert found["said"] == (
        f"{found['asked']} parses a.onnx, b.onnx and builds a.onnx "
        "(a second opinion on a CPU: necessary, not sufficient)"
    )


@installed
def test_what_it_refuses_is_refused_in_its_own_words_with_the_node():
    files = {"a.onnx": file(), "b.onnx": rounded(-1.0)}
    words = r"does not parse b\.onnx: act:quantize \(QuantizeLinear\): .*Scale coefficients must all be positive"
    with pytest.raises(InputError, match=words):
        second_opinion.ask(files)


@installed
def test_an_operator_that_it_does_not_know_is_named():
    files = {"a.onnx": file([node("Wavelet", ["image"], ["y"], "encoder.wavelet", domain="my.lab")])}
    with pytest.raises(InputError, match=r"encoder\.wavelet \(Wavelet\): .*Plugin not found"):
        second_opinion.ask(files)


@installed
def test_what_is_no_model_is_refused():
    with pytest.raises(InputError, match=r"does not parse a\.onnx"):
        second_opinion.ask({"a.onnx": b"no model"})


def test_where_it_is_not_installed_it_is_not_asked(monkeypatch):
    monkeypatch.setattr(second_opinion, "LIBRARY", "tensorrt_of_another_world")
    found = second_opinion.ask({"a.onnx": b"never read"})
    assert found == {
        "asked": None,
        "said": "TensorRT-RTX was not asked: it is not installed (extra rtx)",
        "parsed": [],
        "built": [],
    }


SAID = {"version": "9", "files": {"a.onnx": {"parsed": None, "built": None, "said": []}}}
BEGUN = f"""
import os, sys, time
with open(sys.argv[1], "w") as answer: answer.write({json.dumps(json.dumps(SAID))})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals end processes on POSIX")
@pytest.mark.parametrize(
    ("end", "patience", "words"),
    [
        (f"os.kill(os.getpid(), {signal.SIGSEGV.value})", 60, "was killed by SIGSEGV on a.onnx"),
        ("raise OSError('libcudart is missing')", 60, "failed with OSError: libcudart is missing on a.onnx"),
        ("sys.exit(7)", 60, "failed with exit code 7 on a.onnx"),
        ("time.sleep(60)", 3, "did not answer within 3 s on a.onnx"),
    ],
)
def test_the_death_of_its_process_is_a_message_and_no_failure(end, patience, words, tmp_path, monkeypatch, caplog):
    child = tmp_path / "child.py"
    child.write_text(BEGUN + end)
    monkeypatch.setattr(second_opinion, "LIBRARY", "json")  # what the stand-in needs is installed
    monkeypatch.setattr(second_opinion, "CHILD", child)
    monkeypatch.setattr(second_opinion, "PATIENCE_S", patience)
    found = second_opinion.ask({"a.onnx": b""})
    assert found["asked"] is None
    assert found["said"] == f"TensorRT-RTX 9 gave no opinion: it {words}"
    assert caplog.messages == [f"The second opinion is missing: TensorRT-RTX 9 {words}."]
