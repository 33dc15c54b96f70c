"""Ours: an artefact whose tile is the frame, run by its own backend; and all that is done with a frame in a file."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.network import Network, NetworkJob, Run
from runtime.registry import Registry

RIVALS = Registry[Network]("rivals", "benchmarks.rivals.networks", "NETWORK")
ALONE, WHOLE_FRAME = "edgescope", "whole_frame"
DESCRIPTION = "the student's INT8 artefact for this machine, run by its own backend"


@dataclass(frozen=True)
class NetworkAlone:
    """The student's network, from a normalised frame to its probabilities."""

    title: str = "edgescope"
    description: str = DESCRIPTION
    requirements: tuple[str, ...] = ()
    with_torch: bool = False
    packages: tuple[str, ...] = ()

    def open(self, frame: NDArray[Any], job: NetworkJob) -> Run:
        """(1, 1, H, W)."""
        from runtime import Segmenter

        segment = Segmenter.open(Path(job.artifact or ""), threads=job.threads)
        tile = np.ascontiguousarray(frame[None, None])
        return lambda: segment.run_tile(tile)


@dataclass(frozen=True)
class WholeFrame:
    """What a user does with a file that was just written: decode, normalise, segment, threshold."""

    title: str = "edgescope, whole frame"
    description: str = DESCRIPTION
    requirements: tuple[str, ...] = ()
    with_torch: bool = False
    packages: tuple[str, ...] = ("tifffile",)

    def open(self, frame: bytes, job: NetworkJob) -> Run:
        """frame : a TIFF of (H, W); the call returns its mask, bool (H, W)."""
        import tifffile

        from runtime import Segmenter

        segment = Segmenter.open(Path(job.artifact or ""), threads=job.threads)
        return lambda: segment(tifffile.imread(io.BytesIO(frame))).mask


OURS: dict[str, Network] = {ALONE: NetworkAlone(), WHOLE_FRAME: WholeFrame()}


def load(name: str) -> Network:
    """One of ours, or the rival of this name; InputError lists the rivals when there is none."""
    return OURS[name] if name in OURS else RIVALS.load(name)
