"""The whole flow: all targets or none, budgets, and what is wrong said before anything is written."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from compile import build as flow
from compile import targets, trial
from compile.__main__ import main
from compile.accuracy.budget import OverBudget
from compile.accuracy.verify import recorded
from compile.export import export_mixed
from compile.request import Request
from runtime import metrics
from runtime.artifact.artifact import open_artifact
from runtime.artifact.manifest import Tolerance
from runtime.errors import BudgetMissed, EdgescopeError, InputError
from runtime.segmenter import Segmenter
from runtime.system import places

ROOT = Path(__file__).parents[2]
TILE = (64, 64)
LOOSE = Tolerance(probability_max=0.5, probability_mean=0.02, mask_dice=0.98)


@pytest.fixture
def quick(make_graph, monkeypatch):
    """The exports of the session's student are at hand already."""
    monkeypatch.setattr(trial, "export", lambda student, tile, precision: make_graph("mobilenetv3", precision))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


def build(student, request, out):
    return flow.run(student, request, out).artifacts


def call(capsys, *arguments) -> tuple[int, list[str]]:
    """Exit code, and the lines on standard error."""
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr().err.splitlines()


def refused(capsys, out: Path, *arguments) -> str:
    """The one line of a call that must be refused with nothing written."""
    code, lines = call(capsys, *arguments, "--out", out)
    assert code == 2
    assert not out.exists() or not out.is_dir() or not any(out.iterdir())
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("budget", [-1.0, -200.0])
def test_a_missed_budget_writes_nothing(quick, make_student, out, budget):
    request = Request(("intel",), "fp32", TILE, max_drop=budget)
    with pytest.raises(BudgetMissed, match=r"intel is .* Dice points below the fp32 student, more than"):
        build(make_student("mobilenetv3"), request, out)
    assert not out.exists()


@pytest.mark.slow
def test_a_missed_budget_is_exit_code_1(quick, student_folder, out, capsys):
    options = ("--student", student_folder, "--precision", "fp32", "--max-drop", "-1", "--out", out)
    code, lines = call(capsys, "--target", "intel", *options)
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith("error: intel is ")
    assert not out.exists()


@pytest.mark.slow
def test_int8_over_budget_says_where_the_error_enters(quick, student_folder, out, tmp_path, capsys, loose):
    figures = tmp_path / "figures.json"
    options = ("--student", student_folder, "--max-drop", "-1", "--out", out, "--json", figures)
    assert main([str(option) for option in ("--target", "jetson", *options)]) == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert "jetson is " in line
    assert "the error enters most at layer " in line
    found = json.loads(figures.read_text())
    rows = found["sensitivity"]["rows"]
    assert len(rows) == 45
    assert rows[0]["layer"] in line
    assert rows[0]["layer"] in printed.out.splitlines()[2]
    assert found["refused"] in line
    assert found["accuracy"]["jetson"]["images"] == 2
    assert not out.exists()


@pytest.mark.slow
def test_a_sabotaged_scale_is_refused_by_name_before_anything_is_lowered(quick, sabotaged, out, monkeypatch):
    monkeypatch.setattr(targets, "load", lambda name: Broken("it must not be asked"))
    words = r"layer decoder\.blocks\.2\.conv2\.0: the scale of .*conv1\.2:relu"
    with pytest.raises(OverBudget, match=words) as refused:
        build(sabotaged("decoder.blocks.2.conv1.2:relu"), Request(("intel",), "int8", TILE), out)
    assert refused.value.to_dict()["sensitivity"]["rows"][0]["layer"] == "decoder.blocks.2.conv2.0"
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "fp32", "auto"])
def test_random_weights_are_refused(quick, make_student, out, precision):
    student, rng = make_student("mobilenetv3"), torch.Generator().manual_seed(0)
    weights = {name: torch.randn(value.shape, generator=rng) * value.std() for name, value in student.weights.items()}
    student = replace(student, weights={k: torch.nan_to_num(v) for k, v in weights.items()})
    with pytest.raises(EdgescopeError, match="its weights are random or damaged, or these images are of another kind"):
        build(student, Request(("intel",), precision, TILE), out)
    assert not out.exists()


@pytest.mark.slow
def test_the_manifest_says_what_was_lost_and_how_sure_that_is(quick, make_student, out):
    (artifact,) = build(make_student("mobilenetv3"), Request(("intel",), "fp32", TILE, max_drop=0.5), out)
    found = artifact.manifest.accuracy
    assert found.images == 2
    assert found.max_drop_points == 0.5
    assert "recorded tiles" in found.data
    assert found.scores.keys() == found.float_scores.keys() <= set(metrics.names())
    assert {"dice", "boundary_f1", "count_error"} <= found.scores.keys()
    for name, score in found.scores.items():
        assert score.interval is None, "two images are too few for one"
        assert found.float_scores[name].mean == pytest.approx(score.mean, abs=0.01)
    assert found.drop_interval is None
    dice = 100 * (found.float_scores["dice"].mean - found.scores["dice"].mean)
    assert found.drop_points == pytest.approx(dice, abs=1e-3)


