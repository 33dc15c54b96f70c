"""Extras: what is missing is said with a line that works for the distribution that is installed."""

from __future__ import annotations

import pytest

from runtime import EdgescopeError
from runtime.system import extras


def test_an_installed_module_is_imported():
    assert extras.load("numpy.linalg", extra="io").__name__ == "numpy.linalg"


@pytest.mark.parametrize("module", ["not_there", "not_there.inside", "numpy.not_there"])
def test_a_missing_module_is_an_error_with_its_extra(module: str):
    assert not extras.available(module)
    with pytest.raises(EdgescopeError, match=r"is not installed; run: pip install \".*\[io\]\""):
        extras.load(module, extra="io")


def test_a_module_that_this_python_is_too_old_for_is_not_told_to_be_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(extras.NEEDS, "not_there", (4, 0))
    with pytest.raises(EdgescopeError, match=r"^not_there needs Python 4\.0 or later, and this is \d+\.\d+\.\d+\.$"):
        extras.load("not_there.inside", extra="io")


def test_all_that_is_missing_is_one_message_with_one_line():
    extras.require(("numpy", "io"))
    with pytest.raises(EdgescopeError) as raised:
        extras.require(("numpy", "a"), ("not_there.inside", "io"), ("nor_this", "io"), besides=[("engine", "openvino")])
    assert str(raised.value) == "Not installed: engine, not_there, nor_this; run: " + extras.install("openvino,io")


def test_versions_are_those_of_distributions():
    assert extras.version("numpy")[0].isdigit()
    assert extras.version("not-there") == "unknown version"


@pytest.mark.parametrize(
    ("installed", "name"),
    [({"edgescope"}, "edgescope"), ({"edgescope-runtime"}, "edgescope-runtime"), (set(), "edgescope")],
)
def test_the_line_names_the_distribution_that_is_installed(
    installed: set[str], name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(extras, "version", lambda wanted: "1" if wanted in installed else extras.UNKNOWN)
    assert extras.install("io") == f'pip install "{name}[io]"'
