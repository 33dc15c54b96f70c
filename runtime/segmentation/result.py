"""What a student sees in a frame: maps, and the mask, labels and objects that are made of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ..frames.scale import AS_IT_IS, Scale
from ..objects.instances import label_and_count
from ..objects.measure import measure_table, objects_of
from .object_flags import object_flags

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..artifact.manifest import Objects, ObjectSize
    from ..frames.normalize import Frame
    from ..objects.measure import MeasuredObject


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a student sees in a frame.

    probability, core : float32 (H, W) in [0, 1]; core may be None
    threshold, rule : how mask and labels() are made of them, from the manifest
    frame_flags : what is odd about the frame
    frame : the frame itself, not a copy, for the intensities in objects(); None where it was not kept
    scale : what the frame was resized by before the student saw it, and why
    object_diameter : what the student was made for; None where it does not say
    finds_cells : whether the student was scored on whole cells
    threads : at most so many make the labels and the table, which are the same with any number
    """

    probability: NDArray[np.float32]
    core: NDArray[np.float32] | None
    threshold: float
    rule: Objects
    pixel_size_um: float | None = None
    frame_flags: tuple[str, ...] = ()
    frame: Frame | None = field(default=None, repr=False)
    scale: Scale = AS_IT_IS
    object_diameter: ObjectSize | None = None
    finds_cells: bool = False
    threads: int = field(default=1, repr=False)

    @property
    def flags(self) -> tuple[str, ...]:
        """What is odd about the frame, and about its objects once labels() made them; see runtime.frames.flags."""
        return (*self.frame_flags, *(self._object_flags if "_labelled" in self.__dict__ else ()))

    @property
    def settings(self) -> dict[str, float]:
        """Threshold and rule as one flat dict, for files of results."""
        return {"threshold": self.threshold, **asdict(self.rule)}

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool (H, W): probability > threshold."""
        return self.probability > self.threshold

    def labels(self) -> NDArray[np.int32]:
        """int32 (H, W): 0 is background, objects are 1, 2, ...; computed once, by label_objects."""
        return self._labelled[0]

    def objects(self, frame: Frame | None = None) -> tuple[MeasuredObject, ...]:
        """Place, size, intensities and shape of each object, in the order of labels(); see MeasuredObject.

        frame : where the intensities are taken from, in place of the one that was segmented. Give it when that one
            was not kept, or has been overwritten since, as cameras do with their buffers; without any, the
            intensities are None. InputError when its shape is another one.
        """
        return objects_of(self.table(frame))

    def table(self, frame: Frame | None = None) -> NDArray[np.void]:
        """objects() as one numpy structured array, whose columns are runtime.objects.measure.TABLE.

        Its columns are arrays: `table["area_px"]`. What is None in objects() is NaN here.
        """
        frame = self.frame if frame is None else frame
        labels, count = self._labelled
        return measure_table(labels, frame, self.pixel_size_um, self.probability, count, self.threads)

    @cached_property
    def _object_flags(self) -> tuple[str, ...]:
        labels, count = self.labels(), self._labelled[1]
        return object_flags(labels, count, self.scale.factor, self.object_diameter, self.finds_cells)

    @cached_property
    def _labelled(self) -> tuple[NDArray[np.int32], int]:
        return label_and_count(self.probability, self.core, self.threshold, self.rule, self.threads)
