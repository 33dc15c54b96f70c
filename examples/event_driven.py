"""Image where the cells are: an overview finds them, and the stage then visits each one.

    python examples/event_driven.py                   # a simulated sample under a demo camera
    python examples/event_driven.py ARTIFACT --config MMConfig.cfg --step 200

Every overview position is segmented while the stage moves on. What `next_events` makes of a result is acquired next;
the acquisition ends when nothing follows any more. The demo camera is rotated and mirrored, as many are: where a cell
is on the stage follows from the core's pixel-size affine. Needs the extras openvino and pymmcore.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

import parts
from useq import MDAEvent

from runtime.hosts.pymmcore import attach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.live import LiveResult

SAME_CELL_UM = 8.0


def next_events(result: LiveResult, visited: list[tuple[float, float]], most: int) -> Iterator[MDAEvent]:
    """An event for each new cell of an overview frame; nothing follows from a cell's own frame."""
    event, segmentation = result.metadata.mda_event, result.segmentation
    cells, view = segmentation.objects(), result.metadata.stage
    if event.metadata["role"] == "cell":
        off = min((math.dist(cell.centroid, view.origin) for cell in cells), default=math.inf)
        print(f"cell {event.index['p']}: at ({event.x_pos:.1f}, {event.y_pos:.1f}) um, {off:.2f} pixels off the middle")
        return
    for cell in cells:
        x, y = view.to_stage(cell.centroid)
        known = cell.touches_border or any(math.dist((x, y), place) < SAME_CELL_UM for place in visited)
        if not known and len(visited) < most:
            visited.append((x, y))
            yield MDAEvent(index={"p": len(visited)}, x_pos=x, y_pos=y, metadata={"role": "cell"})


def overview(step_um: float) -> list[MDAEvent]:
    """Three by three positions around the middle of the sample."""
    places = [(x * step_um, y * step_um) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return [
        MDAEvent(index={"p": i}, x_pos=x, y_pos=y, metadata={"role": "overview"}) for i, (x, y) in enumerate(places)
    ]


def main() -> None:
    """Acquire the overview and what follows from it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path, nargs="?")
    parser.add_argument("--config", type=Path, help="a Micro-Manager configuration, in place of the simulated sample")
    parser.add_argument("--step", type=float, default=200.0, help="between overview positions, in um")
    parser.add_argument("--most", type=int, default=20, help="how many cells to visit at most")
    args = parser.parse_args()
    core = parts.camera(args.config)
    if args.config is None:
        parts.put_under_the_camera(core, parts.Sample())
    visited: list[tuple[float, float]] = []
    try:
        artifact = parts.artifact(args.artifact)
        with attach(core, artifact, decide=lambda result: next_events(result, visited, args.most)) as segmentation:
            core.mda.run(segmentation.events(overview(args.step)))
    finally:
        parts.put_away(core)
    print(f"{len(visited)} cells visited, {segmentation.counters.done} frames segmented")


if __name__ == "__main__":
    main()
