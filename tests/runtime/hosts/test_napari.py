"""In napari, without a screen: the layer follows, and the widget segments or says what is wrong."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import InputError
from runtime.hosts.napari import LiveLayer, Panel, make_widget, pixel_size_of, plane_of, put_layer
from runtime.live import LiveSegmenter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RUNTIME = Path(__file__).parents[3] / "runtime"
START_QT = "from qtpy.QtWidgets import QApplication; QApplication([])"


@pytest.fixture(scope="module")
def app() -> Any:
    """Qt without a screen. Where a system library is missing Qt ends the process, so another one tries first."""
    if not all(importlib.util.find_spec(name) for name in ("napari", "qtpy")):
        pytest.skip("napari is not installed")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    tried = subprocess.run([sys.executable, "-c", START_QT], capture_output=True, text=True, check=False)
    if tried.returncode:
        said = (tried.stderr.strip().splitlines() or ["no word why"])[-1]
        pytest.skip(f"Qt cannot start here ({said}); on Debian it needs libegl1, libgl1, libxkbcommon0, libdbus-1-3")
    widgets = pytest.importorskip("qtpy.QtWidgets")
    return widgets.QApplication.instance() or widgets.QApplication([])


@pytest.fixture
def viewer(app: Any) -> Any:
    """What a viewer knows, without its window."""
    return pytest.importorskip("napari.components").ViewerModel()


@pytest.fixture
def panel(viewer: Any, artifact_path: Path) -> Iterator[Panel]:
    panel = Panel(viewer)
    panel.artifact.setText(str(artifact_path))
    yield panel
    panel.close()


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


def test_the_widget_segments_the_plane_that_is_shown(viewer: Any, panel: Panel):
    viewer.add_image(np.stack([np.zeros_like(spots()), spots()]), name="stack", scale=(1, 0.5, 0.5))
    viewer.dims.set_current_step(0, 1)
    panel.segment_once()
    assert panel.status.text() == "done"
    labels = viewer.layers["stack labels"]
    assert labels.data.max() == 2
    assert tuple(labels.scale) == (0.5, 0.5)
    panel.segment_once()
    assert len(viewer.layers) == 2  # the layer is used again
    assert panel.layer.count() == 1


def test_the_widget_offers_images_and_not_its_own_results(viewer: Any, panel: Panel):
    viewer.add_image(spots(), name="one")
    viewer.add_labels(np.zeros((4, 4), int), name="drawn by hand")
    panel.shown.setCurrentText("probability")
    panel.segment_once()
    assert [panel.layer.itemText(i) for i in range(panel.layer.count())] == ["one"]


def test_live_follows_what_is_put_into_the_layer(app: Any, viewer: Any, panel: Panel):
    layer = viewer.add_image(spots(20), name="camera")
    panel.live.setChecked(True)
    assert "live" in panel.status.text()
    wait_for(app, lambda: "camera live" in viewer.layers)
    layer.data = spots(30)
    wait_for(app, lambda: viewer.layers["camera live"].data[45, 30] > 0)
    panel.live.setChecked(False)
    layer.data = spots(20)
    assert panel._live is None


@pytest.mark.parametrize(
    ("artifact", "image", "word"),
    [("", spots(), "Choose an artefact"), ("gone", spots(), "gone"), (None, None, "no image"),
     (None, np.zeros((40, 40, 3), np.uint8), "one channel"), (None, np.zeros((9, 9)), "float64")],
)  # fmt: skip
def test_what_is_wrong_stands_in_the_status_line(viewer: Any, panel: Panel, artifact: Any, image: Any, word: str):
    if artifact is not None:
        panel.artifact.setText(artifact)
    if image is not None:
        viewer.add_image(image, name="image")
    panel.segment_once()
    assert word in panel.status.text()
    panel.live.setChecked(artifact == "")
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
    (command,) = manifest["contributions"]["commands"]
    assert command["python_name"] == f"{make_widget.__module__}:{make_widget.__name__}"
    assert [widget["command"] for widget in manifest["contributions"]["widgets"]] == [command["id"]]
    assert command["id"].startswith(f"{project['name']}.")


@pytest.mark.parametrize(("file", "name"), [("napari.yaml", "edgescope"), ("napari_runtime.yaml", "edgescope-runtime")])
def test_the_manifest_is_valid_and_names_what_there_is(file: str, name: str):
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(RUNTIME / file)
    assert manifest.name == name
    manager = npe2.PluginManager()
    manager.register(manifest)
    manager.activate(name)
    (widget,) = manifest.contributions.widgets
    assert manager.commands.get(widget.command) is make_widget


@pytest.mark.slow
def test_a_real_window_docks_the_widget(app: Any):
    window = pytest.importorskip("napari").Viewer(show=False)
    try:
        widget = make_widget(window)  # no layers: without a screen there is no OpenGL to draw them
        assert window.window.add_dock_widget(widget, name="Segment").isEnabled()
        widget.panel.segment.click()
        assert "no image" in widget.panel.status.text()
    finally:
        window.close()
