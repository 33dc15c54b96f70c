"""napari: a layer that follows a live segmenter, and a widget that segments what a viewer shows (extra `napari`).

    with LiveSegmenter(artifact) as live:
        layer = LiveLayer(viewer, live)  # results appear in the viewer from now on

The widget is the plugin's: Plugins > edgescope > Segment. It segments the plane that is shown of an image layer, or,
with "live", every image that someone puts into the layer, as napari's camera plugins do.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from .. import backend as backends
from ..artifact import installed
from ..artifact.artifact import open_artifact
from ..errors import EdgescopeError, InputError
from ..execution import DEFAULT
from ..frames.scale import DiameterRequest
from ..frames.tiling import Grid
from ..live import LiveSegmenter
from ..live.worker import Beating
from ..objects.rule import RuleChange
from ..segmenter import Segmenter
from ..system import extras

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ..artifact.manifest import Manifest
    from ..live import LiveResult
    from ..segmentation.result import Segmentation

log = logging.getLogger(__name__)

Shown: TypeAlias = Literal["mask", "labels", "probability"]
SHOWN: tuple[Shown, ...] = ("labels", "mask", "probability")
REDRAW_MS = 33  # a display's rhythm: a camera may be faster, and the newest result is what is wanted
OURS = "edgescope"  # key in a layer's metadata, so that a result is not segmented in turn
SETTINGS = "edgescope settings"  # key in a layer's metadata: the artefact, threshold and rule that made it
RULE = {  # what a user may change of the artefact's rule; see runtime.objects.rule
    "threshold": "Of the foreground probability, over 0 and below 1",
    "min_area": "Pixels of the smallest object in the image",
    "prominence": "How distinct neighbours must be, over 0 and below 1: a larger one separates fewer objects",
}
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
        like: Any = None,
    ) -> None:
        """Begin to follow.

        live : a LiveSegmenter, or anything with its results(), such as a runtime.hosts.pymmcore.Attachment
        shown : what the layer shows: "labels" (numbered objects), "mask" or "probability"
        on_result : called with each result in the thread that takes them
        like : a layer whose place and scale the layer keeps, as in put_layer
        """
        _check_shown(shown)
        self._viewer, self._live, self._name, self._on_result = viewer, live, name, on_result
        self._shown: Shown = shown
        self._like = like
        self._newest: tuple[NDArray[Any], float | None] | None = None
        self._lock = threading.Lock()
        self.layer: Any = None
        self.drawn = 0
        self._closed = False
        self._thread = threading.Thread(
            target=self._follow, args=(live.results(),), name="edgescope-napari", daemon=True
        )
        core = extras.load("qtpy.QtCore", extra="napari")
        # Of the application, not of this object, which may be released in another thread, where no timer may end.
        self._timer = core.QTimer(core.QCoreApplication.instance())
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
        self.layer = put_layer(self._viewer, newest[0], self._shown, self._name, newest[1], self._like)
        self.drawn += 1

    def close(self) -> None:
        """Follow no longer; the layer stays as it is."""
        if not self._closed:
            self._closed = True
            self._timer.stop()
            self._timer.deleteLater()

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
    like : a layer whose place and scale ours takes, now and later; without it the scale is the pixel size
    """
    metadata = {OURS: (shown, name)}
    place = _place(like) if like is not None else {"scale": (pixel_size_um,) * 2} if pixel_size_um else {}
    for layer in viewer.layers:
        if layer.metadata.get(OURS) == metadata[OURS]:
            layer.data = array
            for name_of, value in place.items():
                setattr(layer, name_of, value)
            return layer
    if shown == "probability":
        return viewer.add_image(
            array, name=name, contrast_limits=(0, 1), blending="additive", metadata=metadata, **place
        )
    return viewer.add_labels(array, name=name, metadata=metadata, **place)


def _place(layer: Any) -> dict[str, Any]:
    """Scale and place of the last two axes; of an image (H, W) also how it is rotated and sheared."""
    place: dict[str, Any] = {"scale": layer.scale[-2:], "translate": layer.translate[-2:], "units": layer.units[-2:]}
    if layer.ndim == 2:
        place |= {"rotate": layer.rotate, "shear": layer.shear, "affine": layer.affine}
    return place


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


