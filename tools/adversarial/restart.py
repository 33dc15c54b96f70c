"""How long live takes to replace a worker that died, in parts and against what this machine takes to begin a process.

    python -m tools.adversarial.restart --artifact DIR [--rounds 20]

Without a ready spare, a restart is: begin a process, import what it needs, open the artefact and its model, run it
once, and segment the frame. All of it is measured in turns, so that other work on the machine slows every part alike.
Workers have the lowest priority and wait for all other work; --same-priority leaves that out of the comparison.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from runtime.artifact.artifact import open_artifact
from runtime.commands import command_line
from runtime.live import LiveSegmenter
from runtime.system.processor import cpu_model, usable_cores
from runtime.system.programs import environment
from tools.adversarial.kinds.live import frame_of

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
LIMIT_S = 1.0  # for a restart on a quiet machine
QUIET_S = 0.05  # that an empty Python takes there at most


@app.command(help=__doc__)
def restart(
    artifact: Annotated[Path, typer.Option(help="The artefact that live opens.")],
    backend: Annotated[str | None, typer.Option(help="The backend. Default: the artefact's own.")] = None,
    rounds: Annotated[int, typer.Option(min=3, help="Restarts to measure.")] = 20,
    same_priority: Annotated[
        bool, typer.Option("--same-priority", help="Let workers keep this process's priority.")
    ] = False,
) -> int:
    logging.disable()  # live tells of every restart
    manifest = open_artifact(artifact).manifest
    chosen = backend or manifest.backend
    step_back = "import os; os.nice(19); "  # as a worker does when it has begun
    opening = (
        f"import runtime.live.worker; {step_back}from runtime import Segmenter; "
        f"Segmenter.open({str(artifact.resolve())!r}, threads=1, backend={chosen!r})"
    )
    steps: dict[str, Callable[[], float]] = {
        "python -c pass": lambda: _process_s("pass"),
        "python, numpy": lambda: _process_s("import numpy"),
        "python, runtime": lambda: _process_s("import runtime.live.worker"),
        "python, runtime, model open": lambda: _process_s(opening),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    with (
        _priority(same=same_priority),
        Live(artifact, chosen, spare=False) as without,
        Live(artifact, chosen, spare=True) as with_spare,
    ):
        taken |= {"restart without a spare": [], "restart with a ready spare": []}
        for _ in range(rounds):
            for name, measure in steps.items():
                taken[name].append(measure())
            taken["restart without a spare"].append(without.restart_s())
            taken["restart with a ready spare"].append(with_spare.restart_s())
    for line in table(taken):
        print(line)
    load = os.getloadavg()[0]
    print(f"{manifest.student} with {chosen} on {cpu_model()}, {usable_cores()} cores, load {load:.1f} at the end")
    is_quiet = median(taken["python -c pass"]) <= QUIET_S and load < usable_cores() / 2
    if not is_quiet:
        print("This machine is not quiet: read the ratios, not the seconds.")
    return int(is_quiet and max(taken["restart without a spare"]) > LIMIT_S)


def table(taken: dict[str, list[float]]) -> Sequence[str]:
    """Median, least and most of each step in seconds, and how often the median of the first fits into the median."""
    base = median(next(iter(taken.values())))
    lines = ["| step | median s | least s | most s | times an empty process |", "|---|---:|---:|---:|---:|"]
    for name, seconds in taken.items():
        middle = median(seconds)
        lines.append(f"| {name} | {middle:.3f} | {min(seconds):.3f} | {max(seconds):.3f} | {middle / base:.1f} |")
    return lines


class Live:
    """A live segmenter whose worker is killed while it is idle."""

    def __init__(self, artifact: Path, backend: str, *, spare: bool) -> None:
        self._has_spare = spare
        self._live = LiveSegmenter(
            artifact,
            policy="block",
            backends=[backend],
            threads=1,
            spare=spare,
            max_failures=10**6,
            block_timeout_s=600,
        )

    def __enter__(self) -> "Live":
        self._segment()
        self._await_spare()
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.close()

    def restart_s(self) -> float:
        """From the kill of the idle worker until the frame that is submitted then is segmented."""
        worker = self._live.worker_pid
        assert worker is not None
        start = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        self._segment()
        seconds = time.monotonic() - start
        self._await_spare()  # which would disturb what is measured next
        return seconds

    def _await_spare(self) -> None:
        while self._has_spare and not ((spare := self._live._supervisor._spare) and spare.ready):
            time.sleep(0.02)

    def _segment(self) -> None:
        self._live.submit(frame_of(0))
        self._live.drain()
        for result in self._live.results():
            assert result.error is None


@contextmanager
def _priority(*, same: bool) -> Iterator[None]:
    """What begins inside cannot step back, if it is Python and the same priority is asked for."""
    before = os.environ.get("PYTHONPATH", "")
    with tempfile.TemporaryDirectory() as site:
        if same:
            Path(site, "sitecustomize.py").write_text("import os; os.setpriority = os.nice = lambda *_: 0\n")
            os.environ["PYTHONPATH"] = f"{site}{os.pathsep}{before}"
        yield
    os.environ["PYTHONPATH"] = before


def _process_s(program: str) -> float:
    """A process that runs a program of one line, from its beginning to its end."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", program], env=environment() | {"OMP_NUM_THREADS": "1"}, check=True)
    return time.monotonic() - start


if __name__ == "__main__":
    sys.exit(command_line.run(lambda: app, "tools.adversarial.restart", "dev", sys.argv[1:]))
