"""In napari, without a screen: the layer follows, and the widget segments or says what is wrong."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import InputError
from runtime.hosts import review
from runtime.hosts.napari import LiveLayer, SegmentPanel, choices, make_widget, pixel_size_of, plane_of, put_layer
from runtime.live import LiveSegmenter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RUNTIME = Path(__file__).parents[3] / "runtime"


@pytest.fixture
def panel(app: Any, viewer: Any, artifact_path: Path) -> Iterator[SegmentPanel]:
    panel = SegmentPanel(viewer)
    panel.artifact.setEditText(str(artifact_path))
    yield panel
    discard(app, panel)


def discard(app: Any, panel: SegmentPanel) -> None:
    """Delete the widget here, and not where Python happens to collect it: that may be another thread."""
    panel.close()
    panel.widget.deleteLater()
    app.sendPostedEvents(None, pytest.importorskip("qtpy.QtCore").QEvent.DeferredDelete)


def spots(top: int = 20) -> NDArray[np.uint16]:
    """A dim background and two bright squares, one of them from row `top` on."""
    frame = np.random.default_rng(0).integers(100, 200, (100, 90)).astype(np.uint16)
    frame[top : top + 20, 20:40] += 4000
    frame[60:70, 50:80] += 4000
    return frame


def wait_for(app: Any, holds: Any, seconds: float = 60) -> None:
    """Let Qt work until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        app.processEvents()
        time.sleep(0.01)


def segment(app: Any, panel: SegmentPanel) -> None:
    """Press the button, and wait for what comes of it."""
    panel.begin.click()
    wait_for(app, lambda: not panel.busy)


@pytest.mark.parametrize(("shown", "kind"), [("labels", "Labels"), ("mask", "Labels"), ("probability", "Image")])
def test_a_layer_follows_a_live_segmenter(app: Any, viewer: Any, artifact_path: Path, shown: Any, kind: str):
    with LiveSegmenter(artifact_path, policy="block", spare=False) as live:
        following = LiveLayer(viewer, live, shown=shown)
        live.submit(spots(20), pixel_size_um=0.5)
        wait_for(app, lambda: following.drawn == 1)
        first = viewer.layers["edgescope live"].data.copy()
        live.submit(spots(30), pixel_size_um=0.5)
        wait_for(app, lambda: following.drawn == 2)
        following.close()
    (layer,) = viewer.layers
    assert type(layer).__name__ == kind
    assert tuple(layer.scale) == (0.5, 0.5)
    assert (first[25, 30] > 0.5, first[45, 30] > 0.5) == (True, False)
    assert layer.data[45, 30] > 0.5


def test_a_layer_goes_on_after_a_drain_and_after_a_result_that_cannot_be_shown(
    app: Any, viewer: Any, artifact_path: Path
):
    def fail_once(result: Any) -> None:
        if result.index == 0:
            raise ValueError

    with LiveSegmenter(artifact_path, policy="block", spare=False) as live:
        following = LiveLayer(viewer, live, on_result=fail_once)
        live.submit(spots(20))
        assert live.drain(60)
        live.submit(spots(30))
        wait_for(app, lambda: following.drawn == 1)
        following.close()


def test_a_layer_of_somebody_else_or_of_another_kind_is_not_overwritten(viewer: Any):
    theirs = viewer.add_image(spots(20), name="cells")
    labels = put_layer(viewer, np.zeros((4, 4), np.int32), "labels", "cells")
    probability = put_layer(viewer, np.zeros((4, 4), np.float32), "probability", "cells")
    assert put_layer(viewer, np.ones((4, 4), np.int32), "labels", "cells") is labels
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Labels", "Image"]
    assert theirs.data.shape == spots(20).shape
    assert labels.data.all()
    assert not probability.data.any()


def test_what_a_layer_cannot_show_is_refused(viewer: Any):
    with pytest.raises(InputError, match="labels, mask, probability"):
        LiveLayer(viewer, None, shown="cores")


def test_the_widget_segments_the_plane_that_is_shown(app: Any, viewer: Any, panel: SegmentPanel):
    viewer.add_image(
        np.stack([np.zeros_like(spots()), spots()]), name="stack", scale=(1, 0.5, 0.5), translate=(0, 7, 9)
    )
    viewer.dims.set_current_step(0, 1)
    segment(app, panel)
    assert panel.status.text().startswith("2 objects in ")
    labels = viewer.layers["stack labels"]
    assert labels.data.max() == 2
    assert tuple(labels.scale) == (0.5, 0.5)
    assert tuple(labels.translate) == (7, 9)
    segment(app, panel)
    assert len(viewer.layers) == 2  # the layer is used again
    assert panel.layer.count() == 1