def choices() -> list[str]:
    """The names of the artefacts that are listed here: first those whose own backend is installed."""

    def is_foreign(path: Path) -> bool:
        try:
            name = json.loads((path / installed.MANIFEST).read_text(encoding="utf-8"))["backend"]
        except (OSError, ValueError, KeyError, TypeError):  # a .zip, or one that opening it will tell about
            return False
        own = backends.find(str(name))
        return own is None or own.library() is None

    places = installed.listed()
    return sorted(places, key=lambda name: (is_foreign(places[name]), name))


def make_widget(napari_viewer: Any = None) -> Any:
    """The plugin's widget, a QWidget. napari's menu calls a function without a viewer: it is then the current one."""
    return SegmentPanel(napari_viewer).widget


class TaskPanel:
    """What is behind a widget: a choice of artefacts, and one task at a time.

    Models are opened and frames segmented in a thread of its own; what comes of it is shown by a timer in Qt's thread.
    A subclass lays out the widget, and says what the button begins in `_start`.
    """

    def __init__(self, viewer: Any, what: str) -> None:
        """viewer : None takes napari's current one; what : the text of the button while nothing is under way"""
        qt = extras.load("qtpy.QtWidgets", extra="napari")
        self._qt, self._what = qt, what
        self._viewer = viewer or extras.load("napari", extra="napari").current_viewer()
        self._pool = ThreadPoolExecutor(1, "edgescope-napari-panel")
        self._task: tuple[Future[Any], Callable[[Any], object]] | None = None
        self._tiles = Tiles()
        self._model = OpenModel(self._tiles)
        self.widget = qt.QWidget()
        self.widget.panel = self  # as long as the widget lives, so does what is behind it
        self.artifact, self.begin = qt.QComboBox(), qt.QPushButton(what)
        self.artifact.setEditable(True)
        self.artifact.addItems(choices())
        self.progress, self.status = qt.QProgressBar(), qt.QLabel("")
        self.progress.setVisible(False)
        self.status.setWordWrap(True)
        self._timer = extras.load("qtpy.QtCore", extra="napari").QTimer(self.widget)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self._tick)
        self.begin.clicked.connect(self.begin_or_cancel)
        self.widget.destroyed.connect(self.close)

    @property
    def busy(self) -> bool:
        """Whether a model is being opened or a frame segmented."""
        return self._task is not None

    def begin_or_cancel(self) -> None:
        """What the button does: begin, or end what has begun."""
        if self.busy:
            self._tiles.cancel()
            self.status.setText("cancelling")
            return
        try:
            self._start()
        except (EdgescopeError, OSError) as error:
            self.status.setText(str(error))

    def close(self, _: Any = None) -> None:
        """Release the model; what is under way is given up."""
        if _ is None:  # else the widget is gone, and its timer with it
            self._timer.stop()
        self._tiles.cancel()
        self._task = None
        self._pool.shutdown(cancel_futures=True)  # waits for the tile that is being segmented
        self._model.close()

    def _start(self) -> None:
        raise NotImplementedError

    def _show_progress(self) -> None:
        raise NotImplementedError

    def _begin(self, what: str, count: int, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        """Run `work` in the thread, and then `done` with what it returned in Qt's. count : of steps; 0: not known"""
        self._tiles.reset()
        self.status.setText(what)
        self.begin.setText("Cancel")
        self.progress.setRange(0, count)
        self.progress.setVisible(True)
        self._task = self._pool.submit(work), done
        self._timer.start()

    def _tick(self) -> None:
        if self._task is not None:
            future, done = self._task
            self._show_progress()
            if future.done():
                self._task = None
                self.begin.setText(self._what)
                self.progress.setVisible(False)
                self._finish(future, done)
        if self._task is None:
            self._rest()

    def _rest(self) -> None:
        """Nothing is under way."""
        self._timer.stop()

    def _finish(self, future: Future[Any], done: Callable[[Any], object]) -> bool:
        """Show what came of the task, or why nothing did; whether something did."""
        try:
            done(future.result())
        except EdgescopeError as error:
            self.status.setText(str(error))
        except Cancelled:
            self.status.setText("cancelled")
        except Exception as error:  # the edge of a graphical program: it is shown, and logged
            log.exception("the widget failed")
            self.status.setText(f"{type(error).__name__}: {error}")
        else:
            return True
        return False


class SegmentPanel(TaskPanel):
    """Choose an artefact and a layer, and segment it once, or live."""

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, "Segment")
        self._live: LiveSegmenter | None = None
        self._live_layer: LiveLayer | None = None
        self._source: Any = None  # the layer that is followed
        self._last = ""  # what is known of the newest live result
        self._build(self._qt)
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.connect(self.list_layers)
        self.list_layers()

    def _build(self, qt: Any) -> None:
        browse = qt.QPushButton("...")
        self.artifact.lineEdit().setPlaceholderText("artefact: name, folder or .zip")
        browse.setToolTip("Choose the folder of an artefact")
        browse.setMaximumWidth(browse.sizeHint().height())
        self.layer, self.shown = qt.QComboBox(), qt.QComboBox()
        self.shown.addItems(list(SHOWN))
        self.diameter = qt.QLineEdit("auto")
        self.diameter.setToolTip("Of the objects: auto, pixels such as 24, micrometres such as 8um, or off")
        self.rule = {name: qt.QLineEdit() for name in RULE}
        for name, tip in RULE.items():
            self.rule[name].setPlaceholderText("the artefact's")
            self.rule[name].setToolTip(tip)
        self.live = qt.QCheckBox("live: segment what comes into the layer")
        row = qt.QHBoxLayout()
        row.addWidget(self.artifact, 1)
        row.addWidget(browse)
        form = qt.QFormLayout(self.widget)
        for label, field in (
            ("Artefact", row),
            ("Image", self.layer),
            ("Diameter", self.diameter),
            *((name.replace("_", " ").capitalize(), field) for name, field in self.rule.items()),
            ("Show", self.shown),
        ):
            form.addRow(label, field)
        for field in (self.begin, self.live, self.progress, self.status):
            form.addRow(field)
        browse.clicked.connect(self._browse)
        self.live.toggled.connect(self._toggle_live)

    def list_layers(self, _: Any = None) -> None:
        """List the viewer's images, without the results."""
        images = [one.name for one in self._viewer.layers if hasattr(one, "rgb") and OURS not in one.metadata]
        if images != [self.layer.itemText(i) for i in range(self.layer.count())]:
            chosen = self.layer.currentText()
            self.layer.clear()
            self.layer.addItems(images)
            self.layer.setCurrentText(chosen)

    def close(self, _: Any = None) -> None:
        """Release the model and the worker; what is under way is given up."""
        super().close(_)
        self._stop_live()

    def _start(self) -> None:
        """Segment the plane that is shown."""
        layer, path = self._chosen(), chosen_artifact(self.artifact)
        plane = plane_of(layer, self._viewer.dims.current_step)
        size, diameter, shown = pixel_size_of(layer), self._diameter(), self.shown.currentText()
        change = self._change()

        def work() -> tuple[NDArray[Any], str, dict[str, float]]:
            segmenter = self._model.open(path)
            self._tiles.expect(plane.shape, segmenter.manifest)
            start = time.perf_counter()
            result = segmenter(plane, size, diameter, **asdict(change))
            array = array_of(result, shown)
            return array, describe(result, time.perf_counter() - start), result.settings

        def show(done: tuple[NDArray[Any], str, dict[str, float]]) -> None:
            made = put_layer(self._viewer, done[0], shown, f"{layer.name} {shown}", like=layer)
            made.metadata[SETTINGS] = {"artifact": str(path), **done[2]}
            self.status.setText(done[1])

        self._begin("segmenting", 0, work, show)

    def _show_progress(self) -> None:
        self.progress.setRange(0, self._tiles.expected)
        self.progress.setValue(self._tiles.count)

    def _tick(self) -> None:
        super()._tick()
        if self._live is not None and self._last:
            counters = self._live.counters
            self.status.setText(f"live: {self._last}; {counters.done} segmented, {counters.dropped} overtaken")

    def _rest(self) -> None:
        if self._live is None:
            super()._rest()

    def _finish(self, future: Future[Any], done: Callable[[Any], object]) -> bool:
        if not (fine := super()._finish(future, done)):
            self.live.setChecked(False)
        return fine

    def _toggle_live(self, on: bool) -> None:
        if not on:
            self._stop_live()
            return
        try:
            if self.busy:
                msg = "A frame is being segmented; begin live when it is done."
                raise InputError(msg)
            layer, path, diameter = self._chosen(), chosen_artifact(self.artifact), self._diameter()
            change = self._change()
        except EdgescopeError as error:
            self.live.setChecked(False)
            self.status.setText(str(error))
            return
        shown: Shown = self.shown.currentText()

        def follow(live: LiveSegmenter) -> None:
            if not self.live.isChecked():  # switched off meanwhile
                live.abort()
                return
            self._live, self._source, self._last = live, layer, ""
            self._live_layer = LiveLayer(
                self._viewer, live, shown=shown, name=f"{layer.name} live", like=layer, on_result=self._note
            )
            layer.events.data.connect(self._submit)
            self.status.setText("live")
            self._submit()

        until = "labels" if shown == "labels" else "mask"
        options: dict[str, Any] = {"spare": False, "until": until, "diameter": diameter, **asdict(change)}
        self._begin("opening a worker", 0, lambda: LiveSegmenter(path, **options), follow)

    def _note(self, result: LiveResult) -> None:
        """Keep what the status line says of a live result; in the thread that takes results."""
        if result.segmentation is None:
            self._last = str(result.error)
        else:
            self._last = describe(result.segmentation, result.latency_ms / 1e3)

    def _submit(self, _: Any = None) -> None:
        live, layer = self._live, self._source
        if live is None:
            return
        try:
            live.submit(plane_of(layer, self._viewer.dims.current_step), None, pixel_size_of(layer))
        except EdgescopeError as error:
            self._last = str(error)

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

    def _diameter(self) -> str:
        text = self.diameter.text().strip() or "auto"
        DiameterRequest.of(text)  # refuses what is none
        return text

    def _change(self) -> RuleChange:
        """What the user changes of the artefact's rule; InputError for what is no number, or out of its limits."""
        numbers: dict[str, Any] = {}
        for name, field in self.rule.items():
            text, kind = field.text().strip(), int if name == "min_area" else float
            try:
                numbers[name] = kind(text) if text else None
            except ValueError:
                msg = f"{name.replace('_', ' ').capitalize()} is {text!r}; give a number, or leave it empty."
                raise InputError(msg) from None
        return RuleChange(**numbers)

    def _browse(self) -> None:
        folder = self._qt.QFileDialog.getExistingDirectory(self.widget, "Artefact")
        if folder:
            self.artifact.setEditText(folder)


