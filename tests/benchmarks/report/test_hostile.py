"""What a report from elsewhere may hold: refused, or shown as text and as numbers, in every form of the table."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.page.comparison import compare
from benchmarks.report import table
from benchmarks.report.files import read_report, write_report
from benchmarks.report.report import digest
from runtime.errors import InputError

FORMULAS = (
    '=HYPERLINK("http://x")',
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    " =1+1",
    "\uff1d1+1",
    "-cmd|' /C calc'!A0",
    "=1\n=2",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text_in_a_spreadsheet(make_report, text: str):
    report = make_report({"name": "tiny-intel-int8"})
    row = replace(report.rows[0], name=text, student=text, target=text, backend=text)
    other = replace(report, rows=(row, replace(row, student="other")), label=text)
    for line in csv.reader(io.StringIO(table.to_csv(table.entries([other])))):
        assert not any(cell.lstrip()[:1] in tuple("=+@\uff1d") or cell.startswith("-") for cell in line)


def test_numbers_are_in_cells_of_their_own(make_report):
    report = make_report({"name": "a-intel-int8"}, {"name": "b-intel-int8", "dice": None})
    one, other = csv.DictReader(io.StringIO(table.to_csv(table.entries([report]))))
    assert float(one["faster"]) == 1.0
    assert float(one["Dice 95 % from"]) < float(one["Dice"]) < float(one["Dice 95 % to"])
    assert float(one["frame p50 ms"]) == pytest.approx(report.rows[0].timing.frame_ms.p50)
    assert other["Dice"] == other["Dice 95 % to"] == ""


def test_a_negative_number_stays_a_number():
    assert [table.harmless(text) for text in ("-1.5", "-", "-1+2", "+3", "--1")] == [
        "-1.5",
        "'-",
        "'-1+2",
        "+3",
        "'--1",
    ]


def test_a_csv_of_a_device_that_was_not_measured_has_as_many_cells(make_report):
    comparison = compare([make_report()], ["jetson:Jetson Orin Nano"])
    lines = list(csv.reader(io.StringIO(comparison.to_csv())))
    assert len({len(line) for line in lines}) == 1
    assert "Jetson Orin Nano" in lines[-1] or "jetson" in lines[-1]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("rows", 0, "size_bytes"), 10**18, r"rows\[0\]\.size_bytes"),
        (("rows", 0, "memory", "peak_mb"), -5.0, r"rows\[0\]\.memory\.peak_mb"),
        (("rows", 0, "memory", "peak_mb"), 1e300, r"rows\[0\]\.memory\.peak_mb"),
        (("device", "memory_mb"), 10**17, r"device\.memory_mb"),
    ],
)
def test_numbers_that_nothing_measures_are_refused(make_report, tmp_path: Path, path, value, named: str):
    write_report(tmp_path / "r.json", make_report())
    content = json.loads((tmp_path / "r.json").read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    content["digest"] = digest(content)
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=named):
        read_report(tmp_path / "r.json")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "1e999"])
def test_what_is_no_number_is_refused(make_report, tmp_path: Path, word: str):
    write_report(tmp_path / "r.json", make_report())
    text = (tmp_path / "r.json").read_text().replace('"speedup": 1.0', f'"speedup": {word}')
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError):
        read_report(tmp_path / "r.json")


def test_huge_figures_are_short_and_break_no_page(make_report):
    report = make_report({"name": "a-intel-int8", "ms": 3e12, "mb": 4e14, "size_mb": 9e8}, {"name": "b-intel-int8"})
    comparison = compare([report])
    assert max(len(cell) for line in comparison.cells() for cell in line) < 60
    assert "nan" not in comparison.to_html().replace("nanometre", "").split("<main>")[1].lower()


def test_the_page_gives_its_csv_as_a_file_of_its_own(make_report):
    page = compare([make_report()]).to_html()
    assert 'download="edgescope.csv" href="data:text/csv;charset=utf-8,%EF%BB%BF' in page
