"""prewarm: build and cache the engine before first use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import backend as backends
from ..artifact.artifact import open_artifact
from ..errors import InputError
from .output import write_json

if TYPE_CHECKING:
    import argparse

    from ..system.progress import Progress

NAME = "prewarm"
EXAMPLE = "prewarm artifacts/nuclei-fast-jetson-int8"
TOLD_EVERY_S = 15.0  # where there is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", type=Path, help="artefact folder or .zip")
    parser.add_argument("--backend", metavar="B", help="backend to use (default: the artefact's own)")
    parser.add_argument("--device", metavar="D", help='device to use, e.g. "CUDA:1" (default: the first)')
    parser.add_argument(
        "--precision", metavar="P", help="build only this precision: int8, fp16 or fp32 (default: auto)"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder of the cache (default: $EDGESCOPE_CACHE, or one in your home folder)",
    )
    parser.add_argument("--again", action="store_true", help="build again, even if the cache has it")
    parser.add_argument("--limit", type=float, metavar="MINUTES", help="time limit of one build (default: 30)")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when it is made or there is nothing to make; 2 when what makes it is not here; 1 when that fails."""
    if args.limit is not None and not args.limit > 0:
        msg = f"--limit is {args.limit} minutes; it must be more than 0."
        raise InputError(msg)
    artifact = open_artifact(args.artifact)
    manifest = artifact.manifest
    name = args.backend or manifest.backend
    if reason := backends.refusal(name, manifest):
        msg = f"{args.artifact} cannot be prepared here for {name}: {reason}."
        raise InputError(msg)
    chosen = backends.load(name)
    for note in chosen.notes():
        print(f"note       {note}")
    limit_s = None if args.limit is None else 60 * args.limit
    watch = Watch(terminal=sys.stderr.isatty())
    how = backends.Preparation(args.device, args.precision, args.cache, args.again, limit_s, watch)
    try:
        prepared = chosen.prepare(artifact, how)
    finally:
        watch.end()
    facts = {"artifact": str(args.artifact), "backend": name}
    if prepared is None:
        print(f"{manifest.student} for {manifest.target}: {name} has nothing to prepare; it needs no engine")
        write_json(args.json, {**facts, "prepared": False})
        return 0
    print(f"{manifest.student} for {manifest.target}, {manifest.precision}: prepared for {name}")
    print("\n".join(prepared.lines))
    write_json(args.json, {**facts, "prepared": True, **prepared.facts})
    return 0


class Watch:
    """Shows progress on standard error: one line that is written over on a terminal, elsewhere a line now and then."""

    def __init__(self, *, terminal: bool) -> None:
        self._terminal = terminal
        self._what = ""
        self._told_s = 0.0

    def __call__(self, progress: Progress) -> None:
        """Show it, if it is time."""
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{progress}")
            sys.stderr.flush()
        elif progress.what != self._what or progress.elapsed_s - self._told_s >= TOLD_EVERY_S:
            sys.stderr.write(f"{progress}\n")
            self._told_s = progress.elapsed_s
        self._what = progress.what

    def end(self) -> None:
        """Leave a clean line."""
        if self._terminal and self._what:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
