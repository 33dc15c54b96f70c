"""A backend that misbehaves on request, in the host's and the worker's backends alike, and a live segmenter of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import backends
from runtime.live import LiveSegmenter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A real backend: foreground is what is brighter than half, core what is brighter than 0.7.
BACKEND = '''
import ctypes, os, time
from pathlib import Path
import numpy as np
from runtime.backend import Backend

def once(name):
    """Whether the test has asked for this, which it does for one tile."""
    try:
        Path({folder!r}, name).unlink()
    except FileNotFoundError:
        return False
    return True

class Session:
    description = {{"library": "numpy", "version": "0", "device": "CPU", "threads": "1", "precision_hint": "none"}}
    warm = False
    def run(self, tile):
        if self.warm:
            {fault}
        self.warm = True
        return np.concatenate([1 / (1 + np.exp(-40 * (tile - at))) for at in (0.5, 0.7)], axis=1).astype(np.float32)
    def close(self):
        Path({folder!r}, "closed").touch()

class Made(Backend):
    name = extra = {name!r}
    def library(self):
        return "numpy"
    def refuses(self, manifest):
        return None
    def open(self, artifact, execution):
        {opening}
        Path({folder!r}, "opened").open("a").write(f"{{execution.threads}} {{os.getpriority(os.PRIO_PROCESS, 0)}}\\n")
        return Session()

BACKEND = Made()
'''


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """backend(name, fault="...", opening="...") -> the name; both are lines of Python that run in the worker.

    The fault comes with every tile but the first, which is the worker's own warm-up."""
    folder = tmp_path / "backends"
    folder.mkdir()
    monkeypatch.setattr(backends, "__path__", [*backends.__path__, str(folder)])

    def write(name: str = "fake", fault: str = "pass", opening: str = "pass") -> str:
        text = BACKEND.format(folder=str(tmp_path), name=name, fault=fault, opening=opening)
        (folder / f"{name}.py").write_text(text)
        return name

    return write


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[str], None]:
    """ask(name) lets `once(name)` be true in the worker, for one tile."""
    return lambda name: (tmp_path / name).touch()


@pytest.fixture
def live(artifact_path: Path, backend: Callable[..., str]) -> Iterator[Callable[..., LiveSegmenter]]:
    """live(**arguments) opens a live segmenter with the fake backend (unless `backends` says otherwise), no spare."""
    opened: list[LiveSegmenter] = []

    def build(**arguments: Any) -> LiveSegmenter:
        names = arguments.pop("backends", None) or [backend()]
        patience = {"spare": False, "block_timeout_s": 60.0}  # a busy machine is not a full ring
        opened.append(LiveSegmenter(artifact_path, **{**patience, **arguments}, backends=names))
        return opened[-1]

    yield build
    for one in opened:
        one.abort()


@pytest.fixture
def spots() -> Callable[[int], np.ndarray]:
    """spots(number) is a dim frame with one bright square, whose place tells the frames apart."""

    def make(number: int = 0) -> np.ndarray:
        frame = np.random.default_rng(number).integers(100, 200, (32, 48)).astype(np.uint16)
        frame[4 + number % 20 : 12 + number % 20, 10:30] += 4000
        return frame

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], None]:
    """until(true) waits until something is so, and fails when it does not come true in the time of a slow machine."""

    def wait(true: Callable[[], Any]) -> None:
        end = time.monotonic() + 30
        while not true():
            assert time.monotonic() < end, "it did not come true"
            time.sleep(0.01)

    return wait
