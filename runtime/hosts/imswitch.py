"""ImSwitch: segments the frames of a detector in another process, and offers the objects to its REST interface.

In a controller of yours, imswitch/imcontrol/controller/controllers/EdgescopeController.py:

    from imswitch.imcommon.model import APIExport
    from runtime.hosts.imswitch import DetectorFeed
    from runtime.hosts.stage import affine_of
    from ..basecontrollers import ImConWidgetController

    class EdgescopeController(ImConWidgetController):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            detectors, stages = self._master.detectorsManager, self._master.positionersManager
            detector, stage = detectors[detectors.getAllDeviceNames()[0]], stages[stages.getAllDeviceNames()[0]]
            self._feed = DetectorFeed(detector, "nuclei-fast-microscope-int8", stage, affine_of(0.325))

        @APIExport()
        def startSegmentation(self): self._feed.start()

        @APIExport()
        def stopSegmentation(self): self._feed.stop()

        @APIExport()
        def getObjects(self): return self._feed.objects()
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..live import LiveSegmenter
from .stage import StageView

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from ..live import Counters, LiveResult

log = logging.getLogger(__name__)

IDLE_S = 0.005  # between two looks at the same frame
RETRY_S = 1.0  # after a device that failed
STOP_S = 5.0
MEASURES = ("label", "centroid_row_px", "centroid_col_px", "area_px", "mean_intensity", "touches_border")


class DetectorFeed:
    """Looks at a detector's newest frame in a thread, and keeps the newest result."""

    def __init__(
        self,
        detector: Any,
        artifact: str | Path,
        positioner: Any = None,
        affine: ArrayLike | None = None,
        **options: Any,
    ) -> None:
        """Open the artefact in a worker.

        detector : with getLatestFrame(returnFrameNumber=True)
        positioner : with getPosition(), a dict with "X" and "Y" in micrometres; without it there are no stage places
        affine : of pixels to the stage, see runtime.hosts.stage; ImSwitch's own pixel size, often just 1, is not used
        options : of LiveSegmenter, whose policy is "latest" and which computes the objects
        InputError when the artefact or an option is wrong.
        """
        self._affine = None if affine is None else StageView.of(affine, (0, 0), (1, 1)).affine
        self._detector, self._positioner = detector, positioner
        self._newest: LiveResult | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._warned = False
        options.setdefault("until", "objects")
        self.live = LiveSegmenter(artifact, on_result=self._keep, **options)

    def start(self) -> None:
        """Begin, unless it runs already."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="edgescope-imswitch", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no longer; the newest result stays."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def close(self) -> None:
        """Stop, and end the worker."""
        self.stop()
        self.live.close()

    @property
    def counters(self) -> Counters:
        """Those of the live segmenter."""
        return self.live.counters

    def objects(self) -> dict[str, Any]:
        """The newest frame's objects, ready for JSON: {"frame": its number, "objects": [...]}; None before the first.

        Each has label, centroid and area in pixels, mean intensity, and stage_x_um, stage_y_um where they are known.
        """
        result = self._newest
        if result is None or result.segmentation is None:
            return {"frame": None, "objects": [], "error": None if result is None else result.error}
        number, view = result.metadata
        table = result.segmentation.table()
        rows: list[dict[str, Any]] = [{name: row[name].item() for name in MEASURES} for row in table]
        if view is not None:
            for row, (x, y) in zip(rows, view.to_stage(table).tolist(), strict=True):
                row |= {"stage_x_um": x, "stage_y_um": y}
        return {"frame": number, "objects": rows, "flags": list(result.flags)}

    def _keep(self, result: LiveResult) -> None:
        self._newest = result

    def _run(self) -> None:
        last: Any = None
        while not self._stop.is_set():
            try:
                frame, number = self._detector.getLatestFrame(returnFrameNumber=True)
                if frame is None or number == last:
                    self._stop.wait(IDLE_S)
                    continue
                last = number
                self._submit(np.asarray(frame), int(number))
            except Exception:  # the detector's or the stage's, of any kind: the next frame may do better
                log.exception("a frame was not taken")
                self._stop.wait(RETRY_S)

    def _submit(self, frame: NDArray[Any], number: int) -> None:
        view = self._view(frame)
        try:
            self.live.submit(frame, (number, view), None if view is None else view.pixel_size_um)
        except InputError as error:  # colour, or a type that cannot be segmented
            if not self._warned:
                self._warned = True
                log.warning(
                    "a frame cannot be segmented and is skipped; further ones are skipped without a message: %s", error
                )

    def _view(self, frame: NDArray[Any]) -> StageView | None:
        if self._affine is None or self._positioner is None:
            return None
        position = self._positioner.getPosition()
        return StageView.of(self._affine, (float(position["X"]), float(position["Y"])), frame.shape)
