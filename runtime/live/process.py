"""The host's side of a worker: a process of its own, lines of JSON to it and from it, and how it ended."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import backends
from ..system import child
from .result import now_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..system.child import Message
    from .chain import Link
    from .memory import SharedBlock

log = logging.getLogger(__name__)

TITLE = "edgescope-live-worker"
STOP_S = 2.0  # for an idle worker to release its model


class Worker:
    """A worker that was started for a link of the chain. `ready` is set by the supervisor."""

    def __init__(
        self,
        link: Link,
        block: SharedBlock,
        options: Mapping[str, Any],
        hear: Callable[[Worker, Message | None], None],
    ) -> None:
        """Start it; OSError when the system cannot.

        options : first, device, threads, diameter, hang_s, until, track; see worker.main
        hear : called in a thread of the worker's own with each message, and with None at its end
        """
        self.link = link
        self.ready = False
        self.started_ns = now_ns()
        self.ended_because: str | None = None  # set by who kills it
        self._hear = hear
        self._process = subprocess.Popen(
            child.command(TITLE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=block.inherited,
            creationflags=_creation_flags(),
        )
        self._thread = threading.Thread(target=self._listen, name="edgescope-live-ear", daemon=True)
        self._thread.start()
        self.say(
            {
                **child.origin(".live.worker"),
                "backends": [str(Path(folder).resolve()) for folder in backends.__path__],
                "artifact": str(link.artifact.resolve()),
                "manifest": link.manifest.to_json(),
                "backend": link.backend,
                "block": block.handle,
                "parent": os.getpid(),
                **options,
            }
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def say(self, message: Message) -> None:
        """Send a line. To a worker that is gone it is lost: its end is heard anyway."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # a broken pipe; or closed by stop()
            log.debug("worker %d does not listen any more", self.pid)

    def kill(self, because: str) -> None:
        """End it at once; the reason is what its end is told with."""
        self.ended_because = self.ended_because or because
        self._process.kill()

    def stop(self) -> None:
        """Let it release its model if it is idle, or else kill it; returns when the process is gone."""
        if not self.ready:
            self._process.kill()
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:  # what was not read yet cannot be flushed to a dead worker
            log.debug("worker %d was gone already", self.pid)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def describe_end(self) -> str:
        """How it ended, in words; one that closed its pipe and stays is killed."""
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if self.ended_because:
            return self.ended_because
        if code < 0:
            name = child.name_signal(code)
            hint = "; was there enough memory?" if name == "SIGKILL" else ""
            return f"the worker was killed by {name}{hint}"
        return f"the worker ended with exit code {code}"

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._hear(self, json.loads(line))
        self._hear(self, None)


def _creation_flags() -> int:
    """On Windows: no console of its own beside a host with a window, and a priority below the host's."""
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    return 0
