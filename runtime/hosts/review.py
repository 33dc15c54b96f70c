"""napari: a person corrects what a student drew, the worst image first (extra `napari`).

The widget is the plugin's: Plugins > edgescope > Review. It segments the images of a folder that have no labels, lists
them with the worst one first, and shows one after the other with its labels, which are corrected by napari's own tools.
Corrected labels are written where `python -m distill adapt FOLDER` reads them (see runtime.images.label_files).
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import EdgescopeError, InputError
from ..frames.flags import RESIZED
from ..images.label_files import images_in, label_of, place_for
from ..images.planes import PlaneChoice, number_or_name, planes_of, write_mask_ome_tiff
from .napari import TaskPanel, chosen_artifact, describe, put_layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..images.planes import Plane
    from ..segmentation.result import Segmentation
    from ..segmenter import Segmenter

IMAGE, LABELS = "review image", "review labels"  # names of the layers
ENOUGH = 2  # labelled images, from which on adapt can score


@dataclass(frozen=True)
class Drawn:
    """What a student drew in an image.

    expected_dice : see expected_dice; flags : what is odd about the frame, but for its being resized
    """

    path: Path
    expected_dice: float
    count: int
    flags: tuple[str, ...]

    @property
    def badness(self) -> tuple[bool, float, str]:
        """For sorting, the worst first: images with a flag, then by the expected Dice."""
        return not self.flags, self.expected_dice, self.path.name

    def __str__(self) -> str:
        flags = f" ({', '.join(self.flags)})" if self.flags else ""
        return f"{self.expected_dice:.2f}  {self.path.name}, {self.count} object{'' if self.count == 1 else 's'}{flags}"


def expected_dice(probability: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """The Dice that a student expects of its own mask, from its probabilities: 2 sum(p in mask) / (sum(p) + mask).

    probability, mask : (H, W). 0 where nothing was found. It is the Dice in expectation where probabilities are right,
    and ranks images also where they are not.
    """
    inside, everything = float(probability[mask].sum(dtype=np.float64)), float(probability.sum(dtype=np.float64))
    return 2 * inside / (everything + np.count_nonzero(mask)) if mask.any() else 0.0


def draw(segment: Segmenter, path: Path, choice: PlaneChoice) -> tuple[Plane, Segmentation, Drawn]:
    """Segment an image; InputError for one that cannot be read, or has several planes."""
    with closing(planes_of(path, choice)) as every:
        planes = list(islice(every, 2))
    if len(planes) != 1:
        msg = f"{path.name} has several planes; save each as an image of its own."
        raise InputError(msg)
    (plane,) = planes
    result = segment(plane.frame, plane.pixel_size_um)
    count = int(result.labels().max(initial=0))
    flags = tuple(flag for flag in result.flags if flag != RESIZED)
    return plane, result, Drawn(path, expected_dice(result.probability, result.mask), count, flags)


def save_labels(image: Path, labels: NDArray[Any]) -> Path:
    """Write labels (H, W), whole numbers from 0, as the image's label file; returns where. InputError for others."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or labels.min(initial=0) < 0:
        msg = f"Labels of {image.name} are {labels.dtype} of shape {labels.shape}; give whole numbers from 0, (H, W)."
        raise InputError(msg)
    place = place_for(image)
    place.parent.mkdir(exist_ok=True)
    write_mask_ome_tiff(place, labels.astype(np.int64), None)
    return place


def make_widget(napari_viewer: Any = None) -> Any:
    """The plugin's widget, a QWidget; see runtime.hosts.napari.make_widget."""
    return ReviewPanel(napari_viewer).widget


