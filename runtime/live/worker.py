"""The worker's side: holds the backend, reads frames from shared memory, and writes maps to it.

It runs below the host's priority, so that acquisition goes first. It ends when the host closes its pipe or dies: the
pipe's end is noticed by a thread, also while a frame is being segmented.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend as known
from .. import backends
from ..artifact.artifact import open_artifact
from ..errors import BackendFailed, EdgescopeError, InputError, shortage
from ..execution import Execution
from ..frames.scale import Scale
from ..objects.measure import TABLE
from ..objects.rule import RuleChange
from ..objects.tracks import Tracks
from ..segmenter import Segmenter
from ..system.child import quiet_output
from ..system.scheduling import NICENESS
from .memory import RingLayout, SharedBlock
from .result import ResultLayout, now_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ..backend import Session
    from .result import Until

GRACE_S = 1.0  # to release the model when the host is gone
ORPHAN_S = 2.0  # how often to look whether the parent is still there, where a fork of it keeps the pipe open
LAST_RESORT = 3.0  # times hang_s: then the worker ends itself, also when native code holds the interpreter

Jobs = queue.SimpleQueue["dict[str, Any] | None"]


def main(setup: Mapping[str, Any]) -> None:
    """Open the model, say so, and segment until the host closes the pipe.

    setup : artifact, manifest, backend, backends (folders), block, parent (its pid), first (whether nothing can have
        been acquired yet), device, threads, diameter, hang_s, until, track, change (of the rule)
    """
    say = quiet_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the host
    if not setup["first"]:
        _step_back()
    jobs: Jobs = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    backends.__path__[:] = setup["backends"]
    desk = Desk(SharedBlock(setup["block"], owner=False), setup["hang_s"], setup["until"], setup["track"])
    try:
        segment = _open(setup, desk.beat)
    except Exception as error:  # the edge of this process: the host is told, whatever it was
        say({"refused": _describe(error), "input": isinstance(error, InputError)})
        os._exit(0)
    if setup["first"]:  # nothing was acquired yet that could have been disturbed
        _step_back()
    say({"ready": dict(segment.description)})
    while (job := _next(jobs, setup["parent"])) is not None:
        say(desk.work(segment, job))
    segment.close()
    os._exit(0)  # libraries that are still at work must not hold it up


class Desk:
    """One frame after the other: from its slot, through the model, to the result's slot."""

    def __init__(self, block: SharedBlock, hang_s: float, until: Until, track: float | None) -> None:
        self._block = block
        self._hang_s = hang_s
        self._until: Until = until
        self._tracks = None if track is None else Tracks(track)
        self._heart: NDArray[np.int64] | None = None

    def work(self, segment: Segmenter, job: Mapping[str, Any]) -> dict[str, Any]:
        """Segment the frame that a job describes; the answer holds its index and what came of it."""
        answer: dict[str, Any] = {"index": job["index"], "started": now_ns()}
        try:
            layout = RingLayout.from_dict(job["layout"])
            self._map(layout)
            self.beat()
            answer |= self._segmented(segment, job, layout)
        except Exception as error:  # told to the host, which decides
            answer |= {"error": _describe(error), "input": isinstance(error, InputError)}
        faulthandler.cancel_dump_traceback_later()
        return answer | {"finished": now_ns()}

    def beat(self) -> None:
        """A tile is done: the host's watchdog and this process's own see that it goes on."""
        if self._heart is not None:
            self._heart[0] += 1
        faulthandler.dump_traceback_later(LAST_RESORT * self._hang_s, exit=True)

    def _map(self, layout: RingLayout) -> None:
        if not self._block.mapped:
            self._block.map(layout)
            self._heart = self._block.array(0, (1,), np.int64)

    def _segmented(self, segment: Segmenter, job: Mapping[str, Any], layout: RingLayout) -> dict[str, Any]:
        shape = tuple(job["shape"])
        frame = self._block.array(layout.slot(job["slot"]), shape, job["dtype"])
        start, pixels = layout.result(job["out"]), frame.size
        maps = self._block.array(start, (len(segment.manifest.channels), *shape), np.float32)
        scale = None if job["scale"] is None else Scale(*job["scale"])
        result = segment(frame, job["pixel_size_um"], scale=scale, out=maps)
        answer: dict[str, Any] = {"flags": result.flags, "scale": astuple(result.scale)}
        if self._until == "mask":
            return answer
        places = ResultLayout.of(self._until, segment.manifest, segment.change)
        labels = result.labels()
        answer["flags"] = result.flags  # now with those of the objects
        count = int(labels.max(initial=0))
        self._block.array(start + places.labels(pixels), shape, np.int32)[:] = labels
        if self._until == "objects":
            self._block.array(start + places.table(pixels), (count,), TABLE)[:] = result.table()
        if self._tracks is not None:
            self._tracks.last = max(self._tracks.last, job["last_id"])  # of a worker before this one
            self._block.array(start + places.ids(pixels), (count,), np.int64)[:] = self._tracks.follow(labels, count)
            answer["last_id"] = self._tracks.last
        return answer | {"count": count}


class Beating:
    """A session that tells of every tile it has run. See runtime.backend.Session."""

    def __init__(self, session: Session, beat: Callable[[], None]) -> None:
        self._session = session
        self._beat = beat
        self.description = session.description

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Session."""
        output = self._session.run(tile)
        self._beat()
        return output

    def close(self) -> None:
        """See Session."""
        self._session.close()


def _open(setup: Mapping[str, Any], beat: Callable[[], None]) -> Segmenter:
    artifact = open_artifact(Path(setup["artifact"]))
    manifest = artifact.manifest
    if manifest.to_json() != setup["manifest"]:
        msg = f"{artifact.path} is another artefact than when it was opened; open it again."
        raise InputError(msg)
    chosen = known.choose(manifest, setup["backend"])
    if reason := chosen.unprepared(artifact, setup["device"]):
        raise BackendFailed(reason)  # a camera does not wait for minutes: the next link of the chain is asked
    session = chosen.open(artifact, Execution(device=setup["device"], threads=setup["threads"]))
    session.run(np.zeros((1, 1, *manifest.tile), np.float32))  # the first run is slower than the others
    change = RuleChange(**setup["change"])
    return Segmenter(
        manifest,
        chosen.name,
        Beating(session, beat),
        diameter=setup["diameter"],
        change=change,
        threads=setup["threads"],
    )


def _listen(jobs: Jobs) -> None:
    try:
        for line in sys.stdin.buffer:
            jobs.put(json.loads(line))
    finally:  # also after half a line from a host that was killed
        jobs.put(None)
        time.sleep(GRACE_S)
        os._exit(0)


def _next(jobs: Jobs, parent: int) -> dict[str, Any] | None:
    while True:
        try:
            return jobs.get(timeout=ORPHAN_S)
        except queue.Empty:
            if os.name == "posix" and os.getppid() != parent:
                return None


def _step_back() -> None:
    """The processor is for the acquisition first. On Windows the host has set the priority already.

    On Linux a priority belongs to a thread, and those that the backend has started keep their own: all are set.
    """
    threads = Path("/proc/self/task")
    if threads.is_dir():
        for thread in threads.iterdir():
            with suppress(OSError):  # one that ended meanwhile
                os.setpriority(os.PRIO_PROCESS, int(thread.name), NICENESS)
    elif hasattr(os, "nice"):
        os.nice(NICENESS)


def _describe(error: Exception) -> str:
    if isinstance(error, EdgescopeError):
        return str(error)
    if missing := shortage(error):
        return f"there was not enough memory: {missing}"
    return f"{type(error).__name__}: {error}"
