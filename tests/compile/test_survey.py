"""The table of every student, target and precision: what is measured, and what is refused and why."""

import json

import pytest

from compile import build as flow
from compile import survey, targets
from compile.survey import COLUMNS, Clock, Row, app
from runtime import command_line
from runtime.errors import InputError


@pytest.fixture
def quick(make_graph, monkeypatch):
    """Floats alone, whose graphs are at hand already."""
    monkeypatch.setattr(flow, "export", lambda student, tile, precision: make_graph("mobilenetv3", precision))
    monkeypatch.setattr(survey, "PRECISIONS", ("fp32",))


@pytest.mark.slow
def test_a_row_for_every_target_is_what_was_built(quick, make_student):
    rows = list(survey.survey(make_student("mobilenetv3")))
    assert [(row.target, row.precision) for row in rows] == [(name, "fp32") for name in targets.names()]
    assert all(row.refused is None and row.seconds > 0 and row.megabytes > 0 and row.int8 == 0 for row in rows)
    assert all(row.agreement > 0.99 and row.others > 0.99 for row in rows)


@pytest.mark.slow
def test_what_one_target_refuses_does_not_keep_the_others_from_being_built(quick, make_student, monkeypatch):
    from compile.targets.jetson import Jetson

    monkeypatch.setattr(Jetson, "refuses", lambda self, graph: "it is an abacus")
    rows = {row.target: row for row in survey.survey(make_student("mobilenetv3"))}
    assert "it is an abacus" in rows["jetson"].refused
    assert rows["jetson"].dice is None
    assert rows["intel"].dice is not None


@pytest.mark.slow
def test_the_command_writes_the_table_and_the_rows(quick, student_folder, tmp_path, capsys):
    out, rows = tmp_path / "table.md", tmp_path / "rows.json"
    call = ["--student", str(student_folder), "--out", str(out), "--json", str(rows)]
    assert command_line.run(lambda: app, "compile.survey", "compile", call) == 0
    table = out.read_text()
    assert capsys.readouterr().out.strip().endswith(table.strip())
    assert f"By `python -m compile.survey --student {student_folder}`." in table
    assert "\nMeasured on " in table
    assert table.count("| tiny-mobilenetv3 |") == len(targets.names()) == len(json.loads(rows.read_text()))


def test_a_refused_row_has_dashes_and_its_reason_below():
    table = survey.to_markdown([Row("s", "jetson", "int8", refused="no such operator")], ["s"], None)
    assert "| s | jetson | int8, refused |" + " - |" * (len(COLUMNS) - 3) in table
    assert table.endswith("- s, jetson, int8: no such operator\n")


def test_the_clock_knows_a_step_that_has_ended():
    clock = Clock()
    clock("one")
    clock("two")
    assert clock.seconds("one") >= 0
    with pytest.raises(KeyError, match="two"):
        clock.seconds("two")


def test_an_unknown_student_is_wrong_input():
    with pytest.raises(InputError, match="nobody"):
        app(args=["--student", "nobody"], standalone_mode=False)
