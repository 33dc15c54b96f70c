"""Image where the cells are: an overview finds them, and the stage then visits each one.

    python examples/event_driven.py                   # a simulated sample under a demo camera
    python examples/event_driven.py ARTIFACT --config MMConfig.cfg --step 200

Every overview position is segmented while the stage moves on. What `next_events` makes of a result is acquired
next; the acquisition ends when nothing follows any more. Needs the extras openvino, objects and pymmcore.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import parts
from useq import MDAEvent

from runtime.hosts.pymmcore import attach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.live import LiveResult

LEAST_AREA_UM2 = 30.0
SAME_CELL_UM = 8.0


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
    cells = CellVisits(args.most)
    try:
        with attach(core, parts.artifact(args.artifact), decide=cells.next_events) as segmentation:
            core.mda.run(segmentation.events(overview(args.step)))
    finally:
        parts.put_away(core)
    print(f"{len(cells.visited)} cells visited, {segmentation.counters.done} frames segmented")


def overview(step_um: float) -> list[MDAEvent]:
    """Three by three positions around the middle of the sample."""
    places = [(x * step_um, y * step_um) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return [
        MDAEvent(index={"p": number}, x_pos=x, y_pos=y, metadata={"role": "overview"})
        for number, (x, y) in enumerate(places)
    ]


class CellVisits:
    """Which cells were visited, so that none is twice."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.visited: list[tuple[float, float]] = []

    def next_events(self, result: LiveResult) -> Iterator[MDAEvent]:
        """An event for each new cell of an overview frame; nothing follows from a cell's own frame."""
        event, segmentation = result.metadata.mda_event, result.segmentation
        if event.metadata["role"] != "overview" or segmentation is None:
            print(f"cell {event.index['p']}: acquired at ({event.x_pos:.0f}, {event.y_pos:.0f}) um")
            return
        height, width = segmentation.mask.shape
        for cell in segmentation.objects():
            if cell.centroid_um is None or cell.area_um2 is None or cell.area_um2 < LEAST_AREA_UM2:
                continue
            um = segmentation.pixel_size_um
            row, col = cell.centroid_um
            place = event.x_pos + col - width / 2 * um, event.y_pos + row - height / 2 * um
            if len(self.visited) < self.most and not self._known(place):
                self.visited.append(place)
                number = len(self.visited)
                yield MDAEvent(index={"p": number}, x_pos=place[0], y_pos=place[1], metadata={"role": "cell"})

    def _known(self, place: tuple[float, float]) -> bool:
        return any(abs(x - place[0]) + abs(y - place[1]) < SAME_CELL_UM for x, y in self.visited)


if __name__ == "__main__":
    main()
