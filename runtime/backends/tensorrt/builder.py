"""Building an engine in a process of its own, watched: progress, a time limit, and its death told in words.

What fails is tried again with less memory and a shorter search; what TensorRT cannot read is not.
"""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...artifact.probes import Replay
from ...system import child
from ...system.progress import Progress
from .choice import EngineCandidate, misses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...artifact.artifact import Artifact
    from ...system.child import Message
    from .api import Recipe

log = logging.getLogger(__name__)

TITLE = "edgescope-engine-builder"
# Megabytes that a build takes besides its workspace and the network: TensorRT's libraries with a CUDA context and the
# builder's own. Estimated from reports for Orin, and not measured on one.
OVERHEAD_MB = 1024
COPIES = 6  # of the network's weights that are alive at once during a build
WORKSPACE_MB = 1024  # wanted; a student of this size needs far less
LEAST_WORKSPACE_MB = 64
QUICK_LEVEL = 1  # of the second attempt: TensorRT times fewer kernels, which takes less memory and time
POLL_S = 0.5
END_S = 5.0  # for a process that has closed its pipe to be gone
STDERR_BYTES = 4000
BUILD = "build the engine"


@dataclass(frozen=True)
class EngineJob:
    """What is built, and within which limits.

    expected_s : seconds that the last build on this device took, if any; limit_s : when an attempt is given up
    """

    artifact: Artifact
    device: str
    limit_s: float
    expected_s: float | None
    available_mb: Callable[[], int]
    tell: Callable[[Progress], None]


def build(job: EngineJob, recipe: Recipe, plan: Path) -> EngineCandidate:
    """Build, prove and time one engine into the file `plan`. A failure is in the candidate, never an exception."""
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="build-", dir=plan.parent) as folder:  # mode 0700
        for workspace_mb, level in _attempts(job, recipe, failures):
            setup = _setup(job, recipe, Path(folder), plan, workspace_mb, level)
            start = monotonic()
            answer = _run(job, recipe, setup)
            if "built" in answer:
                figures = {**answer["built"], "workspace_mb": workspace_mb, "spent_s": round(monotonic() - start, 3)}
                return _candidate(job.artifact, recipe, figures)
            how = f"with {workspace_mb} MB of workspace" + ("" if level is None else " and a short search")
            failures.append(f"{how}: {answer['failed']}")
            if answer.get("refused"):
                break
    return EngineCandidate(recipe.role, recipe.precision, tuple(failures))


def _attempts(job: EngineJob, recipe: Recipe, failures: list[str]) -> Iterator[tuple[int, int | None]]:
    """Workspace in MB and level of search, each after a look at the memory."""
    network_mb = COPIES * len(job.artifact.payload(recipe.role)) >> 20
    for wanted_mb, level in ((WORKSPACE_MB, None), (WORKSPACE_MB // 4, QUICK_LEVEL)):
        spare_mb = job.available_mb() - OVERHEAD_MB - network_mb
        if spare_mb < LEAST_WORKSPACE_MB:
            failures.append(
                f"{spare_mb + OVERHEAD_MB + network_mb} MB of memory are available, and a build takes about "
                f"{OVERHEAD_MB + network_mb + LEAST_WORKSPACE_MB} MB; close other programs or the desktop, or add swap"
            )
            return
        yield min(wanted_mb, spare_mb), level


def _setup(job: EngineJob, recipe: Recipe, folder: Path, plan: Path, workspace_mb: int, level: int | None) -> Message:
    artifact, manifest = job.artifact, job.artifact.manifest
    onnx, probes = folder / "model.onnx", folder / "probes.npz"
    onnx.write_bytes(artifact.payload(recipe.role))
    probes.write_bytes(artifact.read(manifest.probes.file))
    return {
        **child.origin(".backends.tensorrt.build"),
        "role": recipe.role,
        "precision": recipe.precision,
        "onnx": str(onnx),
        "probes": str(probes),
        "plan": str(plan),
        "workspace_mb": workspace_mb,
        "level": level,
        "device": job.device,
        "threshold": manifest.threshold,
        "channel": manifest.channels.index("foreground"),
    }


def _run(job: EngineJob, recipe: Recipe, setup: Message) -> Message:
    """One attempt: its last message, or {"failed": how it ended}."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            child.command(TITLE), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
        )
        try:
            heard = _listen(process)
            _send(process, setup)
            answer = _follow(job, recipe, process, heard)
        finally:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
        if answer is None:
            errors.seek(0)
            answer = {"failed": _describe_end(process.returncode, errors.read()[-STDERR_BYTES:], job.available_mb())}
        return answer


def _follow(
    job: EngineJob, recipe: Recipe, process: subprocess.Popen[bytes], heard: queue.SimpleQueue[Message | None]
) -> Message | None:
    """Hear it until it is done, has ended (None), or takes too long."""
    start, stage, fraction = monotonic(), BUILD, None
    while (elapsed := monotonic() - start) < job.limit_s:
        try:
            message = heard.get(timeout=POLL_S)
        except queue.Empty:
            message = {}
        if message is None:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                return {"failed": "it closed its pipe and went on; it was ended"}
            return None
        if "built" in message or "failed" in message:
            return message
        stage, fraction = message.get("stage", stage), message.get("step", fraction)
        due = _expected(job, stage, fraction, elapsed)
        job.tell(Progress(f"{recipe.precision}: {stage}", fraction if stage == BUILD else None, elapsed, due))
    return {"failed": f"it was not done after {job.limit_s / 60:.0f} minutes, and was ended"}


def _expected(job: EngineJob, stage: str, fraction: float | None, elapsed: float) -> float | None:
    """Seconds in all: what the last build here took; else, past a tenth, by how far this one is."""
    if job.expected_s is not None:
        return job.expected_s
    return elapsed / fraction if stage == BUILD and fraction and 0.1 < fraction < 1 else None


def _listen(process: subprocess.Popen[bytes]) -> queue.SimpleQueue[Message | None]:
    heard: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def listen() -> None:
        assert process.stdout is not None
        try:
            with process.stdout as lines:
                for message in child.messages(lines):
                    heard.put(message)
        except Exception:  # nonsense: it is not heard any more, and ended
            log.exception("the builder's process sent what is no message")
            process.kill()
        finally:
            heard.put(None)

    threading.Thread(target=listen, name="edgescope-builder-ear", daemon=True).start()
    return heard


def _send(process: subprocess.Popen[bytes], setup: Message) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(setup).encode() + b"\n")
    except OSError:  # it is gone already, which is heard at its pipe's end
        return


def _describe_end(code: int, errors: bytes, available_mb: int) -> str:
    said = errors.decode("utf-8", "replace").strip().splitlines()
    last = f"; its last words: {said[-1].strip()}" if said else ""
    if code >= 0:
        return f"the builder ended with exit code {code}{last}"
    name = child.name_signal(code)
    hint = (
        f"; Linux does that when memory runs out, and {available_mb} MB are available now" if name == "SIGKILL" else ""
    )
    return f"the builder was killed by {name}{hint}{last}"


def _candidate(artifact: Artifact, recipe: Recipe, figures: dict[str, Any]) -> EngineCandidate:
    manifest = artifact.manifest
    found = Replay(figures["probability_max"], figures["probability_mean"], figures["mask_dice"])
    rounded = manifest.scheme is None or recipe.precision == "int8"
    missed = misses(found, manifest.tolerance, rounded=rounded)
    failures = tuple(f"on the probes, {miss}" for miss in missed)
    return EngineCandidate(recipe.role, recipe.precision, failures, **figures)