@pytest.mark.slow
def test_the_file_typed_in_fp16_is_in_the_matrix_and_in_jetson_s_manifest(quick, make_student, out):
    made = flow.run(make_student("mobilenetv3"), Request(("intel", "jetson"), "fp16", TILE), out)
    assert made.matrix.keys() == {"intel", "jetson", "jetson fp16"}
    assert made.matrix["jetson fp16"].keys() == {"intel", "jetson", "reference"}
    intel, jetson = (artifact.manifest.agreement for artifact in made.artifacts)
    assert intel.keys() == {"jetson", "reference"}
    assert jetson.keys() == {"intel", "reference", "fp16_file: intel", "fp16_file: reference"}
    assert jetson["fp16_file: reference"] == made.matrix["jetson fp16"]["reference"]


@pytest.mark.slow
def test_auto_falls_back_to_the_next_precision(quick, make_student, out, monkeypatch, caplog, loose):
    drops = {"int8": 3.0, "fp16": 0.0, "fp32": 0.0}  # no mix promises to lose nothing
    monkeypatch.setattr(flow.Validation, "accuracy", accuracy_with(drops))
    made = build(make_student("mobilenetv3"), Request(("intel",), "auto", TILE, max_drop=0.0), out)
    assert [artifact.manifest.precision for artifact in made] == ["fp16"]
    assert [path.name for path in out.iterdir()] == ["tiny-mobilenetv3-intel-fp16"]
    assert "int8: intel is 3.00 Dice points below" in caplog.text


@pytest.mark.slow
def test_auto_keeps_a_sabotaged_layer_in_float(quick, sabotaged, make_graph, out, monkeypatch, caplog, loose):
    tried = []
    monkeypatch.setattr(trial, "export_mixed", lambda *about: tried.append(about[2]) or export_mixed(*about))
    student = sabotaged("decoder.blocks.2.conv1.2:relu")
    made = flow.run(student, Request(("jetson",), "auto", TILE), out)
    assert tried == [("decoder.blocks.2.conv2.0",)]
    assert [one.precision for one in made.steps] == ["int8", "mixed", "fp16"]
    assert [one.refused is None for one in made.steps] == [False, True, True]
    (artifact,) = made.artifacts
    assert artifact.path.name == "tiny-mobilenetv3-jetson-mixed"
    assert artifact.manifest.precision == "mixed"
    assert "decoder.blocks.2.conv2.0" in artifact.manifest.operators.float_layers
    assert "decoder.blocks.2.conv1.2:relu" not in artifact.manifest.scheme.activations
    assert any("not timed here" in note for note in artifact.manifest.notes)


@pytest.mark.slow
def test_auto_starts_with_half_precision_for_a_student_without_scheme(quick, make_student, out):
    student = replace(make_student("mobilenetv3"), scheme=None)
    made = build(student, Request(("intel",), "auto", TILE), out)
    assert made[0].manifest.precision == "fp16"


@pytest.fixture
def loose(monkeypatch):
    """Random weights magnify roundings."""
    for precision in ("int8", "mixed"):
        monkeypatch.setitem(trial.TOLERANCES, precision, LOOSE)


def accuracy_with(drops):
    measure = flow.Validation.accuracy

    def accuracy(self, artifact, max_drop):
        return replace(measure(self, artifact, max_drop), drop_points=drops[artifact.manifest.precision])

    return accuracy


class Broken:
    """A target that fails after the others were lowered."""

    name = "zzz"

    def __init__(self, reason=None):
        self.reason = reason

    def refuses(self, graph):
        return self.reason

    def lower(self, graph, options):
        raise InputError("the converter is broken")


@pytest.mark.slow
@pytest.mark.parametrize("reason", [None, "it is an abacus"])
def test_one_failing_target_leaves_none_of_them(quick, make_student, out, monkeypatch, reason):
    load = targets.load
    monkeypatch.setattr(targets, "load", lambda name: Broken(reason) if name == "zzz" else load(name))
    with pytest.raises(InputError, match=reason or "the converter is broken"):
        build(make_student("mobilenetv3"), Request(("intel", "jetson", "zzz"), "fp32", TILE), out)
    assert not out.exists()


