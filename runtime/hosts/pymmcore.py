"""Micro-Manager through pymmcore-plus: frames of a camera are segmented while it acquires.

    with attach(core, "nuclei-fast-intel-int8", on_result=show) as segmentation:
        core.run_mda(sequence, block=True)  # or core.startContinuousSequenceAcquisition()

Frames of an MDA come by its `frameReady` signal. Frames of a sequence that something else started (live view) are
taken out of the camera's buffer by a thread, as fast as they come. Neither ever waits for the model, unless the
policy is "block". Results carry where a frame came from in `result.metadata`, an `Acquired`, and so where its objects
are on the stage:

    x, y = result.metadata.stage.to_stage(cell.centroid)

For event-driven acquisition give `decide`, which makes the next events of a result, and run the MDA over `events`:

    with attach(core, artifact, decide=lambda result: events_where_the_cells_are(result)) as segmentation:
        core.mda.run(segmentation.events(first_events))
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import EdgescopeError, InputError
from ..live import LiveSegmenter
from .stage import StageView, affine_of, calibrated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import ArrayLike

    from ..live import Counters, LiveResult

log = logging.getLogger(__name__)

Buffer: TypeAlias = Literal["pop", "peek", "leave"]
Region: TypeAlias = "tuple[tuple[int, int, int, int], float]"  # left, top, width, height in binned pixels; the binning
IDLE_S = 0.002  # between two looks into an empty buffer: short against a frame, long against the look
STOP_S = 5.0  # for the thread to end
FEEDBACK_S = 60.0  # an event-driven acquisition waits for results anyway; a slow model is no reason to end it
POSITION_S = 0.02  # a stage is asked no more often, as that may take milliseconds; within it a stage moves few pixels
LOOK_S = 0.1  # between two looks whether an acquisition that waits for events was cancelled


@dataclass(frozen=True)
class Acquired:
    """Where a frame comes from; `result.metadata`.

    index : the event's place in the acquisition, e.g. {"t": 3, "p": 0}; {"t": n} for the n-th frame of a sequence, of
        this camera
    mda_event : the useq.MDAEvent; None for a sequence
    camera : what the camera and the core said of the frame
    stage : where the frame's pixels are on the stage; None without an XY stage or without a pixel size
    stream : label of the camera: frames of two cameras are two streams
    """

    index: Mapping[str, int]
    mda_event: Any = None
    camera: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stage: StageView | None = None
    stream: str = ""


class Attachment:
    """A live segmenter that is fed by a core. A context manager."""

    def __init__(
        self,
        core: Any,
        artifact: str | Path,
        *,
        on_result: Callable[[LiveResult], object] | None = None,
        decide: Callable[[LiveResult], Iterable[Any] | None] | None = None,
        buffer: Buffer = "pop",
        camera: str | None = None,
        affine: ArrayLike | None = None,
        **options: Any,
    ) -> None:
        """Segment what `core`, a CMMCorePlus, acquires, until the attachment is closed.

        on_result : called with each LiveResult, in a thread of its own; without it take them from `results()`
        decide : what to acquire next, given a result, or None for nothing; see Attachment.events. The policy is then
            "block", with a block_timeout_s of a minute unless another is given
        buffer : for sequences outside of an MDA. "pop" takes every frame out of the camera's buffer: for a host that
            does not read it. "peek" looks at the newest one and leaves it there: for a host that pops frames itself.
            "leave" keeps off: then hand frames over with `submit`
        camera : label of the only camera whose frames are segmented; None is all of them, as streams of their own
        affine : of pixels to the stage, for binning 1, in place of the core's; see runtime.hosts.stage
        options : of LiveSegmenter, e.g. policy, deadline_ms, threads, until="objects". Without max_frame_bytes the ring
            has room for frames of the current region without binning
        InputError when the artefact or an option is wrong.
        """
        if buffer not in ("pop", "peek", "leave"):
            msg = f"buffer is {buffer!r}; it must be pop, peek or leave."
            raise InputError(msg)
        if decide is not None and options.setdefault("policy", "block") != "block":
            msg = f"Policy is {options['policy']!r}, but events that follow from results need every one: use 'block'."
            raise InputError(msg)
        if decide is not None:
            options.setdefault("block_timeout_s", FEEDBACK_S)
        self._core, self._buffer, self._camera = core, buffer, camera
        self._where = Where(core, affine)
        self._on_result = on_result
        self._feedback = None if decide is None else Feedback(decide, core.mda.is_running)
        self._error: EdgescopeError | None = None
        self._warned = False
        self._sequencing: Any = None  # the engine whose hardware sequencing is to be on again
        self.refused = 0  # frames that were none: colour, or of a type that cannot be segmented
        self.missed = 0  # frames of a sequence that the camera's own buffer lost before they could be taken
        hear = self._hear if on_result or decide else None
        if most := self._where.most_bytes():
            options.setdefault("max_frame_bytes", most)
        self.live = LiveSegmenter(artifact, on_result=hear, **options)
        self._poller = Poller(core, buffer, self._where, self._take)
        self._connections = [(core.mda.events.frameReady, self._frame_ready)]
        if buffer != "leave":
            self._connections += [
                (core.events.continuousSequenceAcquisitionStarted, self._sequence_started),
                (core.events.sequenceAcquisitionStarted, self._sequence_started),
            ]
        for signal, slot in self._connections:
            signal.connect(slot)
        self._sequence_started()  # one may be running already

    def results(self) -> Iterator[LiveResult]:
        """Results in order, as they come, until the attachment is closed; see LiveSegmenter.results."""
        return self.live.results()

    def events(self, first: Iterable[Any]) -> Feedback:
        """The events of an event-driven MDA: `first`, and then what `decide` makes of their results.

        The MDA ends when every event has been acquired and decided on, and nothing follows. Each event is to bring one
        frame. Hardware sequencing is off until the attachment is closed: to join events into a sequence, the engine
        waits for the next event before it acquires the last, and the next one would wait for its result.
        InputError without decide, and when the events of an attachment have come to their end already.
        """
        if self._feedback is None:
            msg = "Nothing decides on further events; attach with decide=..."
            raise InputError(msg)
        if self._feedback.over:
            msg = "The event-driven acquisition of this attachment is over; attach anew for another one."
            raise InputError(msg)
        engine = self._core.mda.engine
        if getattr(engine, "use_hardware_sequencing", False):
            engine.use_hardware_sequencing = False
            self._sequencing = engine
        self._feedback.add(first)
        return self._feedback

    @property
    def closed(self) -> bool:
        """Whether the live segmenter has been closed."""
        return self.live.closed

    @property
    def counters(self) -> Counters:
        """Those of the live segmenter."""
        return self.live.counters

    def submit(self, frame: Any, acquired: Acquired) -> None:
        """Hand over one frame. It never raises for the model's sake: what ends the acquisition is kept for close."""
        self._take(frame, acquired, self._pixel_size())

    def close(self) -> None:
        """Take no more frames, wait for the results, and end the worker.

        EdgescopeError when the acquisition was ended on the way: the ring overflowed with policy "stop" or stayed
        full with policy "block", no worker was left, or `decide` failed.
        """
        self._detach()
        self.live.close()
        failed = self._feedback.error if self._feedback else None
        if failed is not None:
            msg = f"Deciding on the next events failed ({type(failed).__name__}: {failed}); the acquisition was ended."
            raise EdgescopeError(msg) from failed
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._detach()
            self.live.abort()

    def _detach(self) -> None:
        for signal, slot in self._connections:
            signal.disconnect(slot)
        self._connections = []
        self._poller.stop()
        if self._feedback is not None:
            self._feedback.stop()
        if self._sequencing is not None:
            self._sequencing.use_hardware_sequencing = True
            self._sequencing = None

    def _frame_ready(self, frame: Any, event: Any, meta: Mapping[str, Any]) -> None:
        index = {str(getattr(axis, "value", axis)): int(number) for axis, number in event.index.items()}
        stream = str(meta.get("camera_device") or self._core.getCameraDevice())
        stage = self._where.of_event(frame, stream, event, meta)
        size = meta.get("pixel_size_um") or self._pixel_size()
        self._take(frame, Acquired(index, event, meta, stage, stream), size)

    def _sequence_started(self, *_: Any) -> None:
        if self._buffer != "leave" and self._core.isSequenceRunning() and not self._core.mda.is_running():
            self._poller.start()

    def _take(self, frame: Any, acquired: Acquired, pixel_size_um: float | None = None, missed: int = 0) -> None:
        """Submit a frame. The signal that brings it belongs to the acquisition, which an exception would break."""
        if self._camera is not None and acquired.stream != self._camera:
            return
        self.missed += missed
        if self._error is not None:
            return
        try:
            self.live.submit(frame, acquired, pixel_size_um or None)
        except InputError as error:
            self._refuse(error)
        except EdgescopeError as error:
            log.error("%s The acquisition is ended.", error)
            self._error = error
            self._end_acquisition()

    def _refuse(self, error: InputError) -> None:
        self.refused += 1
        if self._feedback is not None:
            self._feedback.settle()
        if not self._warned:
            self._warned = True
            log.warning(
                "a frame cannot be segmented and is skipped; further ones are skipped without a message: %s", error
            )

    def _hear(self, result: LiveResult) -> None:
        if self._on_result is not None:
            self._on_result(result)
        if self._feedback is not None:
            self._feedback.hear(result)

    def _end_acquisition(self) -> None:
        if self._feedback is not None:
            self._feedback.stop()
        if self._core.mda.is_running():
            self._core.mda.cancel()
        elif self._core.isSequenceRunning():
            self._core.stopSequenceAcquisition()

    def _pixel_size(self) -> float | None:
        return float(self._core.getPixelSizeUm()) or None  # 0.0 is "not known"


