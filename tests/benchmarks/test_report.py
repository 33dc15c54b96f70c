"""Reports are read back as they were written, and everything else is refused by name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.latency import summarize
from benchmarks.report import Report, read_report, write_report
from runtime.errors import InputError


def test_a_report_survives_the_disk(report: Report, tmp_path: Path):
    write_report(tmp_path / "report.json", report)
    assert read_report(tmp_path / "report.json") == report


@given(st.lists(st.floats(1e-3, 1e5), min_size=1), st.floats(0, 1), st.text(max_size=20))
def test_any_figures_survive_json(report: Report, samples: list[float], dice: float, error: str):
    (row,) = report.rows
    rounds = (replace(row.timing.rounds[0], tile_ms=tuple(samples)),)
    timing = replace(row.timing, tile_ms=summarize(samples), rounds=rounds)
    row = replace(row, timing=timing, agreement=replace(row.agreement, mask_dice=dice), error=error)
    report = replace(report, rows=(row,))
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version_is_refused_by_name(report: Report, tmp_path: Path, version: object):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**report.to_dict(), "schema_version": version}))
    with pytest.raises(InputError, match=r"old\.json.*schema_version is"):
        read_report(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"schema_version": 1}', "\x00"])
def test_what_is_no_report_is_refused_by_name(tmp_path: Path, text: str):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"odd\.json"):
        read_report(path)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.mktemp("reports") / "noise.json"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_report(path)


def test_an_unknown_field_is_named(report: Report, tmp_path: Path):
    value = report.to_dict()
    value["rows"][0]["surprise"] = 1
    path = tmp_path / "new.json"
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"rows\[0\]\.surprise"):
        read_report(path)
