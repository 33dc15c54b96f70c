"""The command line of training: what it prints and writes, and what it refuses in one line."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import tifffile

from distill import datasets
from distill.__main__ import main
from runtime import metrics

ROOT = Path(__file__).parents[2]
DATA = "synthetic:3@9?size=64"
CONFIG = '[data]\ntrain = ["synthetic:6@1?size=64"]\nvalidation = ["synthetic:6@2?size=64"]\ncrop = 64\n'


@dataclass(frozen=True)
class Said:
    """How a call of the command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """call("fit", ...) calls `python -m distill fit ...` in an empty folder that holds config.toml alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)

    def run(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


def test_help_needs_no_torch():
    code = (
        "import sys; from distill.__main__ import main; main(['--help']); main(['fit', '--help']);"
        "assert not {'torch', 'lightning', 'skimage', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "fit" in done.stdout
    assert "evaluate" in done.stdout


def test_importing_the_package_loads_nothing():
    code = "import sys; before = set(sys.modules); import distill; assert set(sys.modules) - before <= {'distill'}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.toml",), "There is no configuration none.toml"),
        (("wrong.toml",), "cannot be read"),
        (("config.toml", "--set", "float.stepz=3"), "float.stepz"),
        (("config.toml", "--set", "float.steps"), "is not section.key=value"),
        (("config.toml", "--set", "student.family=vgg"), "There is no student 'vgg'"),
        (("config.toml", "--set", "student.name=../up"), "makes no folder name"),
        (("config.toml", "--set", 'data.train=["bbbc038:none.zip"]'), "none.zip"),
        (("config.toml", "--set", 'data.train=["nothing:3"]'), "There is no data reader 'nothing'"),
        (("config.toml", "--out", "config.toml"), "config.toml is a file, no folder; choose another --out"),
        (("config.toml", "--out", "config.toml/deep/er"), "cannot be written"),
        (("config.toml", "--frobnicate"), "--frobnicate"),
        ((), "CONFIG.toml"),
    ],
)
def test_a_wrong_call_of_fit_is_one_line_and_writes_nothing(call, tmp_path: Path, arguments, said: str):
    (tmp_path / "wrong.toml").write_text("[data\n")
    before = sorted(tmp_path.rglob("*"))
    ended = call("fit", *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", "--data", DATA), "There is no student 'nobody'"),
        (("STUDENT", "--data", "synthetic"), "is not NAME:PATH"),
        (("STUDENT", "--data", "bbbc038:none.zip"), "none.zip"),
        (("STUDENT", "--data", DATA, "--split", "rest"), "rest"),
        (("STUDENT", "--data", DATA, "--labels", "mitochondria"), "mitochondria"),
        (("STUDENT", "--data", "synthetic:1@1?size=64", "--split", "val"), "no images in that split"),
        (("STUDENT",), "--data"),
        (("STUDENT", "--data", DATA, "--data", DATA), "--suite"),
        (("STUDENT", "--data", DATA, "--scale", "2"), "--suite"),
        (("STUDENT", "--suite", "nowhere"), "There is no folder 'nowhere'"),
    ],
)
def test_a_wrong_call_of_evaluate_is_one_line_and_writes_nothing(
    call, student_folder: Path, tmp_path: Path, arguments, said: str
):
    given = [student_folder if argument == "STUDENT" else argument for argument in arguments]
    ended = call("evaluate", *given, "--json", "scores.json")
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "scores.json").exists()


@pytest.mark.parametrize("quantized", [False, True])
def test_evaluate_prints_and_writes_the_same_figures(call, student_folder: Path, tmp_path: Path, quantized: bool):
    options = ("--quantized",) if quantized else ()
    ended = call("evaluate", student_folder, "--data", DATA, "--json", "scores.json", *options)
    assert ended.code == 0, ended.err
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["precision"] == ("int8 (fake-quantised)" if quantized else "fp32")
    assert (found["images"], found["seen_in_training"], found["labels"], found["split"]) == (3, 0, "nuclei", "all")
    assert len(found["per_image"]) == 3
    for name, score in found["scores"].items():
        assert metrics.load(name).title in ended.out
        assert f"{score['mean']:.{metrics.load(name).decimals}f}" in ended.out


def test_a_suite_prints_and_writes_the_same_figures(call, student_folder: Path, tmp_path: Path):
    sample = datasets.open(DATA)[0]
    for kind, image in (("images", sample.frame), ("labels", sample.labels["nuclei"])):
        (tmp_path / "sources" / "made" / kind).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "sources" / "made" / kind / "one.tif", image.astype("uint16"))
    options = ("--suite", "sources", "--data", DATA, "--scale", "1", "--scale", "2", "--quantized")
    ended = call("evaluate", student_folder, *options, "--json", "suite.json")
    assert ended.code == 0, ended.err
    result = json.loads((tmp_path / "suite.json").read_text())
    assert {row["source"] for row in result["rows"]} == {"made", "synthetic 3@9"}
    lines = [line for line in ended.out.splitlines() if line.startswith("|")][2:]
    for line, row in zip(lines, result["rows"], strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[:5] == [row["source"], row["method"], f"{row['scale']:g}", row["diameter"], str(row["images"])]
        assert cells[5:7] == [f"{row['scores']['dice']['mean']:.4f}", f"{row['scores']['ap50']['pooled']:.3f}"]


def test_whole_cells_are_scored_when_asked_for(call, student_folder: Path, tmp_path: Path):
    assert call("evaluate", student_folder, "--data", DATA, "--labels", "cells", "--json", "scores.json").code == 0
    assert json.loads((tmp_path / "scores.json").read_text())["labels"] == "cells"


def test_data_without_the_wanted_labels_are_refused(call, student_folder: Path, shared_data: Path):
    sample = shared_data / "codex" / "tissuenet_layout_sample.npz"
    ended = call("evaluate", student_folder, "--data", f"tissuenet:{sample}")
    assert ended.code == 2
    assert "has no labels 'nuclei', it has cells" in ended.err
    assert "--labels" in ended.err


@pytest.fixture
def saw_one(student, tmp_path: Path) -> Path:
    """A student that was trained on the second image of the data."""
    from distill.student.student import save

    seen = datasets.fingerprint(datasets.open(DATA)[1])
    folder = tmp_path / "saw"
    folder.mkdir()
    save(replace(student, lineage=replace(student.lineage, trained_on=(seen,))), folder)
    return folder


def test_images_seen_in_training_are_left_out_and_counted(call, saw_one: Path, tmp_path: Path):
    ended = call("evaluate", saw_one, "--data", DATA, "--json", "scores.json")
    found = json.loads((tmp_path / "scores.json").read_text())
    assert (found["images"], found["seen_in_training"]) == (2, 1)
    assert "left out, seen in training" in ended.out


def test_images_seen_in_training_are_used_when_asked_for(call, saw_one: Path, tmp_path: Path):
    call("evaluate", saw_one, "--data", DATA, "--include-trained", "--json", "scores.json")
    found = json.loads((tmp_path / "scores.json").read_text())
    assert (found["images"], found["seen_in_training"]) == (3, 0)


def test_data_that_were_all_seen_are_refused(call, student, tmp_path: Path):
    from distill.student.student import save

    seen = tuple(datasets.fingerprint(sample) for sample in datasets.open(DATA))
    save(replace(student, lineage=replace(student.lineage, trained_on=seen)), tmp_path)
    ended = call("evaluate", tmp_path, "--data", DATA)
    assert ended.code == 2
    assert "--include-trained" in ended.err


def test_a_student_without_scales_is_not_scored_in_int8(call, student, tmp_path: Path):
    from distill.student.student import save

    save(replace(student, scheme=None), tmp_path)
    ended = call("evaluate", tmp_path, "--data", DATA, "--quantized")
    assert ended.code == 2
    assert "no quantisation scheme" in ended.err


def test_scales_of_another_student_are_refused_in_one_line(call, student, tmp_path: Path):
    from distill.student.student import save

    save(replace(student, scheme=replace(student.scheme, activations={"elsewhere": 0.1})), tmp_path)
    ended = call("evaluate", tmp_path, "--data", DATA, "--quantized")
    assert ended.code == 2
    assert "belongs to another student" in ended.err


def test_debug_shows_where_an_error_came_from(call):
    assert "Traceback" in call("fit", "none.toml", "--debug").err


def test_a_missing_extra_is_named(call, monkeypatch: pytest.MonkeyPatch):
    for name in ("train", "phases"):  # both as if this process had not imported them yet
        monkeypatch.delitem(sys.modules, f"distill.training.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "lightning", None)
    ended = call("fit", "config.toml")
    assert ended.code == 1
    assert "edgescope[distill]" in ended.err


@pytest.mark.slow
def test_fit_ends_with_one_line(call, tmp_path: Path):
    short = [f"{phase}.{key}={value}" for phase in ("float", "qat") for key, value in (("steps", 4), ("batch", 2))]
    settings = [*short, "student.decoder=[8,8,8,8,8]", "trainer.interval=4", "trainer.threads=1", "student.name=small"]
    ended = call("fit", "config.toml", *(part for setting in settings for part in ("--set", setting)))
    assert ended.code == 0, ended.err
    assert ended.out.startswith("small is in runs/small: validation Dice ")
    assert ended.out.count("\n") == 1
    assert (tmp_path / "runs" / "small" / "CARD.md").exists()
    assert "float: step 4 of 4, validation Dice" in ended.err
    assert "qat: step 4 of 4, validation Dice" in ended.err
    assert "Tip" not in ended.err
    assert "GPU" not in ended.err
