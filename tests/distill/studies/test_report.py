"""What a study leaves for people: every figure of the JSON, once, in Markdown, in the terminal and in a picture."""

import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from distill.studies import report
from distill.studies.figure import COLOUR, draw, kind_of
from distill.studies.report import cells, head, markdown, other_cells, others, others_head, rows_of, table


def figure(mean: float, gain: float | None = None, seeds: tuple[float, ...] = ()) -> dict[str, object]:
    spread = 0.0123 if len(seeds) > 1 else None
    around = None if gain is None else [gain - 0.01, gain + 0.01]
    return {"mean": mean, "sd": spread, "by_seed": list(seeds or (mean,)), "gain": gain, "interval": around}


def line(row: str, kind: str = "student", labelled: float = 1.0, **changes: object) -> dict[str, object]:
    scores = {"dice": figure(0.8123, seeds=(0.80, 0.8246)), "boundary_f1": figure(0.4321, seeds=(0.43, 0.4342))}
    size = {"backbone_m": 0.93, "whole_m": 1.42, "paper_backbone_m": 5.4, "gmac": 0.49}
    base = {"row": row, "title": f"the row {row}", "kind": kind, "family": "mobilenetv3", "labelled": labelled}
    base |= {"seeds": 2, "radius": None, "recovery": 0.987, **size, "scores": {"validation": scores, "folder": scores}}
    return base | changes


@pytest.fixture
def found() -> dict[str, object]:
    taught = {"dice": figure(0.85, 0.0377), "boundary_f1": figure(0.5, -0.0021)}
    nothing = {"recovery": None, "backbone_m": None, "whole_m": None, "gmac": None}
    rows = [
        line("threshold", "trivial", radius=4, **nothing),
        line("undistilled"),
        line("paper", scores={"validation": taught, "folder": taught}),
        line("undistilled-25", labelled=0.25),
        line("paper-25", labelled=0.25, scores={"validation": taught, "folder": taught}),
        line("teacher-multiplexed", "teacher", **nothing),
    ]
    del rows[-1]["scores"]["folder"]  # it has nothing to say about images of the nucleus alone
    return {
        "schema_version": 1, "title": "Tissue | test", "seeds": 2, "steps": 100, "labels": "cells", "block": 32,
        "units": {"validation": 16, "folder": 2}, "headroom": "headroom: the teacher is better", "rows": rows,
        "metrics": {"dice": "Dice", "boundary_f1": "boundary F1"},
    }  # fmt: skip


def test_each_row_is_one_line_of_markdown(found):
    for data, count in (("validation", 6), ("folder", 5)):
        for made in (table(found, data), others(found, data)):
            lines = made.splitlines()
            assert len(lines) == 2 + count
            assert len({text.count(" | ") for text in lines}) == 1


def test_figures_are_those_of_the_json(found):
    row = found["rows"][2]
    assert cells(found, row) == ("the row paper", "0.8500", "+3.77 (+2.77 to +4.77)", "98.7 %", "1.42 (0.93)", "0.49")
    assert other_cells(found, row) == ("the row paper", "0.5000", "-0.21 (-1.21 to +0.79)")
    assert cells(found, found["rows"][1])[1] == "0.8123 +- 0.0123"
    assert (head(found)[1], others_head(found)[1]) == ("Dice", "boundary F1")


def test_a_gain_of_too_few_units_has_no_interval(found):
    found["rows"][2]["scores"]["validation"]["dice"]["interval"] = None
    assert cells(found, found["rows"][2])[2] == "+3.77"


def test_where_there_is_nothing_to_say_there_is_a_dash(found):
    assert cells(found, found["rows"][0])[2:] == ("-", "-", "-", "-")
    assert other_cells(found, found["rows"][0])[2:] == ("-",)
    assert cells(found, found["rows"][0])[0] == "the row threshold, 4 px"


def test_the_markdown_says_how_it_was_done(found):
    text = markdown(found)
    assert text.startswith("# Tissue | test\n")
    assert "**Headroom.** The teacher is better." in text
    assert "blocks of about 32 px a side: 16 of validation, 2 of folder" in text
    assert "2 seeds a row, 100 steps each" in text
    assert "## Validation data" in text
    assert "## Folder data" in text
    assert "(study.png)" in text
    assert text.count("the row paper |") == 4


def test_without_headroom_nothing_is_said_of_it(found):
    assert "Headroom" not in markdown(found | {"headroom": None})


def test_the_terminal_shows_the_names_of_the_configuration(found):
    rows = rows_of(found)
    assert [row[0] for row in rows] == [
        "threshold, 4 px", "undistilled", "paper", "undistilled-25", "paper-25", "teacher-multiplexed",
    ]  # fmt: skip
    assert all(len(row) == len(head(found)) for row in rows)
    assert all(len(row) == len(others_head(found)) for row in rows_of(found, other=True))


def test_three_files_are_written(found, tmp_path: Path):
    report.write(found, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"study.json", "study.md", "study.png"}
    assert json.loads((tmp_path / "study.json").read_text()) == found


@pytest.mark.parametrize("shares", [True, False])
def test_the_figure_is_a_picture_that_a_page_holds(found, shares: bool):
    if not shares:
        found["rows"] = [row for row in found["rows"] if row["labelled"] == 1]
    with Image.open(io.BytesIO(draw(found))) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1155
        assert (picture.height > 500) == shares


def test_the_same_study_makes_the_same_picture(found):
    assert draw(found) == draw(found)


@pytest.mark.parametrize(
    ("row", "kind", "colour"),
    [
        ("threshold", "trivial", "trivial"),
        ("undistilled", "student", "undistilled"),
        ("efficientnet_b0-undistilled", "student", "undistilled"),
        ("undistilled-25", "student", "undistilled"),
        ("boundary", "student", "undistilled"),
        ("paper", "student", "distilled"),
        ("hinton-25", "student", "distilled"),
        ("teacher-multiplexed", "teacher", "teacher"),
    ],
)
def test_what_was_taught_is_told_by_colour(row: str, kind: str, colour: str):
    assert kind_of({"row": row, "kind": kind}) == colour
    assert re.fullmatch("#[0-9A-F]{6}", COLOUR[colour])
