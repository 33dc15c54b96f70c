"""napari: a layer that follows a live segmenter, and a widget that segments what a viewer shows (extra `napari`).

    with LiveSegmenter(artifact) as live:
        layer = LiveLayer(viewer, live)  # results appear in the viewer from now on

The widget is the plugin's: Plugins > edgescope > Segment. It segments the plane that is shown of an image layer, or,
with "live", every image that someone puts into the layer, as napari's camera plugins do.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ..errors import EdgescopeError, InputError
from ..live import LiveSegmenter
from ..segmenter import Segmenter
from ..system import extras

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ..live import LiveResult
    from ..segmentation.result import Segmentation

log = logging.getLogger(__name__)

Shown: TypeAlias = Literal["mask", "labels", "probability"]
SHOWN: tuple[Shown, ...] = ("labels", "mask", "probability")
REDRAW_MS = 33  # a display's rhythm: a camera may be faster, and the newest result is what is wanted
OURS = "edgescope"  # key in a layer's metadata, so that a result is not segmented in turn
NAMED = {"nm": 1e-3, "nanometer": 1e-3, "um": 1.0, "µm": 1.0, "micrometer": 1.0, "micron": 1.0, "mm": 1e3}


class LiveLayer:
    """A layer that shows the newest result of a live segmenter, until it is closed.

    Results are taken in a thread, objects are found there too, and the layer is changed by a timer in the thread that
    has made this object, which must be Qt's. Results that a newer one has overtaken are not drawn.
    """

    def __init__(
        self,
        viewer: Any,
        live: Any,
        *,
        shown: Shown = "labels",
        name: str = "edgescope live",
        on_result: Callable[[LiveResult], object] | None = None,
    ) -> None:
        """Begin to follow.

        live : a LiveSegmenter, or anything with its results(), such as a runtime.hosts.pymmcore.Attachment
        shown : what the layer shows: "labels" (numbered objects), "mask" or "probability"
        on_result : called with each result in the thread that takes them
        """
        _check_shown(shown)
        self._viewer, self._live, self._name, self._on_result = viewer, live, name, on_result
        self._shown: Shown = shown
        self._newest: tuple[NDArray[Any], float | None] | None = None
        self._lock = threading.Lock()
        self.layer: Any = None
        self.drawn = 0
        self._closed = False
        self._thread = threading.Thread(
            target=self._follow, args=(live.results(),), name="edgescope-napari", daemon=True
        )
        self._timer = extras.load("qtpy.QtCore", extra="napari").QTimer()
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self.draw)
        self._thread.start()
        self._timer.start()

    def draw(self) -> None:
        """Put the newest result into the layer, if there is one that is not drawn yet; for Qt's thread alone."""
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is None or self._closed:
            return
        self.layer = put_layer(self._viewer, newest[0], self._shown, self._name, newest[1])
        self.drawn += 1

    def close(self) -> None:
        """Follow no longer; the layer stays as it is."""
        self._closed = True
        self._timer.stop()

    def _follow(self, results: Iterator[LiveResult]) -> None:
        while not self._closed:
            for result in results:
                if self._closed:
                    return
                try:
                    self._take(result)
                except Exception:  # of on_result, or of finding the objects; the next one may do better
                    log.exception("frame %d is not shown", result.index)
            if getattr(self._live, "closed", True):
                return
            time.sleep(REDRAW_MS / 1e3)  # it was drained, and further frames may come
            results = self._live.results()

    def _take(self, result: LiveResult) -> None:
        if self._on_result is not None:
            self._on_result(result)
        if result.segmentation is None:
            log.warning("frame %d was not segmented: %s", result.index, result.error)
            return
        array = array_of(result.segmentation, self._shown)
        with self._lock:
            self._newest = array, result.segmentation.pixel_size_um


def array_of(segmentation: Segmentation, shown: Shown) -> NDArray[Any]:
    """What is shown of a segmentation: labels (int32), mask (uint8, 0 and 1) or probability (float32)."""
    if shown == "labels":
        return segmentation.labels()
    return segmentation.mask.astype(np.uint8) if shown == "mask" else segmentation.probability


def put_layer(
    viewer: Any, array: NDArray[Any], shown: Shown, name: str, pixel_size_um: float | None = None, like: Any = None
) -> Any:
    """Show an array in our own layer of this name, which is made where there is none; returns the layer.

    A layer of the same name that is somebody else's, or shows something else, stays as it is.
    like : a layer whose place and scale the new one takes; without it the scale is the pixel size
    """
    metadata = {OURS: (shown, name)}
    for layer in viewer.layers:
        if layer.metadata.get(OURS) == metadata[OURS]:
            layer.data = array
            return layer
    place: dict[str, Any] = {"scale": (pixel_size_um,) * 2} if pixel_size_um else {}
    if like is not None:
        place = {"scale": like.scale[-2:], "translate": like.translate[-2:]}
    if shown == "probability":
        return viewer.add_image(
            array, name=name, contrast_limits=(0, 1), blending="additive", metadata=metadata, **place
        )
    return viewer.add_labels(array, name=name, metadata=metadata, **place)


def plane_of(layer: Any, step: tuple[int, ...]) -> NDArray[Any]:
    """The plane (H, W) of an image layer that is shown; InputError for colour and for volumes of one axis.

    step : the viewer's dims.current_step, of which the layer's axes are the last
    """
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    if getattr(layer, "rgb", False) or data.ndim < 2:
        msg = f"Layer {layer.name!r} has the shape {tuple(data.shape)}; segment an image of one channel."
        raise InputError(msg)
    index = tuple(step[-data.ndim : -2]) if data.ndim > 2 else ()
    return np.asarray(data[index])