def test_the_status_line_has_count_time_pixel_size_and_flags(app: Any, viewer: Any, panel: SegmentPanel):
    frame = spots()
    frame[60:70, 50:80] = 65535
    viewer.add_image(frame, name="image", scale=(0.5, 0.5), units=("um", "um"))
    segment(app, panel)
    text = panel.status.text()
    assert re.match(r"\d objects? in [\d.e-]+ s; ", text)
    assert "0.5 um a pixel" in text
    assert re.search("as it is|resized by", text)
    assert "saturated" in text


def test_a_frame_is_segmented_while_napari_goes_on_and_can_be_cancelled(app: Any, viewer: Any, panel: SegmentPanel):
    viewer.add_image(np.tile(spots(), (30, 30)), name="large")
    panel.begin.click()
    wait_for(app, lambda: 0 < panel.progress.value() < panel.progress.maximum())
    assert panel.progress.isVisibleTo(panel.widget)
    assert panel.begin.text() == "Cancel"
    panel.begin.click()
    wait_for(app, lambda: not panel.busy)
    assert panel.status.text() == "cancelled"
    assert [layer.name for layer in viewer.layers] == ["large"]
    assert not panel.progress.isVisibleTo(panel.widget)


def test_the_diameter_is_asked_for_and_a_wrong_one_is_told(app: Any, viewer: Any, panel: SegmentPanel):
    viewer.add_image(spots(), name="image")
    panel.diameter.setText("big")
    segment(app, panel)
    assert "The diameter is 'big'" in panel.status.text()
    panel.diameter.setText("off")
    segment(app, panel)
    assert "; as it is; " in panel.status.text()


def test_thresholds_of_ones_own_are_used_and_stand_in_the_layer(app: Any, viewer: Any, panel: SegmentPanel):
    viewer.add_image(spots(), name="image")
    panel.rule["min_area"].setText("many")
    segment(app, panel)
    assert panel.status.text() == "Min area is 'many'; give a number, or leave it empty."
    panel.rule["min_area"].setText("350")
    panel.rule["threshold"].setText("0.6")
    segment(app, panel)
    assert panel.status.text().startswith("1 object in ")  # the other has 300 pixels
    used = viewer.layers["image labels"].metadata["edgescope settings"]
    assert (used["threshold"], used["min_area"]) == (0.6, 350)
    assert used["artifact"] == panel.artifact.currentText()
    panel.live.setChecked(True)
    wait_for(app, lambda: "image live" in viewer.layers)
    assert viewer.layers["image live"].data.max() == 1
    panel.live.setChecked(False)


def test_the_result_lies_on_a_rotated_image(app: Any, viewer: Any, panel: SegmentPanel):
    image = viewer.add_image(spots(), name="image", scale=(0.5, 0.4), translate=(3, 4), rotate=30)
    segment(app, panel)
    corner = viewer.layers["image labels"].data_to_world((0, 90))
    np.testing.assert_allclose(corner, image.data_to_world((0, 90)))