@pytest.mark.slow
def test_a_folder_in_the_way_of_the_last_target_leaves_none_of_them(quick, make_student, out):
    mine = out / "tiny-mobilenetv3-jetson-fp32" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match="in the way and is not overwritten"):
        build(make_student("mobilenetv3"), Request(("intel", "jetson"), "fp32", TILE), out)
    assert mine.read_text() == "mine"
    assert [path.name for path in out.iterdir()] == [mine.parent.name]


@pytest.mark.slow
def test_an_artefact_is_replaced_as_a_whole(quick, make_student, out):
    request = Request(("intel",), "fp32", TILE)
    first = build(make_student("mobilenetv3"), request, out)[0]
    (first.path / "CARD.md").write_text("damaged")
    second = build(make_student("mobilenetv3"), request, out)[0]
    assert open_artifact(second.path).read("CARD.md").startswith(b"# tiny-mobilenetv3-intel-fp32")
    assert [path.name for path in out.iterdir()] == ["tiny-mobilenetv3-intel-fp32"]


@pytest.mark.slow
def test_an_artefact_knows_the_frames_it_was_measured_on(quick, make_student, out):
    student = make_student("mobilenetv3")
    (artifact,) = build(student, Request(("intel",), "fp32", TILE), out)
    with Segmenter.open(artifact.path) as segment:
        for frame, _ in recorded(student):
            assert not {"intensity", "out_of_focus"} & set(segment(frame).flags)
        frame, _ = recorded(student)[0]
        assert "inverted" in segment(60000 - frame).flags
        ramp = np.linspace(500, 60000, frame.size).reshape(frame.shape).astype(np.uint16)
        assert "intensity" in segment(ramp).flags


@pytest.mark.slow
def test_a_tile_need_not_be_square(student_folder, out, capsys):
    options = ("--student", student_folder, "--precision", "fp32", "--tile", "96x64", "--out", out)
    assert call(capsys, "--target", "intel", *options)[0] == 0
    artifact = open_artifact(out / "tiny-mobilenetv3-intel-fp32")
    assert artifact.manifest.tile == (96, 64)
    assert artifact.probes().inputs.shape[2:] == (96, 64)


@pytest.mark.slow
def test_the_json_holds_the_manifest_s_figures(quick, student_folder, out, tmp_path, capsys):
    figures = tmp_path / "report" / "figures.json"
    options = ("--student", student_folder, "--precision", "fp32", "--out", out, "--json", figures)
    assert main([str(option) for option in ("--target", "intel", *options)]) == 0
    (row,) = json.loads(figures.read_text())
    artifact = open_artifact(Path(row["path"]))
    content = json.loads(artifact.manifest.to_json())
    for name in ("target", "precision", "accuracy", "agreement", "operators", "notes"):
        assert row[name] == content[name], name
    assert row["bytes"] == artifact.size_bytes
    printed = capsys.readouterr()
    for text in (
        artifact.path.name,
        f"{row['accuracy']['scores']['dice']['mean']:.4f}",
        f"{row['bytes'] / 1e6:.2f}",
        "0/45",
    ):
        assert text in printed.out, "nothing is cut, however narrow the terminal"
    assert printed.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "abacus"], "There is no target 'abacus'; choose one of intel, jetson, microscope, all."),
        (
            ["--target", "intel", "--precision", "int4"],
            "Unknown precision 'int4'; choose one of int8, fp16, fp32, auto",
        ),
        (["--target", "intel", "--student", "nobody"], "There is no student 'nobody'"),
        (["--target", "intel", "--tile", "big"], "Tile 'big' is not a size in pixels"),
        (["--target", "intel", "--tile", "64x"], "Tile '64x' is not a size in pixels"),
        (["--target", "intel", "--tile", "-64"], "Tile '-64' is not a size in pixels"),
        (["--target", "intel", "--max-drop", "much"], "Invalid value for '--max-drop'"),
        (["--target", "intel", "--max-drop", "nan"], "--max-drop is nan; give Dice points"),
        (["--target", "intel", "--frobnicate"], "No such option"),
        ([], "Missing option '--target'"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(capsys, out, arguments, words):
    assert words in refused(capsys, out, *arguments)


@pytest.mark.parametrize("tile", ["100", "64x100", "16", "0"])
def test_a_tile_that_does_not_fit_is_one_line_with_one_that_does(capsys, out, student_folder, tile):
    line = refused(capsys, out, "--target", "intel", "--student", student_folder, "--precision", "fp32", "--tile", tile)
    assert "is not a multiple of the student's stride 32; try" in line


def test_int8_of_a_student_without_scheme_says_what_to_do(capsys, out, float_folder):
    line = refused(capsys, out, "--target", "intel", "--student", float_folder)
    assert "no quantisation scheme; use --precision fp16 or fp32" in line


@pytest.fixture
def edited(student_folder, tmp_path):
    """edited(tensor, scale) -> a student's folder whose scheme was edited; None takes the tensor out."""

    def edit(tensor, scale):
        folder = tmp_path / "edited"
        shutil.copytree(student_folder, folder)
        scheme = json.loads((folder / "scheme.json").read_text())
        scheme["activations"][tensor] = scale
        if scale is None:
            del scheme["activations"][tensor]
        (folder / "scheme.json").write_text(json.dumps(scheme))
        return folder

    return edit


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (0, "the scale of decoder.blocks.0:cat is 0.0; it must be finite and > 0"),
        (-1, "the scale of decoder.blocks.0:cat is -1.0; it must be finite and > 0"),
        (float("nan"), "the scale of decoder.blocks.0:cat is nan; it must be finite and > 0"),
        (None, "no scale for tensor 'decoder.blocks.0:cat'; it was changed"),
    ],
)
def test_an_edited_scheme_is_one_line_that_names_the_tensor(edited, capsys, out, scale, words):
    assert words in refused(capsys, out, "--target", "intel", "--student", edited("decoder.blocks.0:cat", scale))


