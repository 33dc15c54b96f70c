"""`benchmarks compare`: reports of several devices in one table, as text, Markdown, CSV and a page."""

import base64
import csv
import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.host.device import Constraint
from benchmarks.page import page
from benchmarks.report import table
from benchmarks.report.absent import absent
from benchmarks.report.files import write_report
from benchmarks.report.report import Report
from runtime.errors import InputError


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
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_devices_are_a_column_only_where_there_are_several(report: Report, elsewhere: Report):
    assert "device" not in table.cells(table.entries([report]))[0]
    assert "device" in table.cells(table.entries([report, elsewhere]))[0]


def test_what_was_not_measured_is_a_dash(elsewhere: Report):
    head, line = table.cells(table.entries([elsewhere]))
    row = dict(zip(head, line, strict=True))
    assert {row[title] for title in ("Dice", "agreement", "frame p50 ms", "tile p50 ms", "peak MB")} == {"-"}


def test_an_error_is_told_below_the_table(elsewhere: Report):
    assert any("out of order" in note for note in table.notes(table.entries([elsewhere])))


def test_different_images_are_said_not_to_compare(report: Report, elsewhere: Report):
    other = replace(elsewhere, data=replace(report.data, content="1" * 64))
    assert any("do not compare" in note for note in table.notes(table.entries([report, other])))


def test_a_noisy_machine_and_one_that_was_held_back_are_flagged(report: Report):
    held = replace(report, constrained=Constraint("custom", "held back to 1 core", (0,), None))
    noisy = replace(held, device=replace(report.device, warnings=("it is throttled",)))
    notes = table.notes(table.entries([noisy]))
    assert any("it is throttled" in note for note in notes)
    assert any("no figures of the device it resembles" in note for note in notes)
    assert "held back to 1 core" in table.device_of(table.entries([noisy])[0])


def test_the_page_holds_everything_and_fetches_nothing(make_report, elsewhere: Report):
    parsed = Parsed(page.render(table.entries([make_report(pictures=True, sustained=True), elsewhere])))
    assert {address[:5] for address in parsed.addresses} == {"data:"}
    assert "Other <CPU>, 2 cores" in parsed.texts
    for title in ("Accuracy and latency", "Accuracy and memory", "Latency distributions", "Dice, image by image"):
        assert title in parsed.texts
    for title in ("Where the time of a frame goes", "Sustained runs", "Worst images", "Devices", "Notes"):
        assert title in parsed.texts


def test_a_chart_without_values_is_left_out(elsewhere: Report):
    parsed = Parsed(page.render(table.entries([elsewhere])))
    assert "Latency distributions" not in parsed.texts
    assert "Devices" in parsed.texts


def test_what_is_no_png_is_not_shown(make_report):
    report = make_report(pictures=True)
    (row,) = report.rows
    odd = replace(row.quality.worst[0], png="PHN2Zz4=")  # "<svg>"
    assert [page.is_png(picture) for picture in (row.quality.worst[0], odd, replace(odd, png="no base64"))] == [
        True,
        False,
        False,
    ]


HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "' onload='x", "--><b>")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_markup(report: Report, name: str):
    pages = [Parsed(page.render(table.entries([report, _named(report, given)]))) for given in ("plain", name)]
    assert pages[0].tags == pages[1].tags
    assert any(name in text for text in pages[1].texts)


def _named(report: Report, name: str) -> Report:
    row = replace(report.rows[0], name=name, student=name, target=name, precision=name, backend=name, error=name)
    return replace(report, rows=(row,), device=replace(report.device, cpu=name), created=name)


def test_a_policy_lets_the_page_run_its_own_script_alone(report: Report):
    text = page.render(table.entries([report]))
    script = text.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in text
    assert "default-src &#39;none&#39;" in text


def test_devices_that_were_not_measured_have_rows_with_the_command(report: Report):
    missing = absent([report], ["jetson:Jetson Orin Nano", "intel:Some CPU"])
    assert [one.device for one in missing] == ["Jetson Orin Nano"]
    head, *_, line = table.cells(table.entries([report]), missing)
    row = dict(zip(head, line, strict=True))
    assert (row["device"], row["backend"], row["Dice"]) == ("Jetson Orin Nano", "not measured", "-")
    text = "not measured: run this command there: python -m benchmarks run"
    assert text in table.markdown(table.entries([report]), missing)
    assert "Jetson Orin Nano" in page.render(table.entries([report]), missing)


def test_a_machine_that_is_held_back_is_no_measured_device(report: Report):
    held = replace(report, constrained=Constraint("custom", "held back", (0,), None))
    assert absent([held], ["intel:Some CPU"])


@pytest.mark.parametrize("text", ["jetson", ":", "jetson:", ":Orin"])
def test_what_is_no_expected_device_is_refused(report: Report, text: str):
    with pytest.raises(InputError, match="TARGET:DEVICE"):
        absent([report], [text])


def test_names_are_text_in_every_form_of_the_table(report: Report):
    row = replace(report.rows[0], student="=1+1", name="[red]a|b\n\x1b[2J`")
    hostile = replace(report, rows=(row, replace(row, student="<b>|", error="[bold]\x1b[31mno")))
    shown = table.entries([hostile])
    assert "<b>" not in table.markdown(shown)
    assert "\x1b" not in table.markdown(shown) + table.to_csv(shown)
    assert len({line.count(" | ") for line in table.markdown(shown).splitlines() if line.startswith("|")}) == 1
    (first, _) = csv.DictReader(io.StringIO(table.to_csv(shown)))
    assert first["student"] == "'=1+1"


def test_the_terminal_gets_no_control_characters_and_no_markup(bench, report: Report, tmp_path: Path):
    row = replace(report.rows[0], student="[red]a\x1b[2J")
    write_report(tmp_path / "odd.json", replace(report, rows=(row, replace(row, name="other", student="plain"))))
    said = bench("compare", tmp_path / "odd.json")
    assert said.code == 0, said.err
    assert "\x1b" not in said.out
    assert "[red]a" in said.out


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


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text.replace('"peak_mb": 70.0', '"peak_mb": 7.0'), "was edited"),
        (lambda text: text.replace('"peak_mb": 70.0', '"peak_mb": NaN'), "not a finite number"),
        (lambda text: text.replace('"schema_version": 3', '"schema_version": 2'), "schema_version is 2"),
    ],
)
def test_a_report_that_cannot_be_trusted_is_refused_by_name(
    bench, report: Report, tmp_path: Path, damage: Callable[[str], str], said: str
):
    path = tmp_path / "odd.json"
    write_report(path, report)
    path.write_text(damage(path.read_text()))
    ended = bench("compare", path, "--html", tmp_path / "page.html")
    assert ended.code == 2
    assert "odd.json" in ended.err
    assert said in ended.err
    assert not (tmp_path / "page.html").exists()
