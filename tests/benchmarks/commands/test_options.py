"""Tables in a terminal of any width: no figure is cut."""

import re

import pytest

from benchmarks.commands import options
from benchmarks.commands.options import parts, show_table
from benchmarks.page.comparison import compare

HEAD = ["name", "a", "b", "c"]
ROWS = [["x" * 30, "1.25", "22222", "3"], ["y", "4.5", "5", "66"]]


def test_a_table_that_fits_is_one():
    assert [len(part) for part in parts(HEAD, ROWS, 80)] == [4]


def test_a_table_that_does_not_fit_goes_on_below_with_the_rows_numbers():
    first, second = parts(HEAD, ROWS, 36)
    assert [column[0] for column in first] == ["#", "name"]
    assert [column[0] for column in second] == ["#", "a", "b", "c"]
    assert second[0] == ["#", "1", "2"]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_every_figure_of_a_report_is_shown_whole(make_report, capsys, monkeypatch: pytest.MonkeyPatch, width: int):
    monkeypatch.setattr(options, "WIDTH", width)
    head, *lines = compare([make_report({"name": "nuclei-accurate-microscope-int8"}, {"name": "b-intel-fp32"})]).cells()
    show_table(head, lines)
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    words = set(re.split(r"\s{2,}|\n", shown))
    assert {cell for line in lines for cell in line if re.fullmatch(r"[\d.]+x?", cell)} <= words


def test_what_was_sustained_and_that_energy_was_not_measured_is_told(make_report):
    notes = " ".join(compare([make_report(sustained=True)]).notes())
    assert re.search(r"frames/s sustained over 2 min, drift \+9.0 % over the run", notes)
    assert "energy was not measured" in notes


def test_faster_is_shown_only_where_it_refers_to_one_row(make_report):
    one, other = make_report({"name": "a-intel-int8"}), make_report({"name": "b-intel-int8"}, seed=1)
    assert "faster" in compare([one]).cells()[0]
    assert "faster" not in compare([one, other]).cells()[0]
