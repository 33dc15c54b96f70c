"""Taking turns at one place; that one process has it alone is tested with runtime.bulk, too."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runtime import EdgescopeError, InputError
from runtime.system.lock import in_turn, only_run

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import pathlib, sys
from runtime.system.lock import only_run
with only_run(pathlib.Path(sys.argv[1])):
    print("taken", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that has the place until it is sent a line."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "place")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        yield process
        process.kill()


def test_who_waits_has_it_when_the_other_is_done(tmp_path: Path, holder: subprocess.Popen[str]):
    waited: list[float] = []

    def waiting(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            holder.communicate("done\n")

    with in_turn(tmp_path / "place", waiting, 60), pytest.raises(EdgescopeError), only_run(tmp_path / "place"):
        pass
    assert len(waited) >= 2
    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]):
    with in_turn(tmp_path / "place", lambda seconds: holder.kill(), 60):
        pass


def test_one_that_takes_too_long_is_an_error(tmp_path: Path, holder: subprocess.Popen[str]):
    with (
        pytest.raises(EdgescopeError, match="Another process has been making"),
        in_turn(tmp_path / "place", lambda seconds: None, 0.1),
    ):
        pass


def test_without_another_nobody_waits(tmp_path: Path):
    with in_turn(tmp_path / "place", lambda seconds: pytest.fail("waited"), 0):
        pass


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_in_the_lock_s_place_is_refused_and_not_followed(tmp_path: Path, exists: bool):
    victim = tmp_path / "victim"
    if exists:
        victim.write_text("kept")
    (tmp_path / ".place.lock").symlink_to(victim)
    with pytest.raises(InputError, match="is a link"), only_run(tmp_path / "place"):
        pass
    assert (victim.read_text() == "kept") if exists else not victim.exists()
    assert (tmp_path / ".place.lock").is_symlink()
