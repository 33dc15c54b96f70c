"""The made-up distribution, installed for this session: its folder on the path, with the metadata that pip writes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = """
[edgescope.targets]
workstation = made_up_plugins.workstation
[edgescope.backends]
pocket = made_up_plugins.pocket
[edgescope.students]
pebble = made_up_plugins.pebble
[edgescope.teachers]
oracle = made_up_plugins.oracle
[edgescope.data_readers]
stamps = made_up_plugins.stamps
[edgescope.losses]
wobble = made_up_plugins.wobble
[edgescope.metrics]
area_ratio = made_up_plugins.area_ratio
"""
CONFIG = """
[student]
name = "pebbles"
family = "pebble"
[data]
train = ["stamps:24"]
validation = ["stamps:24"]
crop = 64
[teacher]
name = "oracle"
store = "soft.zarr"
options = {softness = 0.2}
[loss]
supervised = "wobble"
supervised_options = {strength = 2.0}
matching = "mse"
[float]
steps = 120
batch = 4
learning_rate = 1e-2
precision = "32-true"
[qat]
steps = 40
batch = 4
[trainer]
interval = 20
threads = 1
[study]
rows = ["undistilled", "matching"]
seeds = 1
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration that names made-up plug-ins alone."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "config.toml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="session")
def call(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ended]:
    """call("compile", "--target", ...) -> how `python -m compile ...` ended, where the made-up distribution is."""
    info = tmp_path_factory.mktemp("site") / "made_up_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    path = [str(ROOT), str(Path(__file__).parent / "made_up"), str(info.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "COLUMNS": "200"}

    def run(package: str, *arguments: object, **extra: str) -> Ended:
        command = [sys.executable, "-m", package, *map(str, arguments)]
        ended = subprocess.run(command, cwd=work, env=environment | extra, capture_output=True, text=True, timeout=600)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture(scope="session")
def done(call: Callable[..., Ended]) -> Callable[..., str]:
    """The same for a command that must succeed: what it printed."""

    def run(*arguments: object, **extra: str) -> str:
        ended = call(*arguments, **extra)
        assert ended.code == 0, ended.err
        return ended.out

    return run


@pytest.fixture(scope="session")
def student(done: Callable[..., str], work: Path) -> Path:
    """Trained by `fit` with the made-up family, teacher, reader and loss."""
    done("distill", "label", "config.toml")
    done("distill", "fit", "config.toml", "--out", "pebbles")
    return work / "pebbles"


@pytest.fixture(scope="session")
def artifact(done: Callable[..., str], student: Path, work: Path) -> Path:
    """The student compiled for the made-up target, in int8."""
    done("compile", "--target", "workstation", "--student", student, "--case-colour", "black",
         "--validate", "stamps:24", "--out", "artifacts", "--json", "compile.json")  # fmt: skip
    return work / "artifacts" / "pebbles-workstation-int8"
