"""One tiny study, run once: interrupted after its first training, then finished."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from distill.config.sections import Config

CONFIG = """
[student]
name = "tiny"
decoder = [8, 8, 8, 8, 8]
squeeze_excite = false
outputs = ["foreground"]
[data]
train = ["synthetic:12@1?size=64"]
validation = ["synthetic:12@1?size=64"]
labels = "cells"
crop = 64
[teacher]
name = "unet"
store = "{folder}/soft-labels.zarr"
[float]
steps = 2
batch = 2
precision = "32-true"
[qat]
steps = 0
[trainer]
interval = 2
validate = 1
threads = 1
[study]
title = "Tiny | a study"
seeds = 2
rows = ["threshold", "undistilled", "paper"]
test = ["folder:{folder}/other"]
block = 32
radii = [0, 2]
[study.teacher]
family = "mobilenetv3"
decoder = [8, 8, 8, 8, 8]
steps = 2
"""


@dataclass
class Finished:
    """A study that was run. events : what was trained and what was logged, in order, in the run that finished it"""

    config_file: Path
    config: Config
    out: Path
    found: dict[str, Any]
    events: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)  # results that the interrupted run had left


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    pytest.importorskip("lightning")
    from distill import settings as configuration
    from distill.studies import flow, job

    folder = tmp_path_factory.mktemp("study")
    _write_nuclei(folder / "other")
    (folder / "tiny.toml").write_text(CONFIG.format(folder=folder.as_posix()))
    config, out = configuration.load(folder / "tiny.toml"), folder / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "float_phase", _stopped_after_one(job.float_phase))
        with pytest.raises(KeyboardInterrupt):
            flow.study(config, out)
    before = sorted(path.name for path in (out / "rows").iterdir())
    events: list[str] = []
    with pytest.MonkeyPatch.context() as patch, _log_to(events):
        for name in ("float_phase", "fit"):
            patch.setattr(job, name, recorded(getattr(job, name), events))
        found = flow.study(config, out)
    return Finished(folder / "tiny.toml", config, out, found, events, before)


def recorded(work: Any, events: list[str]) -> Any:
    """The same function, which notes whom it trains."""

    def act(config: Any, *arguments: Any) -> Any:
        kind = "teacher" if len(config.student.channels) > 1 else "taught" if config.teacher.name else "undistilled"
        events.append(f"{kind}-s{config.seed}")
        return work(config, *arguments)

    return act


def _stopped_after_one(work: Any) -> Any:
    calls: list[int] = []

    def act(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return work(*arguments)

    return act


class _log_to(logging.Handler):
    """Append what the flow says to a list."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self.events, self.logger = events, logging.getLogger("distill.studies.flow")

    def emit(self, record: logging.LogRecord) -> None:
        self.events.append(record.getMessage())

    def __enter__(self) -> None:
        self.before = self.logger.level
        self.logger.setLevel(logging.INFO)
        self.logger.addHandler(self)

    def __exit__(self, *error: object) -> None:
        self.logger.removeHandler(self)
        self.logger.setLevel(self.before)


def _write_nuclei(folder: Path) -> None:
    """Two images of another collection: the nucleus alone, and labels of nuclei."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(2):
        labels = np.kron(rng.integers(0, 2, (4, 4)), np.ones((16, 16))).astype(np.uint8)
        pixels = rng.normal(60, 10, labels.shape) + 100 * labels
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{number}.png")
