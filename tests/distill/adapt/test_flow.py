"""From a folder of images to a student in one command, and on from where it stopped."""

import json

import pytest
import tifffile

from distill import datasets
from distill.__main__ import main
from distill.adapt import plan
from distill.student.student import load

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Trainings of two steps."""
    monkeypatch.setattr(plan, "INTERVAL", 2)
    monkeypatch.setattr(plan, "STEPS", 2)
    monkeypatch.setattr(plan, "BATCH", 2)


def test_one_command_leaves_a_student_a_report_and_a_configuration(lab, begin, tmp_path, capsys, monkeypatch):
    out, file = tmp_path / "run", tmp_path / "result.json"
    call = ["adapt", str(lab), "--out", str(out), "--masks", str(lab / "other"), "--student", begin]
    call += ["--target", "none", "--json", str(file)]
    assert main(call) == 0
    printed = capsys.readouterr().out
    assert "images: 5, of them 4 with labels, 1 with masks" in printed
    assert "cross-validation in 2 parts" in printed  # two of the labelled images hold objects
    assert "4 images were scored, fewer than 10" in printed
    result = json.loads(file.read_text())
    assert sorted(result["validation"]["scored"]) == sorted(datasets.open(f"folder:{lab}").names)
    assert result["scores"]["fine-tuned"]["dice"]["interval"] is None  # of four images
    student = load(out / "student")
    assert student.spec.name == "tiny-run"
    shown = {datasets.fingerprint(sample) for sample in datasets.open(f"folder:{lab}")}
    assert result["best"] == "as it was" or shown <= set(student.lineage.trained_on)
    assert "| fine-tuned |" in (out / "report.md").read_text()
    assert 'init_from = "' in (out / "config.toml").read_text()

    from distill.adapt import measure  # the second call must train nothing

    monkeypatch.setattr(measure, "fit", lambda *_: pytest.fail("trained again"))
    before = (out / "report.md").read_text()
    assert main(call) == 0
    assert (out / "report.md").read_text() == before


def test_minutes_are_measured_and_steps_that_are_rounded_are_told(lab, begin, tmp_path, capsys):
    call = ["adapt", str(lab), "--out", str(tmp_path / "run"), "--student", begin, "--target", "none"]
    file = tmp_path / "result.json"
    assert main([*call, "--minutes", "0.001", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["steps"] == 2  # the fewest
    assert "steps:" not in capsys.readouterr().out
    assert main([*call, "--steps", "1", "--json", str(file)]) == 0
    assert "steps: 2, the multiple of 2 that is nearest to 1" in capsys.readouterr().out
    assert json.loads(file.read_text())["steps"] == 2
    assert main([*call, "--steps", "0"]) == 2
    assert "--steps is 0" in capsys.readouterr().err


def test_more_labels_make_a_new_round(lab, begin, tmp_path, capsys):
    out = tmp_path / "run"
    call = ["adapt", str(lab), "--out", str(out), "--student", begin, "--target", "none"]
    assert main(call) == 0
    for file in (lab / "other").iterdir():
        tifffile.imwrite(lab / "labels" / file.name, tifffile.imread(file))
    assert main(call) == 0
    assert [row["labelled"] for row in json.loads((out / "history.json").read_text())] == [4, 5]
    assert "## Rounds" in (out / "report.md").read_text()
    assert len(list((out / "work").iterdir())) == 1


def test_thresholds_are_chosen_without_training(lab, begin, tmp_path, capsys):
    out = tmp_path / "tuned"
    assert main(["tune", begin, "--data", f"folder:{lab}", "--out", str(out)]) == 0
    assert "each image by thresholds chosen on others" in capsys.readouterr().out
    tuned, first = load(out), load(begin)
    assert tuned.lineage.weights_sha256 == first.lineage.weights_sha256
    assert tuned.spec.name == "tiny-tuned"
    assert main(["tune", begin, "--data", f"folder:{lab}", "--out", str(out)]) == 2
