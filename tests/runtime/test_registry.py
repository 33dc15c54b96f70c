"""One registry for every kind of plug-in: built-in ones by their folder, others by entry points."""

import sys
from pathlib import Path

import pytest

from runtime.errors import EdgescopeError, InputError
from runtime.registry import Registry


@pytest.fixture
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    """A kind of plug-in with a module, a folder and a private file."""
    folder = tmp_path / "made_up_kind"
    (folder / "in_a_folder").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "in_a_module.py").write_text("THING = 'a module'\n")
    (folder / "in_a_folder" / "__init__.py").write_text("THING = 'a folder'\n")
    (folder / "_private.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Registry("things", "made_up_kind", "THING")
    for name in [name for name in sys.modules if name.startswith("made_up_kind")]:
        del sys.modules[name]


def distribution(folder: Path, name: str, entries: str, **modules: str) -> None:
    """A made-up installed distribution with entry points of the kind `things`."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgescope.things]\n{entries}\n")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)


def test_a_module_and_a_folder_are_plug_ins_and_a_private_file_is_not(kind):
    assert kind.names() == ("in_a_folder", "in_a_module")
    assert kind.load("in_a_module") == "a module"
    assert kind.load("in_a_folder") == "a folder"


def test_listing_the_names_imports_no_plug_in(kind):
    kind.names()
    assert [name for name in sys.modules if name.startswith("made_up_kind.")] == []


def test_another_distribution_adds_one_by_an_entry_point(kind, tmp_path: Path):
    distribution(tmp_path, "theirs", "workstation = their_workstation", their_workstation="THING = 'theirs'\n")
    assert kind.names() == ("in_a_folder", "in_a_module", "workstation")
    assert kind.load("workstation") == "theirs"


def test_an_unknown_name_is_refused_with_all_names(kind):
    with pytest.raises(InputError, match="There is no thing 'none'; choose one of in_a_folder, in_a_module"):
        kind.load("none")


def test_one_that_cannot_be_imported_is_named_with_the_reason(kind, tmp_path: Path):
    distribution(tmp_path, "theirs", "broken = their_broken", their_broken="import there_is_no_such_library\n")
    with pytest.raises(EdgescopeError, match="'broken' cannot be loaded from their_broken: No module named"):
        kind.load("broken")


def test_two_of_one_name_are_refused(kind, tmp_path: Path):
    distribution(tmp_path, "theirs", "in_a_module = their_module", their_module="THING = 'theirs'\n")
    with pytest.raises(InputError, match="'in_a_module' of their_module has the name of another one"):
        kind.names()


def test_a_name_is_known_or_not(kind, tmp_path: Path):
    distribution(tmp_path, "theirs", "workstation = their_workstation", their_workstation="THING = 'theirs'\n")
    assert "in_a_module" in kind and "workstation" in kind
    assert "none" not in kind


def test_a_built_in_one_is_known_without_reading_other_distributions(kind, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.metadata.entry_points", None)
    assert "in_a_module" in kind
    assert kind.load("in_a_module") == "a module"