attach = Attachment  # reads as what it does: `with attach(core, artifact) as segmentation:`


class Where:
    """Where a core's frames are on the stage.

    The origin of all views of a camera is the middle of its frames as they were at first. It keeps its place when the
    region of interest or the binning changes, so that places from before and after the change are comparable.
    """

    def __init__(self, core: Any, affine: ArrayLike | None = None) -> None:
        self._core = core
        self._affine = None if affine is None else StageView.of(affine, (0, 0), (1, 1)).affine
        self._middles: dict[str, tuple[float, float]] = {}  # from the sensor's corner, in pixels of binning 1
        self._position: tuple[float, tuple[float, float] | None] = (-POSITION_S, None)
        self._warned: set[str] = set()
        if camera := core.getCameraDevice():
            self._middle(camera, *self._region(camera))

    def most_bytes(self) -> int:
        """Bytes of a frame of the whole region of the current camera's sensor that is known, without binning."""
        camera = self._core.getCameraDevice()
        if not camera:
            return 0
        (left, top, width, height), binning = self._region(camera)
        return int((left + width) * (top + height) * binning**2) * int(self._core.getBytesPerPixel())

    def of_event(self, frame: Any, camera: str, event: Any, meta: Mapping[str, Any]) -> StageView | None:
        """The view of a frame of an MDA: at the position that was read, or else at the one that was asked for.

        In a hardware sequence none is read, as the stage is on its way to the next one already.
        """
        read: Mapping[str, float] = meta.get("position") or {}
        x, y = read.get("x", event.x_pos), read.get("y", event.y_pos)
        return self._view(frame, camera, None if x is None or y is None else (float(x), float(y)))

    def of_sequence(self, frame: Any, camera: str, meta: Mapping[str, Any]) -> StageView | None:
        """The view of a frame of a sequence, with the stage where it is now, or was POSITION_S ago."""
        height, width = frame.shape[:2]
        try:
            region = (int(meta["ROI-X-start"]), int(meta["ROI-Y-start"]), width, height), _binning(meta["Binning"])
        except (KeyError, ValueError):  # a camera that does not say
            region = None
        return self._view(frame, camera, None, region)

    def _view(
        self, frame: Any, camera: str, position: tuple[float, float] | None, region: Region | None = None
    ) -> StageView | None:
        try:
            position = position or self._read_position()
            corner, binning = region or self._region(camera)
            affine = self._pixel_affine(binning)
        except RuntimeError as error:  # a device that does not answer is no reason to lose the frame
            self._warn(f"where a frame is on the stage is not known: {error}")
            return None
        if affine is None or position is None:
            return None
        middle = self._middle(camera, corner, binning)
        origin = middle[1] / binning - corner[1] - 0.5, middle[0] / binning - corner[0] - 0.5
        return StageView.of(affine, position, frame.shape, origin)

    def _middle(self, camera: str, region: tuple[int, int, int, int], binning: float) -> tuple[float, float]:
        left, top, width, height = region
        return self._middles.setdefault(camera, ((left + width / 2) * binning, (top + height / 2) * binning))

    def _region(self, camera: str) -> Region:
        left, top, width, height = self._core.getROI(camera)
        has_binning = self._core.hasProperty(camera, "Binning")
        return (left, top, width, height), _binning(self._core.getProperty(camera, "Binning")) if has_binning else 1.0

    def _pixel_affine(self, binning: float) -> ArrayLike | None:
        if self._affine is not None:
            return [[value * binning for value in row] for row in self._affine]
        size = float(self._core.getPixelSizeUm()) or None
        affine = self._core.getPixelSizeAffine()
        if calibrated(affine, size):
            return affine
        if size is None:
            return None
        self._warn(
            "the pixel size has no affine: places on the stage are those of a camera that is neither rotated nor "
            "mirrored; calibrate it in Micro-Manager, or attach with affine=..."
        )
        return affine_of(size)

    def _read_position(self) -> tuple[float, float] | None:
        now = time.monotonic()
        if now - self._position[0] >= POSITION_S:
            x, y = self._core.getXYPosition() if self._core.getXYStageDevice() else (None, None)
            self._position = now, None if x is None or y is None else (float(x), float(y))
        return self._position[1]

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            log.warning("%s", message)


