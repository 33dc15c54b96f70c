"""Reports as files: JSON with a schema version, written atomically.

One that was edited, holds NaN, does not fit its own samples, or is of another schema version is refused by name.
"""

from pathlib import Path
from typing import TypeVar

from benchmarks.report.checks import contradictions, impossible
from benchmarks.report.report import SCHEMA_VERSION, Report, digest
from runtime.errors import InputError
from runtime.records import Record, parse_json
from runtime.system.atomic import write_bytes

R = TypeVar("R", bound=Record)


def read_report(path: Path) -> Report:
    """Read a report; InputError names the file, and the version, field or digest that does not fit."""
    try:
        return _report(parse_json(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        msg = f"There is no report {str(path)!r}; write one with: python -m benchmarks run --out FILE"
        raise InputError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{str(path)!r} is no report: it is not text; give a file written by `benchmarks run --out`."
        raise InputError(msg) from error
    except InputError as error:
        msg = f"{str(path)!r} is no report that this edgescope reads. {error}"
        raise InputError(msg) from error


def _report(value: object) -> Report:
    if not isinstance(value, dict):
        msg = "It holds no object {...}; give a file written by `benchmarks run --out`."
        raise InputError(msg)
    check_version(value, SCHEMA_VERSION)
    report = Report.from_dict(value)
    if report.digest is None or report.digest != digest(report.to_dict()):
        msg = "Its content does not match its digest: it was edited after it was measured; measure again."
        raise InputError(msg)
    if odd := next(impossible(value), None):
        msg = f"Its {odd} is a number that nothing measures: it was not written by a measurement."
        raise InputError(msg)
    if odd := next(contradictions(report.rows, report.data.images), None):
        msg = f"Its figures do not follow from its own samples ({odd}): it was not written by a measurement."
        raise InputError(msg)
    return report


def check_version(value: object, expected: int) -> None:
    """InputError for a JSON value that does not say that it is of this schema version."""
    version = value.get("schema_version") if isinstance(value, dict) else None
    if type(version) is not int or version != expected:
        msg = f"Its schema_version is {version!r}, this edgescope reads {expected}; measure again, or update."
        raise InputError(msg)


def read_record(path: Path, kind: type[R], version: int, name: str) -> R:
    """Read another record of this package; InputError names the file, and the field or version that does not fit.

    name : what the file is not, when it is refused: "no roofline"
    """
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
        check_version(value, version)
        return kind.from_dict(value)
    except (OSError, UnicodeDecodeError, InputError) as error:
        msg = f"{str(path)!r} is {name} that this edgescope reads. {error}"
        raise InputError(msg) from error


def write_report(path: Path, report: Report) -> None:
    """Seal a report and write it as a whole or not at all."""
    write_bytes(path, report.sealed().to_json().encode())
