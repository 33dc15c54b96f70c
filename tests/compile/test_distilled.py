"""A distilled student, from its teacher's soft labels to an artefact that says where it comes from."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("openvino")

from compile import trial
from compile.__main__ import main
from compile.accuracy import verify
from compile.export import export
from runtime.artifact.artifact import open_artifact
from runtime.errors import InputError

TINY = Path(__file__).parents[2] / "configs" / "tiny.toml"
TAUGHT = (
    "seed=0", "student.name=distilled", "data.labels=cells", "data.labelled=0.5", "trainer.interval=4",
    "trainer.validate=1", "teacher.name=masks", "teacher.weights=labels:cells",
    "teacher.options={licence = 'Modified Apache-2.0, non-commercial use only'}",
    "loss.matching=mse", "loss.boundary=gradient", "loss.weighting=kendall",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from distill import settings as configuration
    from distill.training.train import fit

    folder = tmp_path_factory.mktemp("distilled")
    fit(configuration.load(TINY, [*TAUGHT, f"teacher.store={folder / 'store'}"]), folder / "distilled")
    return folder / "distilled"


@pytest.mark.slow
def test_a_distilled_student_is_compiled_and_its_artefact_names_the_teacher(
    trained: Path, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.setattr(verify, "LEAST_GAIN", -100.0)  # eight steps teach nothing, and no scales: this is not about
    monkeypatch.setattr(trial, "misfits", lambda *_: [])  # what it learnt
    options = ["--student", str(trained), "--max-drop", "100", "--out", str(tmp_path)]
    assert main(["--target", "intel", *options]) == 0, capsys.readouterr().err
    artifact = open_artifact(tmp_path / "distilled-intel-int8")
    lineage = artifact.manifest.lineage
    assert lineage.teacher is not None
    assert lineage.teacher.startswith("masks (")
    assert "Modified Apache-2.0, non-commercial use only" in lineage.licences
    card = artifact.read("CARD.md").decode()
    assert "- teacher: masks (" in card
    assert "may be used for non-commercial purposes only" in card
    assert "license:" not in artifact.read("rdf.yaml").decode()


@pytest.mark.slow
def test_the_card_of_a_distilled_student_speaks_of_its_teacher(trained: Path):
    card = (trained / "CARD.md").read_text()
    assert "**For non-commercial purposes only" in card.partition("## Use")[0]
    assert "Distilled from the teacher masks (" in card


@pytest.mark.slow
def test_the_log_of_a_distilled_student_holds_terms_and_weights(trained: Path):
    head, *lines = (trained / "training.csv").read_text().splitlines()
    for column in ("loss_supervised", "loss_matching", "loss_boundary", "loss_weight_matching"):
        assert column in head
    assert [line.split(",")[:2] for line in lines] == [[p, str(s)] for p in ("float", "qat") for s in range(1, 5)]


def test_a_teacher_is_not_compiled(make_student):
    student = make_student("mobilenetv3")
    teacher = replace(student, spec=replace(student.spec, name="wide", channels=("nucleus", "membrane")))
    with pytest.raises(InputError) as error:
        export(teacher, (64, 64), "fp32")
    assert (
        str(error.value) == "wide sees nucleus, membrane: a teacher; only students of the nucleus alone are compiled."
    )


def test_compile_refuses_a_teacher_in_one_line(student_folder: Path, tmp_path: Path, capsys):
    from distill.student import student as students

    loaded = students.load(student_folder)
    folder = tmp_path / "wide"
    folder.mkdir()
    students.save(replace(loaded, spec=replace(loaded.spec, channels=("nucleus", "membrane"))), folder)
    assert main(["--target", "intel", "--student", str(folder), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "only students of the nucleus alone are compiled" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
