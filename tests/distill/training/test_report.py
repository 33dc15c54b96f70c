"""What stands beside a student's weights for people."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill import settings as config
from distill.config.sections import Config
from distill.training.card import card
from distill.training.curve import draw, phase_starts, smooth
from distill.training.history import Moment
from distill.training.report import write_report
from runtime.artifact.manifest import DataSource

SCORES = {
    "images": 7,
    "scores": {
        "dice": {"mean": 0.9312, "interval": [0.9, 0.95], "pooled": 0.94, "images": 7},
        "boundary_f1": {"mean": 0.88, "interval": None, "pooled": None, "images": 7},
    },
    "protocol": "As always.",
}


@pytest.fixture
def settings() -> Config:
    data = replace(Config().data, train=("bbbc038:/home/someone/stage1.zip",), validation=("bbbc038:/home/v.zip",))
    return replace(Config(), data=data)


@pytest.fixture
def trained(student):
    """The tiny student, with scores and a lineage."""
    source = DataSource("bbbc038", "CC0", "5 training images")
    lineage = replace(student.lineage, data=(source,), licences=("CC0",), trained_on=("0" * 12,))
    return replace(student, lineage=lineage, metrics={"validation": {"int8": SCORES, "fp32": SCORES}})


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for phase in ("float", "qat"):
        folder = tmp_path / "work" / "logs" / phase / "version_0"
        folder.mkdir(parents=True)
        rows = "".join(f"0,{step},{1 / (step + 1)},\n0,{step},,0.9\n" for step in range(9, 100, 10))
        (folder / "metrics.csv").write_text("epoch,step,train/loss,val/dice\n" + rows)
    return tmp_path / "work"


def test_four_files_are_written(trained, settings: Config, work: Path, tmp_path: Path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    write_report(trained, settings, work, folder)
    assert {path.name for path in folder.iterdir()} == {"config.toml", "training.csv", "curve.png", "CARD.md"}
    assert config.load(folder / "config.toml").data.train == ("bbbc038:stage1.zip",)
    assert len((folder / "training.csv").read_text().splitlines()) == 21
    assert "(curve.png)" in (folder / "CARD.md").read_text()


def test_no_path_of_the_machine_is_written(trained, settings: Config, work: Path, tmp_path: Path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    write_report(trained, settings, work, folder)
    assert not [path for path in folder.iterdir() if b"/home/" in path.read_bytes()]


def test_without_logs_there_is_no_curve(trained, settings: Config, tmp_path: Path):
    write_report(trained, settings, tmp_path / "nowhere", tmp_path)
    assert not (tmp_path / "curve.png").exists()
    assert "curve.png" not in (tmp_path / "CARD.md").read_text()


def test_a_missing_matplotlib_costs_the_curve_alone(
    trained, settings: Config, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
):
    monkeypatch.setattr("runtime.system.extras.available", lambda module: False)
    write_report(trained, settings, work, tmp_path)
    assert (tmp_path / "CARD.md").exists()
    assert not (tmp_path / "curve.png").exists()
    assert "matplotlib is not installed" in caplog.text


def test_the_curve_is_a_small_picture(tmp_path: Path):
    rng = np.random.default_rng(0)
    history = [
        Moment(phase, step, {"train/loss": float(rng.lognormal(-1, 0.4)), "val/dice": 0.9})
        for phase, steps in (("float", 6000), ("qat", 1000))
        for step in range(10, steps + 1, 10)
    ]
    (tmp_path / "curve.png").write_bytes(draw(history, "nuclei"))
    assert (tmp_path / "curve.png").stat().st_size < 80_000
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size == (792, 506)


def test_the_same_history_makes_the_same_picture():
    history = [Moment("float", step, {"train/loss": 1.0 / step}) for step in range(1, 20)]
    assert draw(history, "x") == draw(history, "x")


def test_phases_follow_each_other():
    history = [Moment("float", 10), Moment("float", 20), Moment("qat", 10)]
    assert phase_starts(history) == {"float": 0, "qat": 20}


def test_the_smooth_line_is_a_centred_mean():
    values = np.array([0.0, 3.0, 6.0, 0.0])
    np.testing.assert_allclose(smooth(values, 3), [0, 3, 3, 0])
    assert len(smooth(np.zeros(0))) == 0


def test_the_card_says_what_counts(trained, settings: Config):
    text = card(trained, settings)
    for said in (
        "# tiny",
        "0.9312",
        "As always.",
        "CC0",
        "No teacher",
        "percentiles 0.1 to 99.8",
        "1.5 M",
        trained.lineage.weights_sha256,
        "Segmenter.open",
        "no squeeze-excite gates",
        "validation images (7)",
    ):
        assert said in text


def test_the_card_says_how_probabilities_were_calibrated(trained, settings: Config):
    figures = {"temperature": 1.39, "cross_entropy_before": 0.0675, "cross_entropy": 0.0614}
    text = card(replace(trained, metrics={**trained.metrics, "calibration": figures}), settings)
    assert "divided by 1.39, which lowers the cross-entropy on the validation images from 0.0675 to 0.0614" in text
    assert "as trained" in card(replace(trained, metrics={"calibration": {"temperature": 1.0}}), settings)


def test_the_card_names_a_teacher(trained, settings: Config):
    lineage = replace(trained.lineage, teacher="cellsam")
    assert "Distilled from the teacher cellsam;" in card(replace(trained, lineage=lineage), settings)


def test_a_student_of_non_commercial_origin_says_so_in_its_head(trained, settings: Config):
    lineage = replace(trained.lineage, licences=("CC0", "Modified Apache-2.0, Non-Commercial use only"))
    head = card(replace(trained, lineage=lineage), settings).partition("## Use")[0]
    assert "**For non-commercial purposes only" in head
    assert "non-commercial" not in card(trained, settings).lower()


def test_a_card_of_several_channels_speaks_of_a_teacher(trained, settings: Config):
    spec = replace(trained.spec, channels=("nucleus", "membrane"))
    text = card(replace(trained, spec=spec, scheme=None), settings)
    assert "Finds nuclei in the channels nucleus, membrane: a teacher." in text
    assert 'name = "unet"' in text
    assert "python -m compile" not in text


def test_a_student_without_a_phase_for_int8_was_trained_in_float_alone(trained, settings: Config):
    text = card(trained, replace(settings, qat=replace(settings.qat, steps=0)))
    assert "2000 steps in float; seed 0" in text


def test_a_student_that_was_not_scored_says_so(student, settings: Config):
    assert "Not measured." in card(student, settings)


def test_a_student_of_one_output_has_no_objects_row(trained, settings: Config):
    alone = replace(trained, spec=replace(trained.spec, outputs=("foreground",)))
    assert "watershed" not in card(alone, settings)


def test_a_family_that_the_paper_does_not_have_is_not_compared_with_it(trained, settings: Config, spec):
    text = card(replace(trained, spec=spec("plain")), settings)
    assert "the paper" not in text
    assert "the paper quotes 1.5 M" in card(trained, settings)


def test_the_card_says_what_the_weights_began_with(trained, settings: Config):
    begun = replace(settings, student=replace(settings.student, encoder_weights="imagenet"))
    assert "no pretrained weights went in" in card(trained, settings)
    assert "Its encoder began with published weights (imagenet)" in card(trained, begun)
    another = replace(settings, student=replace(settings.student, init_from="nuclei-fast"))
    assert "It began with the weights of another student" in card(trained, another)


def test_the_card_says_what_a_core_is(trained, settings: Config):
    deep = replace(settings, data=replace(settings.data, core="distance"))
    assert "core (the eroded interior of each object)" in card(trained, settings)
    assert "core (how deep inside its object a pixel lies" in card(trained, deep)
