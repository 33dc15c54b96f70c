"""From the results of all jobs to one table: means and spread over seeds, gains with an interval, sizes.

A gain is the mean over seeds of the difference to the undistilled row of the same family and share of labels, unit by
unit; its interval is a paired bootstrap over units (Efron 1979): units are drawn with replacement, 10,000 times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from distill.studies import rows
from distill.studies.score import VALIDATION, studied
from runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from distill.config.sections import Config
    from distill.teaching.headroom import Headroom

SCHEMA_VERSION = 1


def tabulate(config: Config, results: Sequence[dict[str, Any]], room: Headroom | None) -> dict[str, Any]:
    """The study as one JSON-ready object.

    Its `rows`: the trivial one, then those of all labels, further families below the common one, then those of fewer
    and fewer labels, and the teachers at the end.
    """
    by_row: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        by_row.setdefault(result["row"], []).append(result)
    teacher = _teacher_mean(by_row)
    first = next(iter(by_row.values()))[0]
    return {
        "schema_version": SCHEMA_VERSION,
        "title": config.study.title,
        "seeds": config.study.seeds,
        "steps": config.float.steps,
        "labels": config.data.labels,
        "units": {name: len(scores["units"]) for name, scores in first["scores"].items()},
        "metrics": {name: metrics.load(name).title for name in _measured(first)},
        "block": config.study.block,
        "headroom": None if room is None else room.sentence(),
        "rows": sorted((_line(name, found, by_row, teacher) for name, found in by_row.items()), key=_place(config)),
    }


def _place(config: Config) -> Callable[[dict[str, Any]], tuple[int, float, bool]]:
    kinds, common = ("trivial", "student", "teacher"), config.student.family
    return lambda line: (
        kinds.index(line["kind"]),
        -line["labelled"],
        line["kind"] == "student" and line["family"] != common,
    )


def _measured(result: dict[str, Any]) -> list[str]:
    """The metrics that a result has; an earlier run may have been scored before a metric was there."""
    unit = next(iter(result["scores"].values()))["units"][0]
    return [name for name in studied() if name in unit]


def means(result: dict[str, Any], figure: str = metrics.HEADLINES[0], data: str = VALIDATION) -> float:
    """Mean over units of one figure of one result."""
    return float(np.mean([unit[figure] for unit in result["scores"][data]["units"]]))


def _line(
    name: str, found: Sequence[dict[str, Any]], by_row: dict[str, list[dict[str, Any]]], teacher: float | None
) -> dict[str, Any]:
    one = found[0]
    base = by_row.get(_baseline(one)) if one["kind"] == "student" else None
    line: dict[str, Any] = {
        "row": name,
        "title": one.get("title", rows.TRIVIAL_TITLE) if one["kind"] != "teacher" else f"the teacher itself ({name})",
        "kind": one["kind"],
        "family": one.get("family"),
        "labelled": one.get("labelled", 1.0),
        "seeds": len(found),
        **{key: one.get("size", {}).get(key) for key in ("backbone_m", "whole_m", "paper_backbone_m", "gmac")},
        "radius": one.get("radius"),
        "recovery": None,
        "scores": {},
    }
    for data in one["scores"]:
        line["scores"][data] = {metric: _figure(metric, data, found, base) for metric in _measured(one)}
    if teacher and one["kind"] == "student":
        line["recovery"] = line["scores"][VALIDATION][metrics.HEADLINES[0]]["mean"] / teacher
    return line


def _figure(
    figure: str, data: str, found: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]] | None
) -> dict[str, Any]:
    seeds = [means(result, figure, data) for result in found]
    summary: dict[str, Any] = {
        "mean": float(np.mean(seeds)),
        "sd": float(np.std(seeds, ddof=1)) if len(seeds) > 1 else None,
        "by_seed": seeds,
        "gain": None,
        "interval": None,
    }
    if base is not None and base is not found:
        pairs = {result["seed"]: result for result in base}
        both = [(result, pairs[result["seed"]]) for result in found if result["seed"] in pairs]
        if both:
            differences = np.mean([_units(a, figure, data) - _units(b, figure, data) for a, b in both], axis=0)
            summary["gain"] = float(differences.mean())
            summary["interval"] = metrics.interval(differences)
    return summary


def _units(result: dict[str, Any], figure: str, data: str) -> NDArray[np.float64]:
    return np.array([unit[figure] for unit in result["scores"][data]["units"]])


def _baseline(result: dict[str, Any]) -> str:
    """The undistilled row that this one is compared with: the same student with the same labels."""
    name = result["row"]
    if result["labelled"] < 1:
        return f"undistilled-{100 * result['labelled']:g}"
    prefix = f"{result['family']}-"
    return f"{prefix}undistilled" if name.startswith(prefix) else "undistilled"


def _teacher_mean(by_row: dict[str, list[dict[str, Any]]]) -> float | None:
    """Mean Dice of the teacher that sees everything and had all labels."""
    scores = [
        means(result)
        for found in by_row.values()
        for result in found
        if result["kind"] == "teacher" and result["labelled"] == 1 and "nuclear" not in result["row"]
    ]
    return float(np.mean(scores)) if scores else None
