"""Swin on every target in fp16 and fp32, and its refusal in int8.

The network is shrunk to few blocks, for the converters take time for every one of them; each kind of block is there.
"""

from dataclasses import replace

import pytest

from compile import build as flow
from compile import lint, targets, trial
from compile.__main__ import main
from compile.export import export
from compile.request import Request
from compile.targets.jetson.half import to_float16
from compile.targets.jetson.opset17 import to_opset_17
from compile.targets.jetson.rules import TENSORRT_8, TENSORRT_10
from compile.targets.microscope import lowering as microscope
from compile.targets.microscope.quiet import quiet
from distill.students import swin_tiny
from runtime.artifact.artifact import open_artifact
from runtime.errors import InputError

TILE = (64, 64)
PRECISIONS = ("fp16", "fp32")


@pytest.fixture(scope="module")
def student(make_student):
    """Two blocks at the first stage (the second one shifted), one at each of the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swin_tiny, "DEPTHS", (2, 1, 1, 1))
        student = make_student("swin_tiny")
        # Of random logits many are next to 0, and a mask of them flips by rounding: one next to their tail does not.
        yield replace(student, spec=replace(student.spec, threshold=0.4))


@pytest.fixture(scope="module")
def graph(student):
    """Both precisions start from the same float graph,"""
    return export(student, TILE, "fp32")


@pytest.fixture(scope="module")
def tflite(graph):
    """and from the same float file."""
    with quiet():
        return microscope._convert(graph)


@pytest.fixture(scope="module", params=PRECISIONS)
def built(request, student, graph, tflite, tmp_path_factory):
    """The artefacts of all targets, by name."""
    order = Request(targets.names(), request.param, TILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "export", lambda student, tile, precision: replace(graph, precision=precision))
        patch.setattr(microscope, "_convert", lambda graph: tflite)
        made = flow.run(student, order, tmp_path_factory.mktemp("swin")).artifacts
    return {artifact.manifest.target: artifact for artifact in made}


@pytest.mark.slow
def test_a_transformer_is_clean_in_float(graph):
    lint.check(graph.reference, lint.EVERY, "the graph")
    assert list(lint.defects(to_float16(graph.reference), TENSORRT_10)) == []
    assert list(lint.defects(to_opset_17(graph.reference), TENSORRT_8)) == []


@pytest.mark.slow
def test_all_targets_agree_within_the_tolerance_of_their_precision(built):
    assert set(built) == {"intel", "jetson", "microscope"}
    for target, artifact in built.items():
        peers = {peer for peer in artifact.manifest.agreement if not peer.startswith("fp16_file: ")}
        assert peers == {"reference", *built} - {target}
        assert artifact.manifest.accuracy.drop_points < 0.5
        assert not open_artifact(artifact.path).manifest.scheme


@pytest.mark.slow
def test_the_attention_stands_in_the_tflite_file_in_float(built):
    operators = built["microscope"].manifest.operators
    assert operators.int8_convolutions == 0
    assert {"SOFTMAX", "BATCH_MATMUL", "FULLY_CONNECTED"} <= set(operators.details["float_operators"])


@pytest.mark.slow
@pytest.mark.parametrize("target", ["intel", "microscope"])
def test_a_file_holds_two_or_four_bytes_for_every_weight(built, student, target):
    weights = sum(weight.numel() for weight in student.weights.values())
    artifact = built[target]
    width = 2 if artifact.manifest.precision == "fp16" else 4
    payload = sum(len(artifact.payload(role)) for role in artifact.manifest.payload)
    assert 0.95 * width < payload / weights < 1.2 * width


@pytest.mark.slow
def test_int8_is_refused_with_the_reason_and_what_to_use(student):
    with pytest.raises(InputError, match=r"no int8 form: it is a transformer.*; use --precision fp16 or fp32"):
        export(student, TILE, "int8")


@pytest.mark.slow
def test_the_command_refuses_int8_in_one_line_and_writes_nothing(student, tmp_path, capsys):
    from distill.student.student import save

    folder = tmp_path / "swin"
    folder.mkdir()
    save(student, folder)
    out = tmp_path / "artifacts"
    assert main(["--target", "all", "--student", str(folder), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "layer normalisations" in line
    assert "use --precision fp16 or fp32" in line
    assert not out.exists()