class ReviewPanel(TaskPanel):
    """A folder's images without labels, the worst first, and their labels to be corrected."""

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, "Draw, and list the worst first")
        self._finished = 0  # images of those that are being drawn
        self.drawn: list[Drawn] = []  # the worst first; without those that were saved
        self.shown: Drawn | None = None
        self._build(self._qt)

    def _build(self, qt: Any) -> None:
        self.folder, browse = qt.QLineEdit(), qt.QPushButton("...")
        self.folder.setPlaceholderText("of images without labels")
        self.channel = qt.QLineEdit()
        self.channel.setPlaceholderText("number or name, of images with several")
        browse.setMaximumWidth(browse.sizeHint().height())
        self.list, self.next, self.save = qt.QListWidget(), qt.QPushButton("Next worst"), qt.QPushButton("Save labels")
        self.list.setToolTip("The Dice that the student expects of its own mask, the image, and what is odd about it")
        self.save.setToolTip("Write the labels as corrected, where distill adapt reads them, and show the next image")
        self.saved = qt.QLabel("")
        self.saved.setWordWrap(True)
        row, buttons = qt.QHBoxLayout(), qt.QHBoxLayout()
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        buttons.addWidget(self.next)
        buttons.addWidget(self.save)
        form = qt.QFormLayout(self.widget)
        for label, field in (("Artefact", self.artifact), ("Folder", row), ("Channel", self.channel)):
            form.addRow(label, field)
        for field in (self.begin, self.progress, self.list, buttons, self.status, self.saved):
            form.addRow(field)
        browse.clicked.connect(self._browse)
        self.next.clicked.connect(self.show_next)
        self.save.clicked.connect(self.save_shown)
        self.list.itemDoubleClicked.connect(self._show_chosen)

    def _start(self) -> None:
        """Segment all images without labels."""
        folder, artifact, choice = self._folder(), chosen_artifact(self.artifact), self._choice()
        images = images_in(folder)
        bare = [path for path in images if label_of(path) is None]
        if not bare:
            msg = f"All {len(images)} images in {folder} have labels."
            raise InputError(msg)

        def work() -> tuple[list[Drawn], list[str]]:
            segment = self._model.open(artifact)
            found: list[Drawn] = []
            left_out: list[str] = []
            for path in bare:
                try:
                    found.append(draw(segment, path, choice)[2])
                except InputError as error:  # the next image may be of use
                    left_out.append(str(error))
                self._finished += 1
            return sorted(found, key=lambda one: one.badness), left_out

        def show(done: tuple[list[Drawn], list[str]]) -> None:
            self.drawn, left_out = done
            self.shown = None
            self._list()
            words = [f"{len(self.drawn)} drawn, {len(images) - len(bare)} have labels already"]
            words += [f"{len(left_out)} left out: {left_out[0]}"] if left_out else []
            self.status.setText("; ".join(words))
            self.show_next()

        self._finished = 0
        self._begin(f"segmenting {len(bare)} images", len(bare), work, show)

    def show_next(self) -> None:
        """Show the image after the one that is shown, from the worst on."""
        place = self.drawn.index(self.shown) + 1 if self.shown in self.drawn else 0
        self.show_number(place)

    def show_number(self, number: int) -> None:
        """Show an image of the list, from 0, with what the student draws in it."""
        if self.busy or not number < len(self.drawn):
            self.status.setText("busy" if self.busy else "There is no further image.")
            return
        one, choice, artifact = self.drawn[number], self._choice(), chosen_artifact(self.artifact)

        def show(done: tuple[Plane, Segmentation, Drawn]) -> None:
            plane, result, _ = done
            self._show_image(plane.frame, plane.pixel_size_um)
            put_layer(self._viewer, result.labels(), "labels", LABELS, plane.pixel_size_um)
            self.shown = one
            self.list.setCurrentRow(self.drawn.index(one))
            self.status.setText(f"{one.path.name}: {describe(result, 0).partition('; ')[2]}")

        self._begin(f"segmenting {one.path.name}", 0, lambda: draw(self._model.open(artifact), one.path, choice), show)

    def save_shown(self) -> None:
        """Write the labels of the image that is shown, as they are in the layer now, and go on to the next one."""
        one = self.shown
        if one is None or LABELS not in self._viewer.layers or self.busy:
            self.status.setText("Show an image first.")
            return
        try:
            place = save_labels(one.path, self._viewer.layers[LABELS].data)
        except (EdgescopeError, OSError) as error:
            self.status.setText(str(error))
            return
        number = self.drawn.index(one)
        self.drawn.remove(one)
        self.shown = None
        self._list()
        count = len([*place.parent.iterdir()])
        told = f"saved {place}"
        if count >= ENOUGH:
            told += f"; to learn from {count} labels: python -m distill adapt {self.folder.text()} --out DIR"
        self.saved.setText(told)
        self.show_number(number)

    def _show_chosen(self, _: Any) -> None:
        self.show_number(self.list.currentRow())

    def _list(self) -> None:
        self.list.clear()
        self.list.addItems([str(one) for one in self.drawn])

    def _show_image(self, frame: NDArray[Any], pixel_size_um: float | None) -> None:
        scale = (pixel_size_um or 1.0,) * 2
        low, high = (float(value) for value in np.percentile(frame, (0.5, 99.8)))
        if IMAGE in self._viewer.layers:
            layer = self._viewer.layers[IMAGE]
            layer.data, layer.scale = frame, scale
        else:
            layer = self._viewer.add_image(frame, name=IMAGE, scale=scale)
        layer.contrast_limits = (low, max(high, low + 1e-6))

    def _show_progress(self) -> None:
        self.progress.setValue(self._finished)

    def _folder(self) -> Path:
        text = self.folder.text().strip()
        folder = Path(text).expanduser()
        if not text or not folder.is_dir():
            msg = f"{text!r} is no folder; choose the one that the images are in."
            raise InputError(msg)
        return folder

    def _choice(self) -> PlaneChoice:
        return PlaneChoice(number_or_name(self.channel.text().strip() or None))

    def _browse(self) -> None:
        folder = self._qt.QFileDialog.getExistingDirectory(self.widget, "Folder of images")
        if folder:
            self.folder.setText(folder)