def test_the_widget_lists_the_artefacts_that_are_here(
    app: Any, viewer: Any, artifact_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EDGESCOPE_ARTIFACTS", str(artifact_path.parent))
    panel = SegmentPanel(viewer)
    assert artifact_path.name in [panel.artifact.itemText(i) for i in range(panel.artifact.count())]
    discard(app, panel)


def test_artefacts_for_a_backend_that_is_not_installed_are_listed_last(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, backend in (("a", "not_there"), ("b", "onnxruntime"), ("c", "not_there"), ("d", "onnxruntime")):
        replace(made, manifest=replace(made.manifest, backend=backend)).write(tmp_path / "all" / name)
    (tmp_path / "all" / "e").mkdir()
    (tmp_path / "all" / "e" / "manifest.json").write_text("[]")
    monkeypatch.setenv("EDGESCOPE_ARTIFACTS", str(tmp_path / "all"))
    monkeypatch.chdir(tmp_path)
    assert choices() == ["b", "d", "e", "a", "c"]


def test_the_widget_offers_images_and_not_its_own_results(app: Any, viewer: Any, panel: SegmentPanel):
    viewer.add_image(spots(), name="one")
    viewer.add_labels(np.zeros((4, 4), int), name="drawn by hand")
    panel.shown.setCurrentText("probability")
    segment(app, panel)
    assert [panel.layer.itemText(i) for i in range(panel.layer.count())] == ["one"]


def test_live_follows_what_is_put_into_the_layer(app: Any, viewer: Any, panel: SegmentPanel):
    layer = viewer.add_image(spots(20), name="camera", scale=(0.5, 0.5), translate=(7, 9))
    panel.live.setChecked(True)
    assert panel.busy
    wait_for(app, lambda: "camera live" in viewer.layers)
    layer.data = spots(30)
    wait_for(app, lambda: viewer.layers["camera live"].data[45, 30] > 0)
    layer.translate = (1, 2)  # the stage has moved
    layer.data = spots(20)
    wait_for(app, lambda: viewer.layers["camera live"].data[25, 30] > 0)
    wait_for(app, lambda: panel.status.text().startswith("live: 2 objects in "))
    assert tuple(viewer.layers["camera live"].scale) == (0.5, 0.5)
    assert tuple(viewer.layers["camera live"].translate) == (1, 2)
    panel.live.setChecked(False)
    layer.data = spots(20)
    assert panel._live is None


@pytest.mark.parametrize(
    ("artifact", "image", "word"),
    [("", spots(), "Choose an artefact"), ("gone", spots(), "gone"), (None, None, "no image"),
     (None, np.zeros((40, 40, 3), np.uint8), "one channel"), (None, np.zeros((9, 9)), "float64")],
)  # fmt: skip
def test_what_is_wrong_stands_in_the_status_line(
    app: Any, viewer: Any, panel: SegmentPanel, artifact: Any, image: Any, word: str
):
    if artifact is not None:
        panel.artifact.setEditText(artifact)
    if image is not None:
        viewer.add_image(image, name="image")
    segment(app, panel)
    assert word in panel.status.text()
    panel.live.setChecked(artifact in ("", "gone"))
    wait_for(app, lambda: not panel.busy)
    assert not panel.live.isChecked()


def test_a_multiscale_layer_is_segmented_at_its_full_resolution(viewer: Any):
    layer = viewer.add_image([spots(), spots()[::2, ::2]], multiscale=True)
    assert plane_of(layer, viewer.dims.current_step).shape == (100, 90)


@pytest.mark.parametrize(("unit", "um"), [("um", 0.5), ("nm", 0.0005), ("pixel", None)])
def test_the_pixel_size_is_the_layers(viewer: Any, unit: str, um: float | None):
    assert pixel_size_of(viewer.add_image(spots(), scale=(0.5, 0.5), units=(unit, unit))) == um


@pytest.mark.parametrize("folder", [RUNTIME.parent, RUNTIME], ids=["edgescope", "edgescope-runtime"])
def test_each_distribution_declares_a_manifest_of_its_own_name(folder: Path):
    tomllib, yaml = pytest.importorskip("tomllib"), pytest.importorskip("yaml")
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((_, declared),) = project["entry-points"]["napari.manifest"].items()
    module, _, file = declared.partition(":")
    manifest = yaml.safe_load((RUNTIME / file).read_text(encoding="utf-8"))
    assert (module, manifest["name"]) == ("runtime", project["name"])
    commands = manifest["contributions"]["commands"]
    assert [command["python_name"] for command in commands] == [
        f"{make.__module__}:{make.__name__}" for make in (make_widget, review.make_widget)
    ]
    assert [widget["command"] for widget in manifest["contributions"]["widgets"]] == [one["id"] for one in commands]
    assert all(command["id"].startswith(f"{project['name']}.") for command in commands)


@pytest.mark.parametrize(("file", "name"), [("napari.yaml", "edgescope"), ("napari_runtime.yaml", "edgescope-runtime")])
def test_the_manifest_is_valid_and_names_what_there_is(file: str, name: str):
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(RUNTIME / file)
    assert manifest.name == name
    manager = npe2.PluginManager()
    manager.register(manifest)
    manager.activate(name)
    widgets = [manager.commands.get(widget.command) for widget in manifest.contributions.widgets]
    assert widgets == [make_widget, review.make_widget]


@pytest.mark.slow
def test_the_widgets_open_from_napari_s_own_menu(app: Any):
    napari, npe2 = pytest.importorskip("napari"), pytest.importorskip("npe2")
    window = napari.Viewer(show=False)
    plugins = npe2.PluginManager.instance()
    if "edgescope" not in plugins:  # this checkout is not installed
        plugins.register(npe2.PluginManifest.from_file(RUNTIME / "napari.yaml"))
    try:
        (menu,) = [one.menu() for one in window.window.plugins_menu.actions() if one.text() == "edgescope"]
        for action in menu.actions():
            action.trigger()
        panel, reviewing = (dock.panel for dock in window.window.dock_widgets.values())
        assert panel._viewer is reviewing._viewer is window  # no layers: without a screen no OpenGL draws them
        panel.begin.click()
        assert "no image" in panel.status.text()
        reviewing.save.click()
        assert reviewing.status.text() == "Show an image first."
    finally:
        window.close()
