"""Ours: an artefact whose tile is the frame, run by its own backend."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Question, Run


@dataclass(frozen=True)
class Edgescope:
    """The bundled student, compiled for this machine."""

    title: str = "edgescope"
    description: str = "the student's INT8 artefact for intel, run by OpenVINO"
    requirements: tuple[str, ...] = ()
    with_torch: bool = False
    packages: tuple[str, ...] = ("openvino",)

    def open(self, frame: NDArray[Any], question: Question) -> Run:
        """(1, 1, H, W)."""
        from runtime import Segmenter

        segment = Segmenter.open(Path(question.artifact or ""), threads=question.threads)
        tile = np.ascontiguousarray(frame[None, None])
        return lambda: segment.run_tile(tile)


NETWORK = Edgescope()
