"""The host's side of a worker: a process of its own, lines of JSON to it and from it, and how it ended.

A worker may die in the middle of a line, and native code in it may do anything. What it says is read strictly, its end
is told whatever happened, and nothing here waits for it without a limit.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import backends
from ..errors import InputError
from ..records import OPTIONAL, Record
from ..system import child
from ..system.scheduling import step_back
from .result import now_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..system.child import Message
    from .chain import Link
    from .memory import SharedBlock

log = logging.getLogger(__name__)

TITLE = "edgescope-live-worker"
STOP_S = 2.0  # for an idle worker to release its model, and for the system to end a process that was killed


@dataclass(frozen=True)
class Refusal(Record):
    """A worker could not open its link. input : whether the artefact or what was asked for is to blame."""

    refused: str
    input: bool


@dataclass(frozen=True)
class Answer(Record):
    """What came of a frame. InputError for what no worker would say; see worker.Desk.

    started, finished : nanoseconds of now_ns; None for a frame that no worker began
    error : why there is no result; input : whether the frame is to blame
    scale : the fields of frames.scale.Scale
    count : of the objects, unless only the maps were asked for; last_id : of the tracks, with tracking
    """

    index: int
    started: int | None
    finished: int
    error: str | None = field(default=None, metadata=OPTIONAL)
    input: bool = field(default=False, metadata=OPTIONAL)
    flags: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    scale: tuple[float, float | None, str] = field(default=(0.0, None, ""), metadata=OPTIONAL)
    count: int | None = field(default=None, metadata=OPTIONAL)
    last_id: int | None = field(default=None, metadata=OPTIONAL)

    def check(self, most_objects: int | None, *, tracked: bool) -> None:
        """InputError when it lacks what a frame's result needs. most_objects : that its slot holds; None: of no use."""
        if self.error is not None:
            return
        if not self.scale[0] > 0:
            msg = f"The answer has no scale over 0: {self.scale}."
            raise InputError(msg)
        if (self.count is None) != (most_objects is None) or not 0 <= (self.count or 0) <= (most_objects or 0):
            msg = f"The answer counts {self.count} objects; at most {most_objects} fit."
            raise InputError(msg)
        if (self.last_id is not None) != tracked:
            msg = f"The answer's last track is {self.last_id}."
            raise InputError(msg)


class Worker:
    """A worker that was started for a link of the chain. `ready` is set by the supervisor."""

    def __init__(
        self,
        link: Link,
        block: SharedBlock,
        options: Mapping[str, Any],
        hear: Callable[[Worker, Message | None], None],
    ) -> None:
        """Start it; OSError or RuntimeError when the system cannot.

        options : first, device, threads, diameter, hang_s, until, track, change; see worker.main
        hear : called in a thread of the worker's own with each message, and with None at its end
        """
        self.link = link
        self.ready = False
        self.started_ns = now_ns()
        self.ended_because: str | None = None  # set by who kills it
        self._hear = hear
        self._gone_ns: int | None = None  # when its process was first seen to be gone
        self._setup: Message = {
            **child.origin(".live.worker"),
            "backends": [str(Path(folder).resolve()) for folder in backends.__path__],
            "artifact": str(link.artifact.resolve()),
            "manifest": link.manifest.to_json(),
            "backend": link.backend,
            "block": block.handle,
            "parent": os.getpid(),
            **options,
        }
        self._process = subprocess.Popen(
            child.command(TITLE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=block.inherited,
            creationflags=_creation_flags(),
        )
        if not options["first"]:
            step_back(self._process.pid)
        self._thread = threading.Thread(target=self._listen, name="edgescope-live-ear", daemon=True)
        try:
            self._thread.start()
        except BaseException:  # no more threads: nobody would hear it
            self._process.kill()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def say(self, message: Message) -> None:
        """Send a line. To a worker that is gone it is lost: its end is heard anyway."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_line(message))
            self._process.stdin.flush()
        except (OSError, ValueError):  # a broken pipe; or closed by stop()
            log.debug("worker %d does not listen any more", self.pid)

    def kill(self, because: str) -> None:
        """End it at once; the reason is reported with its end."""
        self.ended_because = self.ended_because or because
        self._process.kill()

    def stop(self) -> None:
        """Let it release its model if it is idle, or else kill it; returns when the process is gone.

        A process that the system cannot end, or a pipe that another process holds open, is not waited for.
        """
        if not self.ready:
            self._process.kill()
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:  # what was not read yet cannot be flushed to a dead worker
            log.debug("worker %d was gone already", self.pid)
        if self._wait() is None:
            self._process.kill()
            if self._wait() is None:
                log.error("worker %d does not end, although it was killed", self.pid)
        if threading.current_thread() is not self._thread:
            self._thread.join(STOP_S)

    @property
    def is_gone(self) -> bool:
        """Whether its process ended a while ago and its end was not heard: a process it started may hold the pipe."""
        if self._process.poll() is None:
            return False
        self._gone_ns = self._gone_ns or now_ns()
        return now_ns() - self._gone_ns > STOP_S * 1e9

    def describe_end(self) -> str:
        """How it ended, in words; one that closed its pipe and stays is killed."""
        code = self._wait()
        if code is None:
            self._process.kill()
            code = self._wait()
        if self.ended_because:
            return self.ended_because
        if code is None:
            return "the worker does not answer and does not end"
        if code < 0:
            name = child.name_signal(code)
            hint = "; was there enough memory?" if name == "SIGKILL" else ""
            return f"the worker was killed by {name}{hint}"
        return f"the worker ended with exit code {code}"

    def _wait(self) -> int | None:
        """The exit code, or None when it does not end in STOP_S."""
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return None

    def _listen(self) -> None:
        """In a thread: a worker that is frozen reads nothing, and must hold up nobody else."""
        assert self._process.stdout is not None
        try:
            self.say(self._setup)
            with self._process.stdout as lines:
                for message in child.messages(lines):
                    self._hear(self, message)
        except InputError as error:
            self.kill(f"the worker sent what is no message: {error}")
        except Exception as error:  # also an error of ours ends the worker, and its end is told
            log.exception("worker %d is not heard any more", self.pid)
            self.kill(f"the worker could not be heard: {error!r}")
        finally:
            self._hear(self, None)


def _line(message: Message) -> bytes:
    """A message as it is sent. Numbers of numpy, which a host may give, become Python's."""
    return json.dumps(message, default=methodcaller("item")).encode() + b"\n"


def _creation_flags() -> int:
    """On Windows: no console window of its own, and a priority below the host's."""
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    return 0
