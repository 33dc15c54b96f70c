"""The pictures of the documents, made anew by one command: `make pictures`.

    python -m tools.pictures ARTIFACT --out docs/pictures

One picture per idea: frame.svg (from a frame to its objects), scale.svg (the size of the objects), live.svg (a model
that is slower than the camera) and targets.svg (three targets, one INT8 scheme). Each is one SVG that follows the
reader's light or dark mode, and is readable without colour. All images are of this project's generator
(distill/datasets/readers/synthetic), under the project's licence. live.svg and targets.svg need no artefact.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.inputs.pictures import overlay
from benchmarks.inputs.source import FieldOfView
from distill import datasets
from runtime import EdgescopeError, Segmenter
from runtime.artifact.manifest import Normalization
from runtime.errors import report
from runtime.frames.normalize import normalize
from runtime.system.atomic import make_folder, write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from runtime import Segmentation

STYLE = """
  text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 13px; fill: var(--ink) }
  .small { font-size: 11px } .bold { font-weight: 600 } .middle { text-anchor: middle }
  .paper { fill: var(--paper) } .line { stroke: var(--ink); fill: none; stroke-width: 1.4 }
  .box { stroke: var(--ink); fill: var(--soft); stroke-width: 1.4 } .full { fill: var(--ink) }
  .dashed { stroke-dasharray: 4 3 } .on-full { fill: var(--paper) }
  svg { --paper: #ffffff; --ink: #1f2430; --soft: #e8ecf2 }
  @media (prefers-color-scheme: dark) { svg { --paper: #1e2129; --ink: #e8eaf0; --soft: #343a48 } }
"""
FIELD = "synthetic:1@2026?size=192x192"
MARGIN = 16.0
SHOWN = 288  # pixels a side of a picture with outlines


@dataclass
class Drawing:
    """An SVG under construction. title : what a screen reader says"""

    width: float
    height: float
    title: str
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, style: str = "") -> None:
        """One line of text; y is its baseline."""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" class="{style}">{escape(words)}</text>')

    def rectangle(self, x: float, y: float, width: float, height: float, style: str = "box") -> None:
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" class="{style}"/>')

    def line(self, x: float, y: float, to_x: float, to_y: float, style: str = "line", *, arrow: bool = False) -> None:
        end = ' marker-end="url(#arrow)"' if arrow else ""
        self.parts.append(f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" class="{style}"{end}/>')

    def picture(self, x: float, y: float, side: float, pixels: Image.Image) -> None:
        """A square picture with a frame."""
        data = io.BytesIO()
        pixels.convert("RGB").save(data, format="JPEG", quality=88)
        encoded = base64.b64encode(data.getvalue()).decode()
        self.parts.append(
            f'<image x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" style="image-rendering: pixelated" '
            f'href="data:image/jpeg;base64,{encoded}"/>'
        )
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" class="line"/>')

    def to_svg(self) -> bytes:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" role="img">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style>"
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0L8 4L0 8z" class="full"/></marker></defs>'
        )
        paper = f'<rect width="{self.width:g}" height="{self.height:g}" rx="8" class="paper"/>'
        return "\n".join([head, paper, *self.parts, "</svg>\n"]).encode()


# From a frame to its objects.


def frame_to_objects(segment: Segmenter) -> bytes:
    """The steps of one frame, with what each gives."""
    sample = datasets.open(FIELD)[0]
    frame = sample.frame
    result = segment(frame)
    maps = np.clip(result.probability, 0, 1)
    core = maps if result.core is None else np.clip(result.core, 0, 1)
    panels = [
        ("1  frame", f"{frame.dtype}, one channel", _grey(normalize(frame, Normalization()))),
        ("2  foreground", "probability, 0 to 1", _grey(maps)),
        ("3  core", "high inside of each object", _grey(core)),
        ("4  objects", f"{len(result.objects())}, each with a number", _objects(frame, result)),
    ]
    side, gap = 192.0, 26.0
    drawing = Drawing(
        2 * MARGIN + 4 * side + 3 * gap, 330, "From a frame to its objects: frame, foreground, core, objects"
    )
    for number, (title, words, pixels) in enumerate(panels):
        x = MARGIN + number * (side + gap)
        drawing.text(x, 30, title, "bold")
        drawing.text(x, 46, words, "small")
        drawing.picture(x, 56, side, pixels)
        if number:
            drawing.line(x - gap + 3, 152, x - 4, 152, arrow=True)
    drawing.text(MARGIN, 276, "The first rows of the table of objects:", "small bold")
    for number, one in enumerate(result.objects(frame)[:3]):
        row, col = one.centroid
        place = f"row {row:.1f}, column {col:.1f}"
        words = f"object {one.label}: {place}, {one.area} pixels, mean intensity {one.mean_intensity:.0f}"
        drawing.text(MARGIN, 292 + 14 * number, words, "small")
    return drawing.to_svg()


# The size of the objects.


def scale(segment: Segmenter) -> bytes:
    """The same field at three magnifications: the network always sees objects of one size."""
    frame = datasets.open(FIELD)[0].frame
    drawing = Drawing(
        760, 3 * 176 + 70, "Three magnifications of one field: the runtime resizes each to one object size"
    )
    for x, title in ((MARGIN, "frame"), (290, "seen by the network"), (540, "objects, in the frame's pixels")):
        drawing.text(x, 28, title, "bold")
    for number, factor in enumerate((0.5, 1.0, 2.0)):
        top = 44 + number * 186
        side = round(192 * factor)
        resized = np.asarray(Image.fromarray(frame.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))
        image = resized.clip(0, 65535).astype(np.uint16)
        result = segment(image)
        seen = max(1, round(side * result.scale.factor))
        pixels = Image.fromarray(_bytes(normalize(image, Normalization())))
        drawing.picture(MARGIN, top, 80 * factor, pixels)
        drawing.text(MARGIN + 80 * factor + 8, top + 14, f"{side}x{side} pixels", "small")
        drawing.picture(290, top, 144, pixels.resize((seen, seen), Image.Resampling.BICUBIC))
        drawing.line(214, top + 72, 282, top + 72, arrow=True)
        drawing.text(250, top + 64, f"x {result.scale.factor:.2f}", "small middle")
        drawing.picture(540, top, 144, _objects(image, result))
        drawing.line(442, top + 72, 532, top + 72, arrow=True)
        drawing.text(487, top + 64, f"{len(result.objects())} objects", "small middle")
    return drawing.to_svg()


def _objects(frame: NDArray[np.uint16], result: Segmentation) -> Image.Image:
    """The frame with the outlines of its objects, at the size in which it is shown."""
    size = (SHOWN, SHOWN)
    pixels = Image.fromarray(frame.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    labels = Image.fromarray(result.labels()).resize(size, Image.Resampling.NEAREST)
    shown = np.asarray(pixels).clip(0, 65535).astype(np.uint16)
    return overlay(FieldOfView("", shown, None), np.asarray(labels), enlarge=False)


def _grey(values: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(_bytes(values))


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (values * 255).round().astype(np.uint8)


# What happens when the model is slower than the camera.

FRAMES, WORK, SLOTS = 14, 2.6, 3  # frames one unit of time apart; units that a frame takes; frames that the ring holds
UNIT = 44.0


@dataclass(frozen=True)
class Course:
    """submitted : (frame, time); worked : (frame, start, end); dropped : frames; waits : (start, end) of submit"""

    submitted: tuple[tuple[int, float], ...]
    worked: tuple[tuple[int, float, float], ...]
    dropped: tuple[int, ...] = ()
    waits: tuple[tuple[float, float], ...] = ()
    stopped_at: float | None = None


def course(policy: str) -> Course:
    """One simulated run of a camera and a worker; policy : latest, block or stop, see runtime.live.LiveSegmenter."""
    waiting: list[int] = []
    submitted: list[tuple[int, float]] = []
    worked: list[tuple[int, float, float]] = []
    dropped: list[int] = []
    waits: list[tuple[float, float]] = []
    free_at, now, stopped = 0.0, 0.0, None

    def work_until(time: float) -> None:
        nonlocal free_at
        while waiting and free_at <= time:
            number = waiting.pop(0)
            start = max(free_at, dict(submitted)[number])
            worked.append((number, start, start + WORK))
            free_at = start + WORK

    for number in range(FRAMES):
        now = max(now, float(number))
        work_until(now)
        if policy == "latest":
            dropped += waiting
            waiting.clear()
        elif len(waiting) + (free_at > now) >= SLOTS:
            if policy == "stop":
                stopped = now
                break
            waits.append((now, free_at))
            now = free_at
            work_until(now)
        submitted.append((number, now))
        waiting.append(number)
        work_until(now)
    work_until(float("inf"))
    return Course(tuple(submitted), tuple(worked), tuple(dropped), tuple(waits), stopped)


WORDS = {
    "latest": "latest: submit never waits; the newest frame replaces the one that waits",
    "block": f"block: no frame is lost; submit waits while the ring holds {SLOTS} frames",
    "stop": "stop: submit raises RingOverflow when the ring is full; the frames in it are still segmented",
}


def live() -> bytes:
    """The three policies of LiveSegmenter, on one axis of time."""
    left, height = 92.0, 132.0
    drawing = Drawing(
        left + FRAMES * UNIT + MARGIN, 3 * height + 56, "The policies latest, block and stop of a live camera"
    )
    edge = left + FRAMES * UNIT
    for number, (policy, words) in enumerate(WORDS.items()):
        top = 14 + number * height
        run = course(policy)
        drawing.text(MARGIN, top + 16, words, "bold")
        drawing.text(MARGIN, top + 48, "camera", "small")
        drawing.text(MARGIN, top + 88, "worker", "small")
        for frame, time in run.submitted:
            x = left + time * UNIT
            if x > edge - 20:
                continue
            drawing.rectangle(x, top + 32, 22, 22, "line dashed" if frame in run.dropped else "box")
            drawing.text(x + 11, top + 47, str(frame), "small middle")
            if frame in run.dropped:
                drawing.line(x + 3, top + 51, x + 19, top + 35)
        for start, end in run.waits:
            if start < FRAMES - 1:
                at, to = left + start * UNIT + 26 * (start % 1 > 0), min(edge, left + end * UNIT) - 4
                drawing.line(at, top + 43, to, top + 43, "line dashed")
                drawing.text((at + to) / 2, top + 38, "waits", "small middle")
        if run.stopped_at is not None:
            drawing.text(left + run.stopped_at * UNIT, top + 48, "RingOverflow: no more frames", "small bold")
        for frame, start, end in run.worked:
            x, right = left + start * UNIT, min(edge, left + end * UNIT)
            if x >= edge - 20:
                continue
            drawing.rectangle(x, top + 72, right - x - 3, 24, "full")
            drawing.text(x + 8, top + 88, f"frame {frame}", "small on-full")
    bottom = 3 * height + 26
    drawing.line(left, bottom, edge, bottom, arrow=True)
    drawing.text(edge, bottom + 16, "time", "small middle")
    drawing.text(left, bottom + 16, "number: frame; dashed and crossed out: dropped", "small")
    return drawing.to_svg()


# Three targets, one INT8 scheme.

TARGETS = (
    ("intel", "OpenVINO IR", "OpenVINO, on PCs"),
    ("jetson", "ONNX with Q/DQ", "TensorRT, on a Jetson"),
    ("microscope", "TFLite", "LiteRT, on ARM or x86"),
)


def targets() -> bytes:
    """Training learns one scheme; every artefact holds exactly its numbers."""
    drawing = Drawing(760, 290, "One student and one INT8 scheme become three artefacts, which are compared")
    drawing.rectangle(MARGIN, 96, 150, 84)
    _lines(drawing, MARGIN + 75, 122, "student", "weights and", "learnt INT8 scales")
    drawing.rectangle(216, 96, 164, 84)
    _lines(drawing, 298, 122, "one quantised graph", "int8 codes: 7 bits", "zero-point 0")
    drawing.line(166, 138, 212, 138, arrow=True)
    for number, (name, file, runs) in enumerate(TARGETS):
        top = 20 + number * 84
        drawing.rectangle(430, top, 170, 66)
        _lines(drawing, 515, top + 20, name, file, runs)
        drawing.line(380, 138, 426, top + 33, arrow=True)
        drawing.line(600, top + 33, 640, 137 + 6 * (number - 1), "line dashed", arrow=True)
    drawing.rectangle(644, 96, 100, 84)
    _lines(drawing, 694, 122, "agreement", "measured", "on probes")
    drawing.text(
        MARGIN, 282, "No library calibrates anything: all three artefacts receive the same codes and scales.", "small"
    )
    return drawing.to_svg()


def _lines(drawing: Drawing, x: float, y: float, *lines: str) -> None:
    for number, words in enumerate(lines):
        drawing.text(x, y + 18 * number, words, "middle" if number else "middle bold")


def drawn() -> Iterator[tuple[str, bytes]]:
    """The pictures that need no artefact: name and content."""
    yield "live.svg", live()
    yield "targets.svg", targets()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures, and print their paths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path, help="artefact of nuclei-fast")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"), help="folder (default: docs/pictures)")
    args = parser.parse_args(arguments)
    try:
        make_folder(args.out)
        with Segmenter.open(args.artifact) as segment:
            pictures = [("frame.svg", frame_to_objects(segment)), ("scale.svg", scale(segment)), *drawn()]
        for name, content in pictures:
            write_bytes(args.out / name, content)
            print(args.out / name)
    except EdgescopeError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
