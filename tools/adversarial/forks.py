"""Forks of a process that has imported what they need: a command in one takes a fraction of a second to begin.

Each runs one command, in a folder of its own. It is killed before one of its changes to the folder, which are counted,
or after a time. Whatever it started must end with it.
"""

import ctypes
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tools.adversarial.bench import Leftover, Wrong

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
LIMIT_S = 240.0
ORPHANS_S = 30.0  # for what a killed process started to notice that, on a busy machine
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


class Watch:
    """Counts what this process changes in a folder, and ends it before a chosen change."""

    def __init__(self) -> None:
        self.folder, self.count, self.kill_at = "", 0, -1
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """See sys.addaudithook."""
        if not self.folder or event not in EVENTS:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        if not isinstance(arguments[0], (str, os.PathLike)) or not os.fspath(arguments[0]).startswith(self.folder):
            return
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


class Ended(NamedTuple):
    """code : the exit code, or a signal below 0; said : on standard error; events : changes of its folder"""

    code: int
    said: str
    events: int
    seconds: float


class Forks:
    """Runs `do` in forks of this process, which adopts what they leave behind."""

    def __init__(self) -> None:
        self._watch = Watch()
        self._pipes: dict[int, tuple[int, int]] = {}
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)

    def start(
        self, do: Callable[[], int], folder: Path, kill_at: int = -1, world: Callable[[Path], None] | None = None
    ) -> int:
        """Begin it in the folder, and return its process.

        do : returns the exit code; world : called before it, with the folder; kill_at : number of a change of it
        """
        said, counted = os.pipe(), os.pipe()
        process = os.fork()
        if process:
            for pipe in (said, counted):
                os.close(pipe[1])
                os.set_blocking(pipe[0], False)
            self._pipes[process] = said[0], counted[0]
            return process
        code = 70
        try:
            os.dup2(said[1], 1)
            os.dup2(said[1], 2)
            sys.stdout, sys.stderr = (os.fdopen(handle, "w", 1, closefd=False) for handle in (1, 2))
            os.chdir(folder)
            if world is not None:
                world(folder)
            self._watch.folder, self._watch.kill_at = str(folder), kill_at
            code = do()
        except BaseException:
            traceback.print_exc()
        finally:
            self._watch.folder = ""
            os.write(counted[1], str(self._watch.count).encode())
            os._exit(code)

    def wait(self, process: int, after_s: float | None = None) -> Ended:
        """Until it ends, or is killed after so many seconds; Leftover where a process that it started stays."""
        start, said = time.monotonic(), b""
        pipes = self._pipes.pop(process)
        while True:
            done, status = os.waitpid(process, os.WNOHANG)
            said += _read(pipes[0])
            waited = time.monotonic() - start
            if done:
                break
            if waited > (LIMIT_S if after_s is None else after_s):
                os.kill(process, signal.SIGKILL)
                _, status = os.waitpid(process, 0)
                if after_s is None:
                    msg = f"it did not end in {LIMIT_S:.0f} s: {said[-1500:].decode(errors='replace')}"
                    raise Wrong(msg)
                break
            time.sleep(0.002)
        said += _read(pipes[0])
        count = int(_read(pipes[1]) or 0)
        for pipe in pipes:
            os.close(pipe)
        if not self._pipes:  # no other fork that may have processes of its own
            _await_orphans()
        words = said[-1500:].decode(errors="replace").strip()
        return Ended(os.waitstatus_to_exitcode(status), words, count, waited)


class Runner:
    """Runs one command of a package: arguments(folder) are those of its main()."""

    def __init__(
        self,
        package: str,
        imports: tuple[str, ...],
        arguments: Callable[[Path], list[str]],
        before: Callable[[], None] | None = None,
    ) -> None:
        """imports : what this process loads, so that its forks have it; before : called in a fork, before main()."""
        self._package, self._arguments, self._before, self._forks = package, arguments, before, Forks()
        for name in (f"{package}.__main__", *imports):
            importlib.import_module(name)

    def start(self, folder: Path, **options: Any) -> int:
        """Begin it, and return its process; options : see Forks.start."""
        arguments = self._arguments(folder)

        def do() -> int:
            if self._before is not None:
                self._before()
            return importlib.import_module(f"{self._package}.__main__").main(arguments)

        return self._forks.start(do, folder, **options)

    def wait(self, process: int, after_s: float | None = None) -> Ended:
        """See Forks.wait."""
        return self._forks.wait(process, after_s)

    def run(self, folder: Path, after_s: float | None = None, **options: Any) -> Ended:
        """Begin it and wait for it."""
        return self.wait(self.start(folder, **options), after_s)

    def finish(self, folder: Path) -> Ended:
        """A run that must end well."""
        ended = self.run(folder)
        if ended.code:
            msg = f"the next run ends with {ended.code}: {ended.said}"
            raise Wrong(msg)
        return ended


def _await_orphans() -> None:
    """What a fork started is this process's child now; all of it must end by itself."""
    end = time.monotonic() + ORPHANS_S
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    told: list[str] = []
    for child in map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()):
        told.append(Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200])
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    msg = f"processes stay after their parent is gone: {'; '.join(told)}"
    raise Leftover(msg)


def _read(pipe: int) -> bytes:
    """What is in a pipe now."""
    found = b""
    try:
        while part := os.read(pipe, 1 << 16):
            found += part
    except BlockingIOError:
        pass
    return found
