"""The reports of landed states lie where their README says, and can serve as the old side of a comparison."""

import re
from pathlib import Path

import benchmarks
from benchmarks.report.files import read_report

FOLDER = Path(benchmarks.__file__).parent / "history"
NAME = re.compile(r"\d{4}-\d\d-\d\d-\d+\.\d+\.\d+[a-z0-9.]*(\+[0-9a-f]{7})?\.json")


def test_the_folder_says_how_reports_are_named_and_added():
    assert "--fail-on" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_every_report_is_whole_and_lies_under_its_device_and_day():
    for path in FOLDER.rglob("*.json"):
        report = read_report(path)
        assert path.parent == FOLDER / report.device_id
        assert NAME.fullmatch(path.name), path.name
        assert report.created.startswith(path.name[:10])
        assert report.constrained is None
        assert report.protocol.rounds >= 2