class Cancelled(Exception):
    """The user has ended what was under way."""


class Tiles:
    """How far a frame is: tiles that are done, of those that are expected. 0 expected: not known."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.count = self.expected = 0
        self._cancelled = False

    def expect(self, shape: tuple[int, ...], manifest: Manifest) -> None:
        """A frame of this shape comes; where it is resized it may have other tiles, and then more than expected."""
        grid = Grid.over((shape[0], shape[1]), manifest.tile, manifest.overlap)
        self.expected = len(grid.rows) * len(grid.cols)

    def done(self) -> None:
        """One more; Cancelled when that was asked for."""
        self.count += 1
        if self.count > self.expected:
            self.expected = 0
        if self._cancelled:
            raise Cancelled

    def cancel(self) -> None:
        """End at the next tile."""
        self._cancelled = True


class OpenModel:
    """The model that a widget has open, whose tiles are counted; the widget's thread opens and uses it."""

    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles
        self._opened: tuple[Path, Segmenter] | None = None

    def open(self, path: Path) -> Segmenter:
        """It, or another one in its place. Cancelled at each tile when that was asked for."""
        if self._opened is None or self._opened[0] != path:
            artifact = open_artifact(path)
            name, session = backends.open_session(artifact, DEFAULT)
            self.close()
            self._opened = path, Segmenter(artifact.manifest, name, Beating(session, self._tiles.done))
        return self._opened[1]

    def close(self) -> None:
        """Give it back, if there is one."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[1].close()


def chosen_artifact(box: Any) -> Path:
    """The artefact in a combo box; InputError where there is none."""
    text = box.currentText().strip()
    if not text:
        msg = f"Choose an artefact first. {installed.remedy()}"
        raise InputError(msg)
    return Path(text).expanduser()


def describe(segmentation: Segmentation, seconds: float) -> str:
    """One line: how many objects, in what time, at which scale, and what is odd about the frame."""
    count = int(segmentation.labels().max(initial=0))
    parts = [f"{count} object{'' if count == 1 else 's'} in {seconds:.2g} s"]
    parts.append(str(segmentation.scale))
    size = segmentation.pixel_size_um
    parts.append("pixel size not known" if size is None else f"{size:.3g} um a pixel")
    return "; ".join([*parts, *segmentation.flags])


def _check_shown(shown: str) -> None:
    if shown not in SHOWN:
        msg = f"shown is {shown!r}; it must be one of {', '.join(SHOWN)}."
        raise InputError(msg)