class Poller:
    """The thread that takes the frames of a sequence out of the camera's buffer."""

    def __init__(self, core: Any, buffer: Buffer, where: Where, take: Callable[..., None]) -> None:
        self._core, self._buffer, self._where, self._take = core, buffer, where, take
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin, unless it runs already. It ends with the sequence, when the buffer is empty."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="edgescope-camera-buffer", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End it, whatever is left in the buffer."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_S)

    def _run(self) -> None:
        current = str(self._core.getCameraDevice())
        last: dict[str, int] = {}  # of each camera: the number of its last frame, and how many there were
        count: dict[str, int] = {}
        while not self._stop.is_set():
            running = self._core.isSequenceRunning()  # before the look: what comes after it is seen by the next one
            image = self._next()
            if image is None:
                if not running:
                    return
                self._stop.wait(IDLE_S)
                continue
            frame, metadata = image[0], dict(image[1])
            stream = str(metadata.get("Camera", current))
            before = last.get(stream, -1)
            number = _number(metadata, before)
            if self._buffer == "peek" and number == before:
                if not running:
                    return
                self._stop.wait(IDLE_S)
                continue
            missed = max(0, number - before - 1) if self._buffer == "pop" else 0
            index = {"t": count.get(stream, 0)}
            stage = self._where.of_sequence(frame, stream, metadata)
            size = float(self._core.getPixelSizeUm()) or None
            self._take(frame, Acquired(index, None, metadata, stage, stream), size, missed)
            last[stream], count[stream] = number, index["t"] + 1

    def _next(self) -> tuple[Any, Mapping[str, Any]] | None:
        try:
            if not self._core.getRemainingImageCount():
                return None
            if self._buffer == "peek":
                return self._core.getLastImageAndMD()
            return self._core.popNextImageAndMD()
        except (RuntimeError, IndexError):  # someone else was faster, or the buffer has just been cleared
            return None


