"""The published schema is the one of the dataclasses, and says of a report what our own reader says."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from benchmarks.report import schema
from benchmarks.report.report import Report

PUBLISHED = Path(schema.__file__).with_name("report.schema.json")


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(PUBLISHED.read_text()))


def test_the_published_schema_is_current():
    assert PUBLISHED.read_text() == schema.text()
    Draft202012Validator.check_schema(schema.report_schema())


def test_a_report_fits_the_schema(report: Report, validator: Draft202012Validator):
    assert validator.is_valid(report.to_dict())


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 1},
        {"digest": None},
        {"rows": [{}]},
        {"surprise": 1},
        {"created": 5},
        {"noise": {"before": 1}},
    ],
)
def test_what_our_reader_refuses_does_not_fit(report: Report, validator: Draft202012Validator, change: dict):
    assert not validator.is_valid({**report.to_dict(), **change})
