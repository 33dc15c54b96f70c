"""What a row of a study changes, and what it leaves alone."""

from dataclasses import replace

import pytest

from distill import teachers
from distill.config.sections import Config, LossSection, TeacherSection
from distill.losses import names_by_role
from distill.studies import rows
from distill.studies.rows import ROWS, StudyRow
from distill.training.objective import Objective, check_teacher_used, terms_of
from runtime.errors import InputError

CONFIG = replace(Config(), teacher=TeacherSection(name="sam", weights="sam.pth"), loss=LossSection(matching="cwd"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_changes_teacher_and_loss_alone(row: StudyRow):
    changed = row.apply(CONFIG)
    assert replace(changed, teacher=CONFIG.teacher, loss=CONFIG.loss) == CONFIG


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_objective_of_a_row_can_be_built_and_hears_its_teacher(row: StudyRow):
    changed = row.apply(CONFIG)
    assert bool(changed.teacher.name) == bool(row.teacher)
    Objective(changed.loss)
    check_teacher_used(changed.teacher.name, terms_of(changed.loss))
    assert bool(changed.loss.matching) == bool(row.teacher)


def test_every_rival_and_every_boundary_loss_has_a_row():
    assert {*names_by_role("matching")} == {row.loss.matching for row in ROWS} - {""}
    assert {*names_by_role("boundary")} == {row.loss.boundary for row in ROWS} - {""}


def test_names_are_told_apart():
    assert len(set(rows.names())) == len(rows.names())
    assert rows.TRIVIAL in rows.names()


def test_a_row_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match=r"Unknown row 'magic' in study\.rows; choose among threshold, undistilled"):
        rows.load("magic")


@pytest.mark.parametrize(("name", "membrane"), [("blanked", "blank"), ("shuffled", "shuffled"), ("paper", "own")])
def test_the_controls_take_the_membrane_away(name: str, membrane: str):
    assert rows.load(name).apply(CONFIG).teacher.membrane == membrane


@pytest.mark.parametrize(
    ("name", "teacher", "rgb", "prompts", "labels"),
    [
        ("nucleus-cell-boxes", "sam", ("nucleus",) * 3, "boxes", "cells"),
        ("nucleus-nuclear-boxes", "sam", ("nucleus",) * 3, "boxes", "nuclei"),
        ("nucleus-nuclear-boxes", "cellsam", ("blank", "nucleus", "blank"), "boxes", "nuclei"),
        ("nucleus-unprompted", "sam", ("nucleus",) * 3, "grid", "cells"),
        ("nucleus-unprompted", "cellsam", ("blank", "nucleus", "blank"), "none", "cells"),
    ],
)
def test_the_controls_of_prompts_show_the_nucleus_alone(name, teacher, rgb, prompts, labels):
    section = rows.load(name).apply(replace(CONFIG, teacher=replace(CONFIG.teacher, name=teacher))).teacher
    options = teachers.options_of(section)
    assert (options.rgb, options.prompts, options.prompt_labels) == (rgb, prompts, labels)