class Feedback:
    """Events that are decided on while they are acquired: an iterable for `core.mda.run`, and for one run alone."""

    def __init__(self, decide: Callable[[LiveResult], Iterable[Any] | None], running: Callable[[], bool]) -> None:
        self._decide, self._running = decide, running
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0  # events that were added and are not decided on yet
        self.over = False  # nothing more is acquired
        self.error: Exception | None = None

    def add(self, events: Iterable[Any]) -> None:
        """Queue events."""
        for event in events:
            if getattr(event.action, "type", "acquire_image") == "acquire_image":  # what brings no frame has no result
                with self._lock:
                    self._open += 1
            self._queue.put(event)

    def hear(self, result: LiveResult) -> None:
        """Decide on what follows from a result; without a segmentation nothing does."""
        if result.segmentation is not None and not self.over:
            try:
                self.add(self._decide(result) or ())
            except Exception as error:  # the user's, of any kind
                log.exception("deciding on the next events failed; the acquisition is ended")
                self.error = error
                self.stop()
        self.settle()

    def settle(self) -> None:
        """Note that one event is done with; the last one ends the acquisition."""
        with self._lock:
            self._open -= 1
            over = self._open <= 0
        if over:
            self.stop()

    def stop(self) -> None:
        """End the acquisition after the event that is under way."""
        self.over = True
        self._queue.put(None)

    def __iter__(self) -> Iterator[Any]:
        while not self.over:
            try:
                event = self._queue.get(timeout=LOOK_S)
            except queue.Empty:
                if not self._open or not self._running():  # no event brings a result, or cancelled while it waited
                    self.over = True
                continue
            if event is not None and not self.over:
                yield event


def _number(metadata: Mapping[str, Any], last: int) -> int:
    """A frame's number in its sequence, by the camera; counted on where the camera does not say."""
    text = str(metadata.get("ImageNumber", last + 1))
    return int(text) if text.isdigit() else last + 1


def _binning(text: Any) -> float:
    """Micro-Manager's property: "2", or "2x2"; ValueError for another one."""
    return float(str(text).lower().partition("x")[0])
