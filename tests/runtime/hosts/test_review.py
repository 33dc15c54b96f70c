"""A person corrects what a student drew: the worst image first, and labels where training reads them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import InputError, Segmenter
from runtime.hosts.review import Drawn, ReviewPanel, draw, expected_dice, save_labels
from runtime.images.planes import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

tifffile = pytest.importorskip("tifffile")


def frame(bright: int) -> np.ndarray:
    """Noise and two squares; the less bright they are, the less sure the student is."""
    pixels = np.random.default_rng(0).integers(100, 200, (70, 80)).astype(np.uint16)
    pixels[10:30, 20:40] += 4000
    pixels[45:60, 20:60] += bright
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images without labels, a clear one first, and one with."""
    for name, bright in (("a-clear", 4000), ("b-worst", 2100), ("c-bad", 2400), ("d-known", 4000)):
        (tmp_path / "lab" / "images").mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(tmp_path / "lab" / "images" / f"{name}.tif", frame(bright))
    save_labels(tmp_path / "lab" / "images" / "d-known.tif", np.ones((70, 80), np.int32))
    return tmp_path / "lab"


def test_the_expected_dice_is_that_of_sure_and_unsure_masks():
    sure = np.array([[1, 1, 0, 0]], np.float32)
    assert expected_dice(sure, sure > 0.5) == 1
    unsure = np.array([[0.75, 0.75, 0.25, 0.25]], np.float32)
    assert expected_dice(unsure, unsure > 0.5) == 0.75
    assert expected_dice(sure * 0.4, sure > 1) == 0


def test_images_with_flags_come_first_and_then_the_least_sure(tmp_path: Path):
    made = [
        Drawn(tmp_path / "a", 0.9, 3, ()),
        Drawn(tmp_path / "b", 0.5, 1, ()),
        Drawn(tmp_path / "c", 0.95, 2, ("x",)),
    ]
    assert [one.path.name for one in sorted(made, key=lambda one: one.badness)] == ["c", "b", "a"]
    assert [str(one) for one in made[1:]] == ["0.50  b, 1 object", "0.95  c, 2 objects (x)"]


def test_an_image_that_the_student_is_unsure_of_is_worse(folder: Path, artifact_path: Path):
    with Segmenter.open(artifact_path) as segment:
        found = {
            name: draw(segment, folder / "images" / f"{name}.tif", EVERYTHING)[2] for name in ("a-clear", "b-worst")
        }
    assert found["b-worst"].expected_dice < found["a-clear"].expected_dice
    assert found["a-clear"].count == 2


def test_a_stack_is_left_out_with_its_reason(tmp_path: Path, artifact_path: Path):
    tifffile.imwrite(tmp_path / "t.tif", np.stack([frame(9)] * 3), imagej=True, metadata={"axes": "TYX"})
    with Segmenter.open(artifact_path) as segment, pytest.raises(InputError, match=r"t\.tif has several planes"):
        draw(segment, tmp_path / "t.tif", EVERYTHING)


@pytest.mark.parametrize(("top", "dtype"), [(3, "uint16"), (70_000, "uint32")])
def test_labels_are_written_where_training_reads_them(tmp_path: Path, top: int, dtype: str):
    labels = np.zeros((8, 9), np.int64)
    labels[2:4] = top
    place = save_labels(tmp_path / "a.tif", labels)
    assert place == tmp_path / "labels" / "a.tif"
    written = tifffile.imread(place)
    assert written.dtype == dtype
    np.testing.assert_array_equal(written, labels)


@pytest.mark.parametrize("labels", [np.zeros((2, 3, 4), int), np.zeros((2, 3)), np.full((2, 3), -1)])
def test_what_is_no_label_image_is_refused(tmp_path: Path, labels: np.ndarray):
    with pytest.raises(InputError, match=r"Labels of a\.tif are .*; give whole numbers from 0"):
        save_labels(tmp_path / "a.tif", labels)


@pytest.fixture
def panel(app: Any, viewer: Any, artifact_path: Path, folder: Path) -> Iterator[ReviewPanel]:
    made = ReviewPanel(viewer)
    made.artifact.setEditText(str(artifact_path))
    made.folder.setText(str(folder))
    yield made
    made.close()
    made.widget.deleteLater()
    app.sendPostedEvents(None, pytest.importorskip("qtpy.QtCore").QEvent.DeferredDelete)


def press(app: Any, panel: ReviewPanel, button: Any) -> None:
    """Press a button, and wait for what comes of it."""
    button.click()
    end = time.monotonic() + 60
    while panel.busy:
        assert time.monotonic() < end
        app.processEvents()
        time.sleep(0.01)


def names(panel: ReviewPanel) -> list[str]:
    return [one.path.stem for one in panel.drawn]


def test_the_worst_image_is_shown_first_corrected_saved_and_gone(
    app: Any, viewer: Any, panel: ReviewPanel, folder: Path
):
    press(app, panel, panel.begin)
    assert names(panel) == ["b-worst", "c-bad", "a-clear"]
    assert panel.list.count() == 3
    assert panel.shown is panel.drawn[0]
    np.testing.assert_array_equal(viewer.layers["review image"].data, frame(2100))
    press(app, panel, panel.next)
    assert panel.shown.path.stem == "c-bad"
    viewer.layers["review labels"].data[45:60, 20:60] = 9  # as a person paints
    press(app, panel, panel.save)
    written = tifffile.imread(folder / "labels" / "c-bad.tif")
    assert (written[45:60, 20:60] == 9).all()
    assert names(panel) == ["b-worst", "a-clear"]
    assert panel.shown.path.stem == "a-clear"  # on to the next one
    assert "to learn from 2 labels: python -m distill adapt" in panel.saved.text()
    press(app, panel, panel.next)
    assert panel.status.text() == "There is no further image."
    press(app, panel, panel.begin)
    assert names(panel) == ["b-worst", "a-clear"]  # what is labelled is not asked about again


def test_what_is_wrong_stands_in_the_status_line(app: Any, panel: ReviewPanel, folder: Path):
    press(app, panel, panel.save)
    assert panel.status.text() == "Show an image first."
    (folder / "images" / "e.tif").write_bytes(b"II*\0")
    press(app, panel, panel.begin)
    assert len(panel.drawn) == 3
    panel.folder.setText("")
    press(app, panel, panel.begin)
    assert panel.status.text().startswith("'' is no folder")


def test_drawing_can_be_cancelled(app: Any, panel: ReviewPanel):
    panel.begin.click()
    press(app, panel, panel.begin)
    assert panel.status.text() == "cancelled"
    assert panel.begin.text().startswith("Draw")
