"""A study from beginning to end on tiny fields: in order, resumable, and the same with several workers."""

import json
import multiprocessing
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from distill.studies import flow, job
from distill.studies.flow import study
from distill.studies.plan import plan
from distill.studies.score import VALIDATION
from runtime.errors import EdgescopeError, InputError

pytestmark = pytest.mark.slow


def test_a_study_that_was_interrupted_trains_only_what_is_missing(finished):
    assert finished.before == ["undistilled-s0.json"]
    trained = [event for event in finished.events if not event.startswith("headroom")]
    assert trained == ["undistilled-s1", "teacher-s0", "teacher-s1", "taught-s0", "taught-s1"]


def test_headroom_is_said_before_what_is_distilled(finished):
    place = [event.startswith("headroom: the teacher reaches Dice") for event in finished.events].index(True)
    assert "taught-s0" in finished.events[place:]
    assert "taught-s0" not in finished.events[:place]
    assert "teacher-s1" in finished.events[:place]
    assert "over 2 seeds" in finished.events[place]
    assert "on 3 held-out field(s)" in finished.events[place]
    assert finished.found["headroom"] == finished.events[place]


def test_nothing_but_results_is_left(finished):
    assert {path.name for path in finished.out.iterdir()} == {
        "rows", "teachers", "work", "study.json", "study.md", "study.png",
    }  # fmt: skip
    assert not list((finished.out / "work").iterdir())
    assert {path.stem for path in (finished.out / "rows").iterdir()} == {
        f"{row}-s{seed}" for row in ("undistilled", "paper", "teacher-multiplexed") for seed in (0, 1)
    }


def test_the_table_is_what_the_results_say(finished):
    rows = {line["row"]: line for line in json.loads((finished.out / "study.json").read_text())["rows"]}
    read = {path.stem: json.loads(path.read_text()) for path in (finished.out / "rows").iterdir()}

    def units(name: str, figure: str) -> list[float]:
        return [unit[figure] for unit in read[name]["scores"][VALIDATION]["units"]]

    for figure in ("dice", "boundary_f1"):
        for row in ("undistilled", "paper", "teacher-multiplexed"):
            seeds = [sum(units(f"{row}-s{s}", figure)) / len(units(f"{row}-s{s}", figure)) for s in (0, 1)]
            assert rows[row]["scores"][VALIDATION][figure]["mean"] == pytest.approx(sum(seeds) / 2)
            assert rows[row]["scores"][VALIDATION][figure]["sd"] == pytest.approx(abs(seeds[0] - seeds[1]) / 2**0.5)
        gains = [np.subtract(units(f"paper-s{s}", figure), units(f"undistilled-s{s}", figure)).mean() for s in (0, 1)]
        assert rows["paper"]["scores"][VALIDATION][figure]["gain"] == pytest.approx(sum(gains) / 2)
    assert rows["paper"]["whole_m"] > rows["paper"]["backbone_m"] > 0


def test_frames_are_scored_in_blocks(finished):
    assert finished.found["units"] == {"validation": 3 * 4, "folder": 2 * 4}


def test_data_that_the_teacher_cannot_see_are_scored_for_the_others(finished):
    rows = {line["row"]: set(line["scores"]) for line in finished.found["rows"]}
    assert rows["paper"] == rows["undistilled"] == rows["threshold"] == {"validation", "folder"}
    assert rows["teacher-multiplexed"] == {"validation"}


def test_a_finished_study_trains_nothing(finished, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job, "float_phase", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr(job, "fit", lambda *_: pytest.fail("trained"))
    assert study(finished.config, finished.out) == finished.found


def test_another_row_is_trained_alone(finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trained: list[str] = []

    def stop(config, *_):
        trained.append(config.loss.boundary)
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "float_phase", stop)
    more = replace(finished.config, study=replace(finished.config.study, rows=("undistilled", "boundary", "paper")))
    with pytest.raises(KeyboardInterrupt):
        study(more, finished.out)
    assert trained == ["gradient"]


def test_a_changed_configuration_is_refused_with_the_file(finished):
    longer = replace(finished.config, float=replace(finished.config.float, learning_rate=1e-3))
    with pytest.raises(InputError, match=r"rows/undistilled-s0\.json is of another configuration"):
        study(longer, finished.out)


def test_a_changed_teacher_is_refused_with_its_folder(finished):
    section = replace(finished.config.study.teacher, steps=4)
    other = replace(finished.config, study=replace(finished.config.study, teacher=section))
    with pytest.raises(InputError, match=r"multiplexed/s0/fold0\.json is of another configuration"):
        study(other, finished.out)


def test_two_workers_find_what_one_finds(finished, tmp_path: Path):
    alone = replace(finished.config, study=replace(finished.config.study, rows=("undistilled",)))
    study(alone, tmp_path / "out", workers=2)
    for seed in (0, 1):
        one, two = (
            json.loads((folder / "rows" / f"undistilled-s{seed}.json").read_text())
            for folder in (finished.out, tmp_path / "out")
        )
        assert one.pop("seconds") > 0
        assert two.pop("seconds") > 0
        assert one == two


WORK = """
import os, pathlib, time

def slow(job, study, out):
    (pathlib.Path(out) / job.name).touch()
    time.sleep(60)

def dies(job, study, out):
    os._exit(9)
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What workers can import, and quickly."""
    (tmp_path / "work_of_a_study.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    return import_module("work_of_a_study")


JOBS = (SimpleNamespace(name="one"), SimpleNamespace(name="two"))


def test_an_interruption_ends_the_workers(work: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(waiting):
        while not all((tmp_path / job.name).exists() for job in JOBS):
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(flow, "as_completed", interrupted)
    before = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt):
        flow._run(work.slow, JOBS, None, tmp_path, 2, lambda what: None)
    until = time.monotonic() + 30  # the pool's own thread may be at the moment of collecting one of them
    while not set(multiprocessing.active_children()) <= before and time.monotonic() < until:
        time.sleep(0.01)
    assert set(multiprocessing.active_children()) <= before


def test_a_worker_that_dies_is_told(work: ModuleType, tmp_path: Path):
    with pytest.raises(EdgescopeError, match="fewer --workers"):
        flow._run(work.dies, JOBS, None, tmp_path, 2, lambda what: None)


def test_the_teacher_is_asked_as_the_study_shows_it(finished):
    shown = [one for one in plan(finished.config, finished.out).distilled if flow._as_it_is(one, finished.config)]
    assert len(shown) == 2
    rows = ("blanked", "shuffled", "nuclear-teacher", "paper")
    more = replace(finished.config, study=replace(finished.config.study, rows=rows, seeds=1))
    found = [one.row for one in plan(more, finished.out).distilled if flow._as_it_is(one, more)]
    assert found == ["nuclear-teacher", "paper"]
