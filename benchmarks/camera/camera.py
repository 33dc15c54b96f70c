"""Cameras to measure with: Micro-Manager's demo camera through MMCore, or a thread that hands out frames at a rate.

The demo camera needs no hardware. Its adapter is that of a Micro-Manager installation (`MICROMANAGER_PATH`), or the one
that the package mm-test-adapters brings.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from benchmarks.inputs.stream import CameraStream, draw_frame
from runtime.errors import EdgescopeError, InputError
from runtime.system import extras

BUFFER_MB = 512  # MMCore's own ring, and that of the synthetic camera
LABEL = "Camera"


@dataclass(frozen=True)
class Shot:
    """A frame, and when the camera had it: milliseconds since the sequence began, by the camera's own clock."""

    frame: NDArray[Any]
    at_ms: float


class Camera(Protocol):
    """A camera in continuous acquisition, from which frames are taken one by one."""

    def start(self) -> None:
        """Begin a sequence."""
        ...

    def pop(self) -> Shot | None:
        """The oldest frame that was not taken yet; None when there is none. Never waits."""
        ...

    def stop(self) -> None:
        """End the sequence. Frames that were not taken yet can still be."""
        ...

    @property
    def overflowed(self) -> bool:
        """Whether the camera's buffer was too small, and frames were lost before anybody could take them."""
        ...


@contextmanager
def open_camera(source: str, stream: CameraStream) -> Iterator[Camera]:
    """source : "mmcore" or "synthetic"; InputError for another one."""
    if source == "mmcore":
        with _demo_camera(stream) as core:
            yield MMCamera(core)
    elif source == "synthetic":
        yield SyntheticCamera(stream)
    else:
        msg = f"There is no camera source {source!r}; there are mmcore and synthetic."
        raise InputError(msg)


class MMCamera:
    """See Camera. The times are MMCore's own, of when the frame arrived in its buffer."""

    def __init__(self, core: Any) -> None:
        self._core = core

    def start(self) -> None:
        """See Camera."""
        self._core.startContinuousSequenceAcquisition(0)

    def pop(self) -> Shot | None:
        """See Camera."""
        if not self._core.getRemainingImageCount():
            return None
        frame, metadata = self._core.popNextImageAndMD()
        return Shot(frame, float(metadata["ElapsedTime-ms"]))

    def stop(self) -> None:
        """See Camera."""
        self._core.stopSequenceAcquisition()

    @property
    def overflowed(self) -> bool:
        """See Camera."""
        return bool(self._core.isBufferOverflowed())


@contextmanager
def _demo_camera(stream: CameraStream) -> Iterator[Any]:
    """A core with the demo camera as it is to be. FastImage: it does not compute a new picture for every frame, which
    would measure the picture's computation; a real camera's frames arrive without the processor."""
    folder = _adapters()
    core = extras.load("pymmcore_plus", extra="pymmcore").CMMCorePlus(mm_path=folder)
    try:
        core.setDeviceAdapterSearchPaths([folder])
        core.loadDevice(LABEL, "DemoCamera", "DCam")
        core.initializeDevice(LABEL)
        core.setCameraDevice(LABEL)
        properties = {
            "PixelType": f"{stream.bits}bit",
            "BitDepth": str(stream.bits),
            "OnCameraCCDXSize": str(stream.width),
            "OnCameraCCDYSize": str(stream.height),
            "FastImage": "1",
        }
        try:
            for name, value in properties.items():
                core.setProperty(LABEL, name, value)
        except RuntimeError as error:
            msg = (
                f"The demo camera has no frames of {stream.height}x{stream.width} pixels and {stream.bits} bits "
                f"({error}); give smaller ones, or --source synthetic."
            )
            raise InputError(msg) from error
        core.setExposure(1e3 / stream.rate)
        core.setCircularBufferMemoryFootprint(BUFFER_MB)
        yield core
    finally:
        if core.isSequenceRunning():
            core.stopSequenceAcquisition()
        core.unloadAllDevices()
        # Its threads must not call into an interpreter that is going away; pymmcore-plus hides the method.
        extras.load("pymmcore", extra="pymmcore").CMMCore.registerCallback(core, None)


def _adapters() -> str:
    if place := os.environ.get("MICROMANAGER_PATH"):
        if not Path(place).is_dir():
            msg = f"MICROMANAGER_PATH is {place}, which is no folder."
            raise InputError(msg)
        return place
    if extras.available("mm_test_adapters"):
        import mm_test_adapters

        return str(mm_test_adapters.device_adapter_path())
    msg = "No device adapters: set MICROMANAGER_PATH, run: pip install mm-test-adapters, or give --source synthetic."
    raise EdgescopeError(msg)


class SyntheticCamera:
    """See Camera. A thread that makes a frame due at a steady rate; frames repeat, and are not to be written to."""

    def __init__(self, stream: CameraStream) -> None:
        self._frames = [draw_frame(stream.shape, stream.bits, seed) for seed in range(4)]
        self._period_s = 1 / stream.rate
        self._places = max(4, BUFFER_MB * 10**6 // stream.frame_bytes)
        self._ready: deque[Shot] = deque()
        self._lost = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """See Camera."""
        self._ready.clear()
        self._lost = False
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="synthetic-camera", daemon=True)
        self._thread.start()

    def pop(self) -> Shot | None:
        """See Camera."""
        return self._ready.popleft() if self._ready else None

    def stop(self) -> None:
        """See Camera."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def overflowed(self) -> bool:
        """See Camera."""
        return self._lost

    def _run(self) -> None:
        start = time.perf_counter()
        number = 1
        while not self._stop.wait(max(0.0, start + number * self._period_s - time.perf_counter())):
            if len(self._ready) < self._places:
                at_ms = (time.perf_counter() - start) * 1e3
                self._ready.append(Shot(self._frames[number % len(self._frames)], at_ms))
            else:
                self._lost = True
            number += 1