@pytest.mark.slow
def test_an_unsupported_operator_is_one_line_that_names_it(make_graph, student_folder, capsys, out, monkeypatch):
    graph = make_graph("mobilenetv3", "fp32")
    model = onnx.ModelProto.FromString(graph.reference.SerializeToString())
    act = next(node for node in model.graph.node if node.op_type == "Relu")
    act.op_type, act.domain = "Wavelet", "my.lab"
    monkeypatch.setattr(trial, "export", lambda *_: replace(graph, reference=model))
    line = refused(capsys, out, "--target", "all", "--student", student_folder, "--precision", "fp32")
    assert f"{act.name} is a Wavelet of the domain 'my.lab', which no backend knows" in line


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["bbbc038:/nowhere", "nonsense:3", "synthetic", "folder:"])
def test_a_wrong_data_spec_is_one_line(quick, capsys, out, student_folder, spec):
    options = ("--student", student_folder, "--precision", "fp32", "--validate", spec)
    refused(capsys, out, "--target", "intel", *options)


@pytest.mark.parametrize("option", ["--out", "--json"])
def test_a_file_where_a_folder_is_due_is_said_before_the_work(capsys, tmp_path, student_folder, option):
    (tmp_path / "file").write_text("mine")
    code, lines = call(capsys, "--target", "intel", "--student", student_folder, option, tmp_path / "file" / "deeper")
    assert code == 2
    assert f"cannot be written: {tmp_path / 'file'} is a file, no folder; " in lines[0]
    assert len(lines) == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_folder_without_permission_is_said_before_the_work(capsys, tmp_path, student_folder, monkeypatch):
    forbidding = SimpleNamespace(access=lambda path, mode: False, W_OK=os.W_OK)  # for root nothing is forbidden
    monkeypatch.setattr(places, "os", forbidding)
    line = refused(capsys, tmp_path / "artifacts", "--target", "intel", "--student", student_folder)
    assert f"no permission in {tmp_path}" in line


def test_help_lists_the_options(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for option in ("target", "student", "precision", "tile", "validate", "max-drop", "out", "json", "debug"):
        assert f"--{option}" in text


@pytest.mark.slow
def test_the_default_student_compiles_from_the_checkout(tmp_path):
    from distill.student import student as students

    done = compile_in(tmp_path, "--target", "jetson")
    assert done.wait(600) == 0, (tmp_path / "stderr").read_text()
    artifact = open_artifact(tmp_path / "artifacts" / f"{students.DEFAULT}-jetson-int8")
    assert artifact.manifest.operators.int8_convolutions == 17  # of 18
    assert (tmp_path / "stderr").read_text() == ""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["anywhere", "writing"])
def test_a_killed_run_leaves_no_half_artefact(quick, tmp_path, make_student, student_folder, moment):
    place = tmp_path / "artifacts" / "tiny-mobilenetv3-intel-fp32"
    run = compile_in(tmp_path, "--target", "intel", "--student", str(student_folder), "--precision", "fp32")
    limit = time.monotonic() + (random.Random(20).uniform(1, 12) if moment == "anywhere" else 300)
    while run.poll() is None and time.monotonic() < limit and not (moment == "writing" and place.parent.exists()):
        time.sleep(0.001)
    if run.poll() is None:
        run.send_signal(signal.SIGKILL)
    run.wait()
    if place.exists():
        Segmenter.open(place).close()
    build(make_student("mobilenetv3"), Request(("intel",), "fp32", TILE), place.parent)
    assert [path.name for path in place.parent.iterdir()] == [place.name], "the next run clears what a killed one left"


def compile_in(folder: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "compile", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "stdout").open("w") as printed, (folder / "stderr").open("w") as errors:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=errors)
