"""Tries of a kind, in child processes that are replaced when one of them ends, hangs or takes too much memory."""

import json
import os
import resource
import select
import shutil
import subprocess
import sys
import threading
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from runtime.errors import EdgescopeError
from runtime.system.child import name_signal, quiet_output
from runtime.system.programs import ROOT, environment

REFUSED, EQUAL, DIFFERENT = "refused", "equal", "different"  # what an attempt may return
INTERNAL, CRASH, HANG, MEMORY, LEFT = "internal", "crash", "hang", "memory", "left over"
OUTCOMES = (REFUSED, EQUAL, DIFFERENT, INTERNAL, CRASH, HANG, MEMORY, LEFT)
IMAGE_BYTES = 128 << 20  # EDGESCOPE_MAX_MEMORY of the children
BUDGET_BYTES = 4 * IMAGE_BYTES  # that one try may add: the planes, what is decoded on the way, and results
PREPARE_S = 600.0
BLOCKED = 6  # times the limit that a try may wait without computing, on a busy machine
LOOK_S = 0.05

Attempt = Callable[[Generator, Path, int], str]


class Leftover(Exception):
    """Something is there that should not be."""


class Wrong(Exception):
    """What a try showed is wrong, although nothing was thrown."""


class Setup(NamedTuple):
    """folder : of the bench; artifacts : to spoil; shared : the folder of real images, where there is one"""

    folder: Path
    artifacts: tuple[Path, ...]
    shared: Path | None

    @property
    def own(self) -> Path:
        """A folder for what this child needs in all of its tries."""
        place = self.folder / f"whole-{os.getpid()}"
        place.mkdir(exist_ok=True)
        return place

    def to_json(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "artifacts": [*map(str, self.artifacts)], "shared": str(self.shared or "")}

    @classmethod
    def of(cls, value: dict[str, Any]) -> "Setup":
        shared = Path(value["shared"]) if value["shared"] else None
        return cls(Path(value["folder"]), tuple(map(Path, value["artifacts"])), shared)


@dataclass(frozen=True)
class Kind:
    """One sort of tries.

    prepare : called once in each child; returns attempt(dice, folder, number) -> REFUSED, EQUAL or DIFFERENT, which
        may raise EdgescopeError (refused), Leftover, and whatever else (internal). The folder is for this try alone
    share : of the tries that were asked for, as some kinds cost more than others; most : as many as there are
    limit_s : of processor time a try; may_differ : what has no checksum may be read as something else
    may_refuse : an EdgescopeError is a refusal, and no fault
    """

    name: str
    about: str
    prepare: Callable[[Setup], Attempt]
    share: float = 1.0
    most: int | None = None
    limit_s: float = 5.0
    may_differ: bool = False
    may_refuse: bool = True

    def tries(self, asked: int) -> int:
        """Of the number that was asked for."""
        return min(max(1, round(asked * self.share)), self.most or asked)


@dataclass
class Row:
    """What came of one kind. faults : number of a try to what happened"""

    kind: Kind
    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    slowest_s: float = 0.0
    peak_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, number: int, outcome: str, detail: str, seconds: float, peak: int) -> None:
        with self.lock:
            if peak > BUDGET_BYTES and outcome in (REFUSED, EQUAL, DIFFERENT):
                outcome, detail = MEMORY, f"{peak >> 20} MiB; {detail}"
            self.counts[outcome] += 1
            self.slowest_s, self.peak_bytes = max(self.slowest_s, seconds), max(self.peak_bytes, peak)
            if outcome not in (REFUSED, EQUAL, *((DIFFERENT,) if self.kind.may_differ else ())):
                self.faults[number] = f"{outcome}: {detail}"

    def cells(self) -> list[str]:
        """Of the table: kind, tries, a count for each of OUTCOMES, seconds of the slowest try."""
        counts = [str(self.counts[outcome]) for outcome in OUTCOMES]
        return [self.kind.name, str(self.counts.total()), *counts, f"{self.slowest_s:.1f}"]


def dice_of(kind: str, seed: int, number: int) -> Generator:
    """The generator of one try."""
    return np.random.default_rng([zlib.crc32(kind.encode()), seed, number])


def lay_out(folder: Path, files: Mapping[str, bytes], source: Path, originals: Mapping[str, bytes]) -> None:
    """Files in a new folder; those that are as they were in `source` are linked where that can be, which is quick."""
    folder.mkdir()
    for name, data in files.items():
        if data is originals.get(name):
            try:
                os.link(source / name, folder / name)
                continue
            except OSError:  # on another disk
                pass
        (folder / name).write_bytes(data)


def run(kind: Kind, seed: int, numbers: Iterable[int], setup: Setup, jobs: int, until: float) -> Row:
    """Make the tries of a kind, in so many children at a time, until `until` of time.monotonic()."""
    row, start = Row(kind), monotonic()
    waiting, lock = iter(numbers), threading.Lock()

    def work() -> None:
        child: _Child | None = None
        while monotonic() < until:
            with lock:
                number = next(waiting, None)
            if number is None:
                break
            child = child or _Child(kind, seed, setup)
            answer = child.ask(number)
            row.add(number, *answer)
            if child.gone:
                child = None
        if child is not None:
            child.end()

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row.seconds = monotonic() - start
    return row


