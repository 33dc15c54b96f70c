"""plan -> search: build all candidates, then time them backend by backend. The main flow, and its result."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.system.processor import cpu_flags, cpu_model, usable_cores
from tools.search.candidates import PRECISIONS, build_all
from tools.search.timing import TileLatency, in_turns, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tools.search.candidates import BuiltStudent, Made
    from tools.search.plan import SearchPlan

LIBRARIES = ("openvino", "ai-edge-litert", "onnxruntime")
COUNTED = 256  # side of the tile that a candidate's multiply-adds are counted for


@dataclass(frozen=True)
class SearchRow:
    """A candidate with its times by (target, precision), and what it was worth where it was trained."""

    candidate: BuiltStudent
    latency: Mapping[tuple[str, str], TileLatency]
    dice: float | None = None
    ap50: float | None = None

    def made(self, target: str, precision: str) -> Made | None:
        """The artefact for a target, or why there is none; None where the candidate could not be built at all."""
        return next((m for m in self.candidate.made if (m.target, m.precision) == (target, precision)), None)

    def ms(self, target: str, precision: str) -> float | None:
        """Median milliseconds of a tile."""
        found = self.latency.get((target, precision))
        return found.ms if found else None

    def gain(self, target: str) -> float | None:
        """How many times longer fp32 takes than int8."""
        fp32, int8 = (self.latency.get((target, precision)) for precision in ("fp32", "int8"))
        return ratio(fp32, int8) if fp32 and int8 else None

    def rate(self, target: str, tile: int) -> float | None:
        """10^9 multiply-adds a second in int8."""
        ms, gmac = self.ms(target, "int8"), self.candidate.gmac
        return gmac * (tile / COUNTED) ** 2 / ms * 1e3 if ms and gmac else None

    def to_dict(self, tile: int) -> dict[str, Any]:
        """JSON-ready."""
        candidate = self.candidate
        return {
            "candidate": candidate.spec.to_dict(),
            "parameters_m": candidate.parameters_m,
            "gmac": candidate.gmac,
            "refused": candidate.refused,
            "dice": self.dice,
            "ap50": self.ap50,
            "targets": {name: self._of(name, tile) for name in dict.fromkeys(m.target for m in candidate.made)},
        }

    def _of(self, target: str, tile: int) -> dict[str, Any]:
        int8 = self.made(target, "int8")
        return {
            **{f"{p}_ms": self.ms(target, p) for p in PRECISIONS},
            **{f"{p}_rounds_ms": found.rounds for p in PRECISIONS if (found := self.latency.get((target, p)))},
            "gain": self.gain(target),
            "int8_gmac_per_s": self.rate(target, tile),
            "int8_convolutions": int8 and int8.int8,
            "convolutions": int8 and int8.convolutions,
            "refused": {m.precision: m.refused for m in self.candidate.made if m.target == target and m.refused},
        }


@dataclass(frozen=True)
class Search:
    """What was found. hardware : on what, in a sentence"""

    plan: SearchPlan
    targets: tuple[str, ...]
    rows: tuple[SearchRow, ...]
    hardware: str

    @property
    def spreads(self) -> Iterator[float]:
        """The noise of every figure; see TileLatency.spread."""
        return (found.spread for row in self.rows for found in row.latency.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        timed = self.plan.timing
        return {
            "timing": timed.to_dict(),
            "hardware": self.hardware,
            "candidates": [row.to_dict(timed.tile) for row in self.rows],
        }


def search(plan: SearchPlan, targets: Sequence[str], step: Callable[[str], None] = lambda what: None) -> Search:
    """Build, compile and time every candidate; the artefacts themselves are not kept."""

    worth = {name: _worth(student) for name, student in plan.trained}
    specs = [plan.spec(section) for section in plan.candidates]
    with tempfile.TemporaryDirectory(prefix="edgescope-") as folder:
        workers = min(usable_cores(), len(specs))
        built = build_all(specs, targets, Path(folder), plan.timing.seed, workers, lambda name: step(f"built {name}"))
        times: dict[tuple[int, str, str], TileLatency] = {}
        for target in targets:
            times |= _time(built, target, plan, step)
    rows = [
        SearchRow(
            candidate,
            {(target, precision): found for (number, target, precision), found in times.items() if number == place},
            *worth.get(candidate.spec.name, (None, None)),
        )
        for place, candidate in enumerate(built)
    ]
    return Search(plan, tuple(targets), tuple(rows), hardware())


def _time(
    built: Sequence[BuiltStudent], target: str, plan: SearchPlan, step: Callable[[str], None]
) -> dict[tuple[int, str, str], TileLatency]:
    """The latency of all that was made for a target, by the candidate's number, target and precision."""
    paths = {
        (number, target, made.precision): Path(made.path)
        for number, candidate in enumerate(built)
        for made in candidate.made
        if made.target == target and made.path
    }
    found = in_turns(list(paths.values()), plan.timing, lambda what: step(f"{target}, {what}"))
    return dict(zip(paths, found, strict=True))


def hardware() -> str:
    """What it was measured on, and with which libraries, in a sentence."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"Measured on {usable_cores()} core(s) of {cpu_model()} ({' '.join(cpu_flags())}), with {libraries}."


def _worth(student: str) -> tuple[float | None, float | None]:
    """Dice and AP of a trained student in int8, of its own validation images; None for what it does not carry."""
    from distill.student import student as students

    scores: dict[str, Any] = students.load(student).metrics.get("validation", {}).get("int8", {}).get("scores", {})
    return scores.get("dice", {}).get("mean"), scores.get("ap50", {}).get("pooled")
