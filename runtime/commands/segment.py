"""segment: a whole slide, plate or time series -> masks and labels as OME-Zarr, block by block, on any dask scheduler.

A run that was stopped goes on where it was when the same command is given again.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from ..errors import InputError
from ..frames.scale import Scale
from .options import add_diameter, add_execution, add_reading, add_rule, add_trust, execution_of, reading_of, rule_of
from .output import write_json

if TYPE_CHECKING:
    import argparse

NAME = "segment"
EXAMPLE = "segment slide.zarr masks.zarr --artifact artifacts/nuclei-fast-intel-int8"
LOG_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", type=Path, metavar="IN", help="OME-Zarr folder or image file")
    parser.add_argument("out", type=Path, metavar="OUT", help="OME-Zarr to write, e.g. masks.ome.zarr")
    parser.add_argument("--artifact", type=Path, required=True, metavar="A", help="artefact folder or .zip")
    parser.add_argument("--labels", action="store_true", help="also write the label image, as labels/objects")
    parser.add_argument("--probability", action="store_true", help="also write the probability, float32")
    add_reading(parser)
    parser.add_argument(
        "--scheduler",
        default="threads",
        metavar="ADDRESS",
        help="address of a dask scheduler, e.g. tcp://host:8786; or threads, processes, synchronous (default: threads)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="number of workers of a local scheduler (default: one per core)"
    )
    parser.add_argument(
        "--block", type=int, default=2048, metavar="N", help="side length of a block in pixels (default: 2048)"
    )
    parser.add_argument(
        "--margin",
        type=int,
        default=128,
        metavar="N",
        help="overlap of blocks in pixels; larger than a cluster of cells (default: 128)",
    )
    parser.add_argument("--ngff", choices=("0.4", "0.5"), help="version of OME-Zarr (default: IN's, or 0.5)")
    add_diameter(parser)
    add_rule(parser)
    add_trust(parser)
    add_execution(parser)


def run(args: argparse.Namespace) -> int:
    """Segment the image; exit code 0, also when all of it had been done before."""
    from .. import bulk  # here, as it needs numpy's and zarr's time to start only when it is called

    _check(args)
    own = set(bulk.Wanted.__dataclass_fields__) - {"execution", "change", "choice"}
    options = {name: getattr(args, name) for name in own}
    wanted = bulk.Wanted(**options, choice=reading_of(args), execution=execution_of(args), change=rule_of(args))
    logging.getLogger("distributed").setLevel(logging.ERROR)  # a lost worker is made up for
    start = perf_counter()
    found = bulk.segment_image(args.image, args.out, wanted, _Progress())
    seconds = perf_counter() - start
    objects = "" if found["objects"] is None else f", {found['objects']} objects"
    flags = "".join(f", {flag}" for flag in found.get("flags", ()))  # a result of before has none
    taken_up = f", {found['found_done']} of them done before" if found["found_done"] else ""
    scale = Scale(**found["scale"])
    resized = "" if scale.factor == 1.0 and scale.source != "unseen" else f", {scale}"
    blocks = f"{found['blocks']} blocks{taken_up}"
    print(
        f"{args.image} -> {args.out}  ({found['planes']} planes of {found['height']}x{found['width']}, "
        f"{100 * found['foreground']:.1f} % foreground{objects}{resized}, {blocks}{flags}, {seconds:.1f} s)"
    )
    write_json(args.json, {"image": str(args.image), "out": str(args.out), "seconds": seconds, **found})
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.out.suffix.lower() in (".tif", ".tiff", ".png"):
        msg = f"OUT {args.out} looks like a file, but an OME-Zarr is a folder; name it like masks.ome.zarr."
        raise InputError(msg)
    image, out = args.image.resolve(), args.out.resolve()
    if image == out or image in out.parents or out in image.parents:
        msg = f"OUT {args.out} is IN, or one is inside the other; give another OUT."
        raise InputError(msg)
    if args.workers is not None and args.workers < 1:
        msg = f"Workers is {args.workers}; it must be at least 1."
        raise InputError(msg)


class _Progress:
    """One line that is written over: stage, blocks, and the time that is left; in a log, a line every LOG_S seconds."""

    def __init__(self) -> None:
        self.stage, self.first, self.start = "", 0, 0.0
        self.logged = perf_counter()

    def __call__(self, stage: str, done: int, of: int) -> None:
        now = perf_counter()
        if stage != self.stage:
            self.stage, self.first, self.start = stage, done, now
        left = ""
        if done > self.first:
            left = f", about {(now - self.start) / (done - self.first) * (of - done):.0f} s left"
        line = f"{stage}: {done} of {of}{left}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line}" if done < of else "\r\x1b[K")
        elif now - self.logged >= LOG_S:
            self.logged = now
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
