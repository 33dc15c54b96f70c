"""acquire: every frame of a video stream goes to a live segmenter, and back to the camera's buffer at once.

    runtime.start()
    with LiveSegmenter("nuclei-fast-intel-int8", on_result=show) as live:
        count = follow(runtime, live, pixel_size_um=0.325)  # returns when the stream has ended
    runtime.stop()

acquire blocks the camera while a packet is held for too long. Frames are copied and the packet is released: with policy
"latest" nothing here waits for the model.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading

    from ..live import LiveSegmenter

IDLE_S = 0.002  # between two looks at an empty stream
RUNNING = "Running"  # of acquire.DeviceState


def follow(
    runtime: Any,
    live: LiveSegmenter,
    stream: int = 0,
    *,
    pixel_size_um: float | None = None,
    until: threading.Event | None = None,
) -> int:
    """Submit the frames of a stream until it has ended or `until` is set; returns how many there were.

    runtime : an acquire.Runtime that was started
    live : its results have the frame's acquire metadata in `result.metadata`: a dict with "frame_id" and "timestamps"
    What submit raises with the policies "block" and "stop" ends it.
    """
    count = 0
    while until is None or not until.is_set():
        running = getattr(runtime.get_state(), "name", str(runtime.get_state())).endswith(RUNNING)
        taken = _take(runtime, live, stream, pixel_size_um)
        count += taken
        if not taken:
            if not running:
                break
            time.sleep(IDLE_S)
    return count


def _take(runtime: Any, live: LiveSegmenter, stream: int, pixel_size_um: float | None) -> int:
    """Submit one packet. Its frames are views of the camera's buffer, and none is kept."""
    count = 0
    with runtime.get_available_data(stream) as packet:
        for frame in packet.frames():
            live.submit(frame.data()[0, :, :, 0], frame.metadata().dict(), pixel_size_um)
            count += 1
            frame = None  # acquire refuses to release a packet of which a frame is still held
        packet = None
    return count
