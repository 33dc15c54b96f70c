"""A live view that counts cells: the camera runs, and a worker segments the newest frame beside it.

    python examples/live_view.py                      # a demo camera, 5 seconds, the bundled student
    python examples/live_view.py ARTIFACT --config MMConfig.cfg --seconds 60
    python examples/live_view.py --napari             # look at it (needs a screen)

Needs the extras openvino and pymmcore; --napari also napari and a Qt, such as PySide6.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import parts

from runtime.hosts.pymmcore import attach

if TYPE_CHECKING:
    from runtime.live import LiveResult


def main() -> None:
    """Run the camera for a while, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path, nargs="?")
    parser.add_argument("--config", type=Path, help="a Micro-Manager configuration, in place of the demo camera")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--napari", action="store_true", help="show the results in napari until it is closed")
    args = parser.parse_args()
    core = parts.camera(args.config)
    try:
        # policy "latest": when the model is slower than the camera, frames in between are dropped, and counted.
        # until "objects": the worker labels and measures them, so that the callback only has to look.
        with attach(
            core, parts.artifact(args.artifact), policy="latest", until="objects", on_result=say
        ) as segmentation:
            core.startContinuousSequenceAcquisition()
            if args.napari:
                watch(segmentation)
            else:
                time.sleep(args.seconds)
            core.stopSequenceAcquisition()
        print(segmentation.counters)
    finally:
        parts.put_away(core)


def say(result: LiveResult) -> None:
    """One line for a frame. This runs in a thread of its own: what it costs, the camera does not notice."""
    if result.segmentation is None:
        print(f"frame {result.index}: lost ({result.error})")
        return
    objects = len(result.segmentation.table())
    notes = f", {', '.join(result.flags)}" if result.flags else ""
    print(f"frame {result.index}: {objects} objects, {result.latency_ms:.0f} ms after it came{notes}")


def watch(segmentation: Any) -> None:
    """Show results in napari until its window is closed."""
    import napari

    from runtime.hosts.napari import LiveLayer

    layer = LiveLayer(napari.Viewer(), segmentation)
    napari.run()
    layer.close()


if __name__ == "__main__":
    main()
