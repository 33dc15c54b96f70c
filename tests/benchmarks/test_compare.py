"""`benchmarks compare`: reports of several devices in one table, as text, Markdown, CSV and a page."""

import csv
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks import page, table
from benchmarks.report import Report, write_report


@pytest.fixture
def elsewhere(report: Report) -> Report:
    """The same run on another device, where it failed."""
    (row,) = report.rows
    failed = replace(row, timing=None, memory=None, agreement=None, error="out of order")
    return replace(report, device=replace(report.device, cpu="Other <CPU>"), rows=(failed,))


class Parsed(HTMLParser):
    """Collects what a page says and what it fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.addresses: list[str | None] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def test_devices_are_a_column_only_where_there_are_several(report: Report, elsewhere: Report):
    assert "device" not in table.cells(table.entries([report]))[0]
    assert "device" in table.cells(table.entries([report, elsewhere]))[0]


def test_what_was_not_measured_is_a_dash(elsewhere: Report):
    head, line = table.cells(table.entries([elsewhere]))
    row = dict(zip(head, line, strict=True))
    assert {row[title] for title in ("Dice", "agreement", "p50 ms", "p95 ms", "peak MB")} == {"-"}


def test_an_error_is_told_below_the_table(elsewhere: Report):
    assert any("out of order" in note for note in table.notes(table.entries([elsewhere])))


def test_different_images_are_said_not_to_compare(report: Report, elsewhere: Report):
    other = replace(elsewhere, data=replace(report.data, spec="bbbc038:x"))
    assert any("do not compare" in note for note in table.notes(table.entries([report, other])))


def test_the_page_holds_everything_and_fetches_nothing(report: Report, elsewhere: Report):
    parsed = Parsed(page.render(table.entries([report, elsewhere])))
    assert parsed.addresses == []
    assert "Other <CPU>" in parsed.texts
    assert "20.5 ms, p95 38.0" in " ".join(parsed.texts)


def test_all_forms_are_written(bench, report: Report, elsewhere: Report, tmp_path: Path):
    write_report(tmp_path / "here.json", report)
    write_report(tmp_path / "there.json", elsewhere)
    forms = {option: tmp_path / f"table.{option}" for option in ("html", "markdown", "csv", "json")}
    options = [part for option, path in forms.items() for part in (f"--{option}", path)]
    said = bench("compare", tmp_path / "here.json", tmp_path / "there.json", *options)
    assert said.code == 0, said.err
    assert all(path.stat().st_size for path in forms.values())
    lines = list(csv.DictReader(forms["csv"].read_text().splitlines()))
    assert [line["device"] for line in lines] == ["Some CPU, 2 cores", "Other <CPU>, 2 cores"]


def test_one_bad_report_stops_the_comparison(bench, report: Report, tmp_path: Path):
    write_report(tmp_path / "good.json", report)
    (tmp_path / "bad.json").write_text('{"schema_version": 9}')
    said = bench("compare", tmp_path / "good.json", tmp_path / "bad.json", "--html", tmp_path / "page.html")
    assert said.code == 2
    assert "bad.json" in said.err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("arguments", [(), ("/no/such/report.json",)])
def test_nothing_to_compare_is_a_wrong_call(bench, arguments: tuple[str, ...]):
    assert bench("compare", *arguments).code == 2
