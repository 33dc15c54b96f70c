"""Squid (Cephla): a job that segments what the multi-point acquisition captures, in Squid's own worker process.

In a module of yours that Squid can import:

    from control.core.job_processing import Job
    from runtime.hosts.squid import SegmentsCapture

    class SegmentJob(SegmentsCapture, Job):
        artifact = "nuclei-fast-intel-int8"
        pixel_size_um = 0.37

and hand it to the worker: MultiPointWorker(..., extra_job_classes=[SegmentJob]). Each capture's objects are written
beside its images, as FILE_ID-CHANNEL-objects.csv, with their places on the stage in micrometres.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import numpy as np

from ..objects.measure import TABLE
from ..segmenter import Segmenter
from ..system import atomic
from .stage import StageView, affine_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

_opened: dict[str, Segmenter] = {}  # of this process, which Squid keeps for the acquisition; by artefact and options


class Captured(Protocol):
    """What Squid's Job has, as far as it is used here; positions are in millimetres."""

    capture_info: Any

    def image_array(self) -> NDArray[Any]:
        """The image (H, W)."""
        ...


class SegmentsCapture:
    """Mix it into Squid's Job.

    artifact : name, folder or .zip; options : of Segmenter.open, for example {"threshold": 0.6}
    pixel_size_um, affine : of the camera's pixels; an affine (see runtime.hosts.stage) goes first
    channel : the only one that is segmented, by its name; None is every one
    """

    artifact: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    pixel_size_um: ClassVar[float | None] = None
    affine: ClassVar[ArrayLike | None] = None
    channel: ClassVar[str | None] = None

    def run(self) -> int | None:
        """Segment the capture; how many objects there are, or None for another channel."""
        job = cast("Captured", self)
        info, frame = job.capture_info, job.image_array()
        name = str(info.configuration.name)
        if self.channel is not None and name != self.channel:
            return None
        affine = self.affine if self.affine is not None else self.pixel_size_um and affine_of(self.pixel_size_um)
        position = info.position.x_mm * 1e3, info.position.y_mm * 1e3
        view = None if affine is None else StageView.of(affine, position, frame.shape)
        key = f"{self.artifact} {dict(self.options)}"
        if key not in _opened:
            _opened[key] = Segmenter.open(self.artifact, **self.options)
        result = _opened[key](frame, None if view is None else view.pixel_size_um)
        table = result.table()
        file = f"{info.file_id}-{re.sub('[^A-Za-z0-9]+', '_', name)}-objects.csv"
        atomic.write_bytes(Path(info.save_directory, file), _csv(table, view, info).encode())
        return len(table)


def _csv(table: NDArray[np.void], view: StageView | None, info: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["region_id", "fov", "z_index", "stage_x_um", "stage_y_um", *(TABLE.names or ())])
    places = np.full((len(table), 2), np.nan) if view is None else view.to_stage(table)
    for place, row in zip(places.tolist(), table.tolist(), strict=True):
        cells = [None if value != value else value for value in (*place, *row)]  # NaN is not equal to itself
        writer.writerow([info.region_id, info.fov, info.z_index, *cells])
    return text.getvalue()
