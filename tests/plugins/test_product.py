"""A plug-in of every kind, each in one file of another distribution: the whole product works with them, and names them.

Nothing of edgescope is edited for it. What the made-up distribution holds is in made_up/.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def frame(work: Path) -> Path:
    """A picture of two discs."""
    rows, cols = np.ogrid[:96, :96]
    grey = np.full((96, 96), 6000, np.uint16)
    for row, col in ((30, 30), (64, 60)):
        grey[(rows - row) ** 2 + (cols - col) ** 2 < 81] = 30000
    path = work / "frame.png"
    Image.fromarray(grey).save(path)
    return path


@pytest.fixture(scope="session")
def report(done, artifact: Path, work: Path) -> Path:
    """What `benchmarks run` measured of it."""
    done("benchmarks", "run", "--artifact", artifact, "--data", "stamps:40", "--repeats", "3", "--rounds", "2",
         "--out", "report.json")  # fmt: skip
    return work / "report.json"


def test_a_target_and_its_option_are_in_the_help(done):
    text = done("compile", "--help")
    assert "workstation" in text
    assert "--case-colour" in text


def test_a_family_and_a_teacher_s_option_are_in_the_schema(done):
    assert "pebble" in done("distill", "students")
    assert "train" in json.loads(done("distill", "schema"))["$defs"]["DataSection"]["properties"]


def test_a_teacher_s_own_option_is_checked(call, work: Path):
    text = (work / "config.toml").read_text().replace("softness = 0.2", "softness = 0.7")
    (work / "soft.toml").write_text(text)
    ended = call("distill", "fit", "soft.toml", "--check")
    assert ended.code == 2
    assert "softness is 0.7; it must be from 0 to under 0.5" in ended.err


def test_a_reader_s_own_refusal_is_told(call):
    ended = call("distill", "evaluate", "nuclei-fast", "--data", "stamps:many")
    assert ended.code == 2
    assert "stamps:many is not stamps:N" in ended.err


def test_a_student_is_trained_with_all_of_them(student: Path):
    card = (student / "CARD.md").read_text()
    assert "oracle" in card
    metrics = json.loads((student / "metrics.json").read_text())
    assert "area_ratio" in json.dumps(metrics)


def test_evaluate_scores_by_every_metric(done, student: Path, work: Path):
    text = done("distill", "evaluate", student, "--data", "stamps:24", "--split", "val", "--json", "evaluate.json")
    assert "area ratio" in text
    assert "area_ratio" in (work / "evaluate.json").read_text()


def test_a_study_has_the_metric_in_its_table(done, work: Path):
    text = done("distill", "study", "config.toml", "--seeds", "1", "--out", "study")
    assert "area_ratio" in (work / "study" / "study.json").read_text()
    assert "area ratio" in text


def test_the_artefact_says_where_it_runs_and_how_good_it_is(artifact: Path, work: Path):
    manifest = json.loads((artifact / "manifest.json").read_text())
    assert (manifest["target"], manifest["backend"]) == ("workstation", "pocket")
    assert "The case is black." in manifest["notes"]
    assert "area_ratio" in json.dumps(manifest["accuracy"])
    card = (artifact / "CARD.md").read_text()
    assert "a made-up workstation under a desk" in card
    assert "area ratio" in card
    assert "steady" in card


def test_it_agrees_with_the_other_targets(done, student: Path, work: Path):
    text = done("compile", "--target", "all", "--student", student, "--validate", "stamps:24", "--out", "all")
    others = [json.loads(path.read_text())["agreement"] for path in (work / "all").glob("*/manifest.json")]
    assert len(others) == 4
    assert sum("workstation" in agreement for agreement in others) == 3
    assert "workstation" in text


def test_auto_times_the_new_backend_itself(done, student: Path):
    text = done("compile", "--target", "workstation", "--student", student, "--precision", "auto",
                "--validate", "stamps:24", "--out", "auto")  # fmt: skip
    assert "workstation" in text
    assert "ms" in text
    assert "not timed" not in text


def test_runtime_commands_know_the_backend(done, artifact: Path, work: Path):
    assert "A pocket is small." in done("runtime", "doctor")
    assert "left front pocket" in done("runtime", "doctor", "--json", "doctor.json")
    text = done("runtime", "info", artifact)
    assert "pocket       yes" in text
    assert "A pocket is small." in text
    assert "turned inside out" in done("runtime", "prewarm", artifact)
    assert "pocket 7 on POCKET" in done("runtime", "verify", artifact)


def test_predict_finds_the_two_discs(done, artifact: Path, frame: Path, work: Path):
    done("runtime", "predict", artifact, frame, "--out", "masks", "--labels", "--objects", "csv", "--json", "p.json")
    assert json.loads((work / "p.json").read_text())["images"][0]["objects"] == 2


LIVE = """
import sys
import numpy as np
from PIL import Image
from runtime import LiveSegmenter
frame = np.asarray(Image.open("frame.png")).astype(np.uint16)
with LiveSegmenter(sys.argv[1], policy="block", max_failures=1) as live:
    for _ in range(6):
        live.submit(frame)
    live.drain(120)
    ran_by = live.backend
    kinds = [type(result).__name__ for result in live.results()] if sys.argv[2:] else []
print(ran_by)
"""


@pytest.mark.parametrize(("breaks", "backend"), [({}, "pocket"), ({"POCKET_BREAKS": "1"}, "onnxruntime")])
def test_live_runs_it_and_falls_back_when_it_breaks(done, artifact: Path, frame: Path, work: Path, breaks, backend):
    (work / "made_up_live.py").write_text(LIVE)
    assert done("made_up_live", artifact, **breaks).split()[-1] == backend


def test_benchmarks_measure_it(report: Path):
    text = report.read_text()
    assert '"pocket"' in text
    assert "area_ratio" in text


def test_compare_shows_the_metric_on_the_terminal_and_on_the_page(done, report: Path, work: Path):
    text = done("benchmarks", "compare", report, "--html", "page.html", "--markdown", "table.md", "--csv", "table.csv")
    assert "workstation" in text
    for name in ("page.html", "table.md", "table.csv"):
        content = (work / name).read_text()
        assert "workstation" in content, name
        assert name == "table.md" or "area ratio" in content.lower(), name  # Markdown has the headline metrics alone


def test_choose_and_the_regression_guard_answer_for_it(done, call, report: Path):
    assert "workstation" in done("benchmarks", "choose", report, "--memory-mb", "4000")
    done("benchmarks", "compare", report, report, "--fail-on", "area_ratio:0.1")
    ended = call("benchmarks", "compare", report, report, "--fail-on", "no_such_metric:0.1")
    assert ended.code == 2
    assert "area_ratio" in ended.err


def test_the_matrix_takes_the_target(done, student: Path, work: Path):
    (work / "matrix.toml").write_text(
        f'students = ["{student}"]\ntargets = ["workstation"]\nprecisions = ["int8"]\ntiles = [96]\nthreads = [1]\n'
        'data = "stamps:6"\nrepeats = 2\nrounds = 1\n'
    )
    text = done("benchmarks", "matrix", "matrix.toml", "--out", "matrix")
    assert "workstation" in text