def pixel_size_of(layer: Any) -> float | None:
    """The layer's pixel size in micrometres; None where its unit is no length, as when nobody has set it."""
    unit, scale = str(layer.units[-1]), float(layer.scale[-1])
    return scale * NAMED[unit] if unit in NAMED else None


def make_widget(napari_viewer: Any) -> Any:
    """The plugin's widget, a QWidget, for a viewer; napari calls this. The name of its argument is napari's."""
    return Panel(napari_viewer).widget


class Panel:
    """What stands behind the widget: choose an artefact and a layer, and segment it once, or live."""

    def __init__(self, viewer: Any) -> None:
        qt = extras.load("qtpy.QtWidgets", extra="napari")
        self._qt, self._viewer = qt, viewer
        self._segmenter: tuple[str, Segmenter] | None = None
        self._live: LiveSegmenter | None = None
        self._live_layer: LiveLayer | None = None
        self._source: Any = None  # the layer that is followed
        self.widget = qt.QWidget()
        self.widget.panel = self  # as long as the widget lives, so does what stands behind it
        self.artifact, browse = qt.QLineEdit(), qt.QPushButton("...")
        self.artifact.setPlaceholderText("artefact: folder or .zip")
        self.layer, self.shown = qt.QComboBox(), qt.QComboBox()
        self.shown.addItems(list(SHOWN))
        self.segment, self.live = qt.QPushButton("Segment"), qt.QCheckBox("live: segment what comes into the layer")
        self.status = qt.QLabel("")
        self.status.setWordWrap(True)
        row = qt.QHBoxLayout()
        row.addWidget(self.artifact)
        row.addWidget(browse)
        form = qt.QFormLayout(self.widget)
        for label, field in (("Artefact", row), ("Image", self.layer), ("Show", self.shown)):
            form.addRow(label, field)
        for field in (self.segment, self.live, self.status):
            form.addRow(field)
        browse.clicked.connect(self._browse)
        self.segment.clicked.connect(self.segment_once)
        self.live.toggled.connect(self._toggle_live)
        self.widget.destroyed.connect(self.close)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self.list_layers)
        self.list_layers()

    def list_layers(self, _: Any = None) -> None:
        """List the viewer's images, without the results."""
        images = [one.name for one in self._viewer.layers if hasattr(one, "rgb") and OURS not in one.metadata]
        if images != [self.layer.itemText(i) for i in range(self.layer.count())]:
            chosen = self.layer.currentText()
            self.layer.clear()
            self.layer.addItems(images)
            self.layer.setCurrentText(chosen)

    def segment_once(self) -> None:
        """Segment the plane that is shown; what is wrong with it stands in the status line."""
        try:
            layer = self._chosen()
            segmenter = self._open()
            self.status.setText("segmenting")
            result = segmenter(plane_of(layer, self._viewer.dims.current_step), pixel_size_of(layer))
            shown: Shown = self.shown.currentText()
            put_layer(self._viewer, array_of(result, shown), shown, f"{layer.name} {shown}", like=layer)
            self.status.setText(", ".join(result.flags) or "done")
        except EdgescopeError as error:
            self.status.setText(str(error))

    def close(self) -> None:
        """Release the model and the worker."""
        self._stop_live()
        segmenter, self._segmenter = self._segmenter, None
        if segmenter is not None:
            segmenter[1].close()

    def _toggle_live(self, on: bool) -> None:
        if not on:
            self._stop_live()
            return
        try:
            layer = self._chosen()
            self._live = LiveSegmenter(self._artifact_path(), spare=False)
            shown: Shown = self.shown.currentText()
            self._live_layer = LiveLayer(self._viewer, self._live, shown=shown, name=f"{layer.name} live")
            self._source = layer
            layer.events.data.connect(self._submit)
            self._submit()
        except EdgescopeError as error:
            self._stop_live()
            self.live.setChecked(False)
            self.status.setText(str(error))

    def _submit(self, _: Any = None) -> None:
        live, layer = self._live, self._source
        if live is None:
            return
        try:
            live.submit(plane_of(layer, self._viewer.dims.current_step), None, pixel_size_of(layer))
            counters = live.counters
            self.status.setText(f"live: {counters.done} segmented, {counters.dropped} overtaken by newer images")
        except EdgescopeError as error:
            self.status.setText(str(error))

    def _stop_live(self) -> None:
        if self._source is not None:
            self._source.events.data.disconnect(self._submit)
            self._source = None
        if self._live_layer is not None:
            self._live_layer.close()
            self._live_layer = None
        live, self._live = self._live, None
        if live is not None:
            live.abort()

    def _chosen(self) -> Any:
        name = self.layer.currentText()
        if name not in self._viewer.layers:
            msg = "There is no image to segment; open one first."
            raise InputError(msg)
        return self._viewer.layers[name]

    def _artifact_path(self) -> Path:
        text = self.artifact.text().strip()
        if not text:
            msg = "Choose an artefact first: the folder or .zip that compile wrote."
            raise InputError(msg)
        return Path(text).expanduser()

    def _open(self) -> Segmenter:
        path = str(self._artifact_path())
        if self._segmenter is None or self._segmenter[0] != path:
            opened = Segmenter.open(path)
            if self._segmenter is not None:
                self._segmenter[1].close()
            self._segmenter = path, opened
        return self._segmenter[1]

    def _browse(self) -> None:
        found = self._qt.QFileDialog.getExistingDirectory(self.widget, "Artefact")
        if found:
            self.artifact.setText(found)


def _check_shown(shown: str) -> None:
    if shown not in SHOWN:
        msg = f"shown is {shown!r}; it must be one of {', '.join(SHOWN)}."
        raise InputError(msg)