class _Child:
    """A process that makes tries, and is ended when it takes too long or too much."""

    def __init__(self, kind: Kind, seed: int, setup: Setup) -> None:
        self.gone = False
        self._kind = kind
        self._said = (setup.folder / f"stderr-{kind.name}-{os.urandom(3).hex()}.txt").open("w+b")
        self._place = setup.folder / f"try-{os.urandom(4).hex()}"
        self._place.mkdir(parents=True)
        temporary = self._place / "tmp"
        temporary.mkdir()
        more = {
            "EDGESCOPE_MAX_MEMORY": str(IMAGE_BYTES),
            "EDGESCOPE_CACHE": str(setup.folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(temporary),
            "PYTHONFAULTHANDLER": "1",
            "PYTHONWARNINGS": "ignore",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.adversarial.bench", kind.name, str(seed), str(self._place)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, cwd=ROOT, env=environment() | more,
            start_new_session=True,
        )  # fmt: skip
        self._say(setup.to_json())
        ready = self._hear(PREPARE_S)
        if ready != {"ready": True}:
            msg = f"{kind.name} could not be prepared: {ready} {self._last_words()}"
            self.end()
            raise RuntimeError(msg)

    def ask(self, number: int) -> tuple[str, str, float, int]:
        """Outcome, in words, seconds and bytes of one try."""
        start = monotonic()
        self._say({"number": number})
        answer = self._hear(self._kind.limit_s)
        seconds = monotonic() - start
        if "outcome" in answer:
            return answer["outcome"], answer["detail"], seconds, answer["peak"]
        self.gone = True
        words = self._last_words()
        self.end()
        return answer["ended"], f"{answer['why']} {words}".strip(), seconds, answer.get("peak", 0)

    def end(self) -> None:
        """Kill it and what it started."""
        self.gone = True
        try:
            os.killpg(self._process.pid, 9)
        except ProcessLookupError:
            pass
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            try:
                pipe.close()
            except OSError:
                pass
        Path(self._said.name).unlink()
        shutil.rmtree(self._place, ignore_errors=True)

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is heard

    def _hear(self, limit_s: float) -> dict[str, Any]:
        start, computed = monotonic(), self._computed_s()
        while True:
            if select.select([self._process.stdout], [], [], LOOK_S)[0]:
                line = self._process.stdout.readline()
                if line.endswith(b"\n"):
                    return json.loads(line)
                code = self._process.wait()
                return {"ended": CRASH, "why": name_signal(code) if code < 0 else f"exit code {code}"}
            waited, cpu = monotonic() - start, self._computed_s() - computed
            if cpu > limit_s or waited > BLOCKED * limit_s:
                return {"ended": HANG, "why": f"after {waited:.1f} s, {cpu:.1f} s of them computing"}
            if (held := self._held_bytes()) > 8 * BUDGET_BYTES:
                return {"ended": MEMORY, "why": f"{held >> 20} MiB", "peak": held}

    def _computed_s(self) -> float:
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def _held_bytes(self) -> int:
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * resource.getpagesize()
        except OSError:
            return 0

    def _last_words(self) -> str:
        self._said.flush()
        lines = Path(self._said.name).read_text("utf-8", "replace").splitlines()
        told = [line for line in lines if "rror" in line or "File" in line] or lines
        return " | ".join(line.strip() for line in told[-4:])[:600]


def main() -> None:
    """In the child: prepare, and make the try of each number that is asked for."""
    name, seed, place = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    say = quiet_output()
    from tools.adversarial.kinds import KINDS  # which need this module

    kind = KINDS[name]
    attempt = kind.prepare(Setup.of(json.loads(sys.stdin.readline())))
    say({"ready": True})
    for line in sys.stdin:
        number = json.loads(line)["number"]
        say(one(kind, partial(attempt, dice_of(name, seed, number)), place, number))


def one(kind: Kind, attempt: Callable[[Path, int], str], place: Path, number: int) -> dict[str, Any]:
    """One try: its outcome, in words, and how many bytes it took at most."""
    folder = place / "try"
    folder.mkdir()
    before = _memory("VmRSS")
    _forget_peak()
    try:
        outcome, detail = attempt(folder, number), ""
    except Leftover as error:
        outcome, detail = LEFT, str(error)
    except EdgescopeError as error:
        outcome, detail = REFUSED if kind.may_refuse else INTERNAL, f"{type(error).__name__}: {error}"
    except Exception as error:
        last = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)][-4:]
        outcome, detail = INTERNAL, f"{type(error).__name__}: {error} ({' '.join(last)})"
    peak = max(0, _memory("VmHWM") - before)
    if outcome in (REFUSED, EQUAL, DIFFERENT) and (left := _files(place / "tmp")):
        outcome, detail = LEFT, f"in TMPDIR: {', '.join(left)}"
    for path in (folder, *(place / "tmp").iterdir()):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    return {"outcome": outcome, "detail": detail[:400], "peak": peak}


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


if __name__ == "__main__":
    main()
