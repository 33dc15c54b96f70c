"""Ours, all of it: the bytes of an image file in memory -> a binary mask."""

import io
from dataclasses import dataclass
from pathlib import Path

from . import Question, Run


@dataclass(frozen=True)
class WholeFrame:
    """What a user does with a file that was just written: decode, normalise, segment, threshold."""

    title: str = "edgescope, whole frame"
    description: str = "the student's INT8 artefact for intel, run by OpenVINO"
    requirements: tuple[str, ...] = ()
    with_torch: bool = False
    packages: tuple[str, ...] = ("openvino", "tifffile")

    def open(self, frame: bytes, question: Question) -> Run:
        """frame : a TIFF of (H, W); the call returns its mask, bool (H, W)."""
        import tifffile

        from runtime import Segmenter

        segment = Segmenter.open(Path(question.artifact or ""), threads=question.threads)
        return lambda: segment(tifffile.imread(io.BytesIO(frame))).mask


NETWORK = WholeFrame()
