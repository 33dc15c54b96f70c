"""EDA (event-driven acquisition, LEB-EPFL): objects as the number that an interpreter decides by.

In place of an analyser's worker:

    from eda_plugin.analysers.image import ImageAnalyser, ImageAnalyserWorker

    class Worker(DecidesByObjects, ImageAnalyserWorker):
        artifact = "nuclei-fast-intel-int8"

    class Analyser(ImageAnalyser):
        def __init__(self, event_bus):
            super().__init__(event_bus)
            self.worker = Worker
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..segmenter import Segmentation

_opened: dict[str, Segmenter] = {}  # by artefact and options
_lock = threading.Lock()  # EDA's workers run in a pool of threads


class DecidesByObjects:
    """Mix it into EDA's ImageAnalyserWorker.

    artifact : name, folder or .zip; options : of Segmenter.open, for example {"threshold": 0.6}
    channel, plane : which image of the stack is segmented, from 0
    """

    artifact: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    channel: ClassVar[int] = 0
    plane: ClassVar[int] = 0

    def extract_decision_parameter(self, network_output: NDArray[Any]) -> float:
        """What EDA asks for, of the images float64 (H, W, channels, planes) of a time point."""
        frame = network_output[:, :, self.channel, self.plane].astype(np.float32)
        with _lock:
            key = f"{self.artifact} {dict(self.options)}"
            if key not in _opened:
                _opened[key] = Segmenter.open(self.artifact, **self.options)
            segment = _opened[key]
        return float(self.decision(segment(frame)))

    def decision(self, segmentation: Segmentation) -> float:
        """The number of objects; override it for another one, for example of segmentation.table()["area_px"].max()."""
        return len(segmentation.table())
