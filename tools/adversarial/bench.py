"""Tries of a kind, in child processes that are replaced when one of them ends, hangs or takes too much memory."""

import json
import os
import resource
import select
import shutil
import subprocess
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from runtime.errors import EdgescopeError
from runtime.system.child import name_signal
from runtime.system.programs import ROOT, environment
from tools.adversarial import clock

REFUSED, EQUAL, DIFFERENT = "refused", "equal", "different"  # what an attempt may return
IMPOSSIBLE = "not here"  # this system or user cannot make it
INTERNAL, CRASH, HANG, MEMORY, LEFT = "internal", "crash", "hang", "memory", "left over"
OUTCOMES = (REFUSED, EQUAL, DIFFERENT, IMPOSSIBLE, INTERNAL, CRASH, HANG, MEMORY, LEFT)
FINE = (REFUSED, EQUAL, DIFFERENT, IMPOSSIBLE)
IMAGE_BYTES = 128 << 20  # EDGESCOPE_MAX_MEMORY of the children
BUDGET_BYTES = 4 * IMAGE_BYTES  # that one try may add: the planes, what is decoded on the way, and results
PREPARE_S = 600.0
BLOCKED = 6  # times the limit that a try may wait without computing, on a busy machine
LOOK_S = 0.05
START = "from tools.adversarial.child import main; main()"
HEAD = ("kind", "tries", "kills", *OUTCOMES, "slowest s", "limit s", "peak MiB")


class Killed(NamedTuple):
    """What an attempt that kills processes returns: the outcome, and how many it killed."""

    outcome: str
    kills: int


Attempt = Callable[[Generator, Path, int], "str | Killed"]


class Impossible(Exception):
    """This try cannot be made on this system, or not by this user."""


class Unprepared(Exception):
    """A child could not prepare its tries."""


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

    prepare : called once in each child; returns attempt(dice, folder, number) -> REFUSED, EQUAL or DIFFERENT, or a
        Killed. It may raise EdgescopeError (refused), Impossible, Leftover, and whatever else (internal). The folder
        is for this try alone
    share : of the tries that were asked for, as some kinds cost more than others; most : as many as there are
    limit_s : of processor time a try; may_differ : what has no checksum may be read as something else
    may_refuse : an EdgescopeError is a refusal, and no fault
    clock : its children have a clock that steps, see tools.adversarial.clock
    judges_memory : a try may take no more than BUDGET_BYTES; not where models are opened for long, or commands run
    """

    name: str
    about: str
    prepare: Callable[[Setup], Attempt]
    share: float = 1.0
    most: int | None = None
    limit_s: float = 5.0
    may_differ: bool = False
    may_refuse: bool = True
    clock: bool = False
    judges_memory: bool = True

    def tries(self, asked: int) -> int:
        """Of the number that was asked for."""
        return min(max(1, round(asked * self.share)), self.most or asked)


@dataclass
class Row:
    """What came of one kind. faults : number of a try to what happened; kills : of processes, in all tries"""

    kind: Kind
    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    slowest_s: float = 0.0
    peak_bytes: int = 0
    kills: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, number: int, answer: "Answer") -> None:
        outcome, detail = answer.outcome, answer.detail
        with self.lock:
            if self.kind.judges_memory and answer.peak > BUDGET_BYTES and outcome in FINE:
                outcome, detail = MEMORY, f"{answer.peak >> 20} MiB; {detail}"
            self.counts[outcome] += 1
            self.kills += answer.kills
            self.slowest_s = max(self.slowest_s, answer.seconds)
            self.peak_bytes = max(self.peak_bytes, answer.peak)
            if outcome not in FINE or (outcome == DIFFERENT and not self.kind.may_differ):
                self.faults[number] = f"{outcome}: {detail}"

    def cells(self) -> list[str]:
        """Of the table; see HEAD."""
        counts = [str(self.counts[outcome]) for outcome in OUTCOMES]
        peak = f"{self.peak_bytes / (1 << 20):.0f}" if self.kind.judges_memory else "-"
        kills = str(self.kills) if self.kills else "-"
        limit = f"{self.kind.limit_s:g}"
        return [self.kind.name, str(self.counts.total()), kills, *counts, f"{self.slowest_s:.1f}", limit, peak]


class Answer(NamedTuple):
    """Of one try. seconds : that it computed, or the whole of it where other processes did; peak : bytes it added"""

    outcome: str
    detail: str
    seconds: float = 0.0
    peak: int = 0
    kills: int = 0


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
    if kind.clock:
        try:
            clock.compiler()
        except EdgescopeError as error:
            row.counts[IMPOSSIBLE] += len(list(numbers))
            print(f"{kind.name}: {error}", file=sys.stderr)
            return row

    def work() -> None:
        child: _Child | None = None
        while monotonic() < until:
            with lock:
                number = next(waiting, None)
            if number is None:
                break
            try:
                child = child or _Child(kind, seed, setup)
            except Unprepared as error:
                row.add(number, Answer(INTERNAL, str(error)))
                break
            row.add(number, child.ask(number))
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
        clock_too = clock.environment(setup.folder) if kind.clock else {}
        more = {
            "EDGESCOPE_MAX_MEMORY": str(IMAGE_BYTES),
            "EDGESCOPE_CACHE": str(setup.folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(temporary),
            "PYTHONFAULTHANDLER": "1",
            "PYTHONWARNINGS": "ignore",
            **clock_too,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, kind.name, str(seed), str(self._place)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, cwd=ROOT, env=environment() | more,
            start_new_session=True,
        )  # fmt: skip
        self._say(setup.to_json())
        ready = self._hear(PREPARE_S)
        if ready != {"ready": True}:
            msg = f"it could not be prepared: {ready} {self._last_words()}"
            self.end()
            raise Unprepared(msg)

    def ask(self, number: int) -> Answer:
        """Make one try."""
        start = monotonic()
        self._say({"number": number})
        answer = self._hear(self._kind.limit_s)
        if "outcome" in answer:
            return Answer(**answer)
        self.gone = True
        words = self._last_words()
        self.end()
        told = f"{answer['why']} {words}".strip()
        return Answer(answer["ended"], told, monotonic() - start, answer.get("peak", 0))

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
