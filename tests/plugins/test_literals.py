"""Generic code names no plug-in: no string that is a plug-in's name stands outside the folders of plug-ins."""

import ast
from pathlib import Path

import pytest

from benchmarks.rivals import ours
from compile import targets
from distill import datasets, losses, students, teachers, weightings
from runtime import backend, metrics

ROOT = Path(__file__).parents[2]
PACKAGES = ("runtime", "distill", "compile", "benchmarks")
REGISTRIES = (
    backend.BACKENDS, metrics.METRICS, targets.REGISTRY, students.REGISTRY, teachers.REGISTRY, losses.REGISTRY,
    weightings.REGISTRY, datasets.READERS, ours.RIVALS,
)  # fmt: skip
PLACES = tuple(f"{registry.package.replace('.', '/')}/" for registry in REGISTRIES)
# A place may name what it is about; any other literal is a break.
ALLOWED = {
    "runtime/metrics/__init__.py": "the headline metrics, and functions that have a metric's name in __all__",
    "distill/studies/rows.py": "a row of a study is named after the loss or the weighting that it studies",
    "distill/config/sections.py": "the defaults of a configuration",
    "runtime/images/label_files.py": "a name that people give the folder of their labels",
    "distill/training/phases.py": "a key of the checkpoint: the validation Dice so far",
    "compile/auto.py": "a key of the JSON: the Dice of a step",
    "compile/commands/tables.py": "the same key",
    "compile/accuracy/verify.py": "the version of the library that the reference's probes were made with",
    "benchmarks/camera/camera.py": "a camera that is called synthetic, which is no data reader",
}


def names() -> set[str]:
    return {name for registry in REGISTRIES for name in registry.names()} - {"edgescope"}  # a rival: ourselves


def literals() -> dict[str, set[str]]:
    """Every file outside the places of plug-ins, and the names of plug-ins that are string constants in it."""
    wanted = names()
    result: dict[str, set[str]] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        relative = path.relative_to(ROOT).as_posix()
        if relative.startswith(PLACES):
            continue
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        values = {node.value for node in tree if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        if hits := values & wanted:
            result[relative] = hits
    return result


def test_there_are_plug_ins_to_look_for():
    assert {"intel", "openvino", "unet", "bbbc038", "dice", "kendall", "stardist", "linknet"} <= names()


def test_no_name_of_a_plug_in_stands_outside_its_place():
    assert {path: hits for path, hits in literals().items() if path not in ALLOWED} == {}


@pytest.mark.parametrize("path", ALLOWED)
def test_what_is_allowed_is_still_needed(path: str):
    assert path in literals(), f"{path} names no plug-in any more; take it from ALLOWED"
