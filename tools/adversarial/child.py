"""The process that makes the tries of a kind, one for each number that it is asked for."""

import ctypes
import json
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic, process_time
from typing import Any

from runtime.errors import EdgescopeError
from runtime.system.child import quiet_output
from tools.adversarial import clock
from tools.adversarial.bench import (
    FINE,
    IMPOSSIBLE,
    INTERNAL,
    LEFT,
    REFUSED,
    Answer,
    Impossible,
    Killed,
    Kind,
    Leftover,
    Setup,
    dice_of,
)

END_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """In the child: prepare, and make the try of each number that is asked for."""
    name, seed, place = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)  # a try that never ends would outlive the bench
    say = quiet_output()
    from tools.adversarial.kinds import KINDS  # what they import may print

    kind = KINDS[name]
    attempt = kind.prepare(Setup.of(json.loads(sys.stdin.readline())))
    say({"ready": True})
    for line in sys.stdin:
        number = json.loads(line)["number"]
        say(one(kind, partial(attempt, dice_of(name, seed, number)), place, number))


def one(kind: Kind, attempt: Callable[[Path, int], "str | Killed"], place: Path, number: int) -> dict[str, Any]:
    """One try: the fields of its Answer."""
    folder = place / "try"
    folder.mkdir()
    seconds_now = process_time if kind.judges_memory else monotonic  # other processes compute where commands run
    before, start, kills, detail = _memory("VmRSS"), seconds_now(), 0, ""
    _forget_peak()
    try:
        outcome = attempt(folder, number)
        if isinstance(outcome, Killed):
            outcome, kills = outcome
    except Leftover as error:
        outcome, detail = LEFT, str(error)
    except Impossible as error:
        outcome, detail = IMPOSSIBLE, str(error)
    except EdgescopeError as error:
        outcome, detail = REFUSED if kind.may_refuse else INTERNAL, f"{type(error).__name__}: {error}"
    except Exception as error:
        last = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)][-4:]
        outcome, detail = INTERNAL, f"{type(error).__name__}: {error} ({' '.join(last)})"
    if kind.clock:
        clock.set_right()
    peak, seconds = max(0, _memory("VmHWM") - before), seconds_now() - start
    if outcome in FINE and (left := _files(place / "tmp")):
        outcome, detail = LEFT, f"in TMPDIR: {', '.join(left)}"
    for path in (folder, *(place / "tmp").iterdir()):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    short = detail if len(detail) < 800 else f"{detail[:200]} ... {detail[-500:]}"  # a traceback says most at its end
    return Answer(outcome, short, seconds, peak, kills)._asdict()


def _files(folder: Path) -> list[str]:
    """Libraries leave empty folders for temporary files, such as torch's; nobody can undo that for them."""
    return [path.name for path in folder.rglob("*") if not path.is_dir()]


def _memory(name: str) -> int:
    for line in _status():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    return 0


def _status() -> Iterator[str]:
    try:
        yield from Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
