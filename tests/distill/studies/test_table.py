"""The table against a literal recomputation, and its interval against scipy's bootstrap."""

from dataclasses import replace

import numpy as np
import pytest

from distill.config.sections import Config, StudySection
from distill.studies.table import means, tabulate
from distill.teaching.headroom import Headroom
from runtime.metrics import interval

UNITS = 12


def result(row: str, seed: int, shift: float = 0.0, **changes: object) -> dict[str, object]:
    """A result as a job leaves it: random scores about 0.7 + shift."""
    rng = np.random.default_rng([seed, len(row), sum(map(ord, row))])
    scores = {
        data: {
            "labels": "cells",
            "units": [
                {"unit": f"u{i}", "dice": float(d), "boundary_f1": float(f)}
                for i, (d, f) in enumerate(rng.normal(0.7 + shift, 0.05, (UNITS, 2)))
            ],
        }
        for data in ("validation", "folder")
    }
    size = {"backbone_m": 0.9, "whole_m": 1.5, "paper_backbone_m": 1.0, "gmac": 0.4}
    found = {
        "row": row,
        "kind": "student",
        "title": row.upper(),
        "family": "mobilenetv3",
        "labelled": 1.0,
        "seed": seed,
    }
    return found | {"size": size, "scores": scores} | changes


@pytest.fixture
def results() -> list[dict[str, object]]:
    other = {"family": "efficientnet_b0"}
    few = {"labelled": 0.25}
    made = [
        {"row": "threshold", "kind": "trivial", "seed": None, "radius": 4, "scores": result("threshold", 0)["scores"]}
    ]
    for seed in (0, 1, 2):
        made += [
            result("undistilled", seed),
            result("efficientnet_b0-undistilled", seed, **other),
            result("undistilled-25", seed, -0.1, **few),
            result("paper", seed, 0.02),
            result("efficientnet_b0-paper", seed, 0.03, **other),
            result("paper-25", seed, 0.0, **few),
            result("hinton-25", seed, 0.0, **few),
            result("teacher-multiplexed", seed, 0.1, kind="teacher"),
            result("teacher-multiplexed-25", seed, 0.0, kind="teacher", **few),
            result("teacher-nuclear", seed, -0.3, kind="teacher"),
        ]
    return made


@pytest.fixture
def config() -> Config:
    return replace(Config(), study=StudySection(seeds=3, rows=("threshold", "undistilled", "paper")))


@pytest.fixture
def lines(config: Config, results) -> dict[str, dict]:
    return {line["row"]: line for line in tabulate(config, results, None)["rows"]}


def units(results, row: str, seed: int, figure: str = "dice", data: str = "validation") -> list[float]:
    (one,) = [r for r in results if r["row"] == row and r["seed"] == seed]
    return [unit[figure] for unit in one["scores"][data]["units"]]


@pytest.mark.parametrize("data", ["validation", "folder"])
@pytest.mark.parametrize("figure", ["dice", "boundary_f1"])
def test_means_and_spread_are_over_seeds(results, lines, figure: str, data: str):
    found = lines["paper"]["scores"][data][figure]
    seeds = [sum(units(results, "paper", seed, figure, data)) / UNITS for seed in (0, 1, 2)]
    mean = sum(seeds) / 3
    assert found["by_seed"] == pytest.approx(seeds)
    assert found["mean"] == pytest.approx(mean)
    assert found["sd"] == pytest.approx((sum((value - mean) ** 2 for value in seeds) / 2) ** 0.5)


@pytest.mark.parametrize(
    ("row", "base"),
    [
        ("paper", "undistilled"),
        ("efficientnet_b0-paper", "efficientnet_b0-undistilled"),
        ("paper-25", "undistilled-25"),
        ("hinton-25", "undistilled-25"),
    ],
)
def test_a_gain_is_over_the_undistilled_row_of_the_same_student_and_labels(results, lines, row: str, base: str):
    gains = [a - b for s in (0, 1, 2) for a, b in zip(units(results, row, s), units(results, base, s), strict=True)]
    found = lines[row]["scores"]["validation"]["dice"]
    assert found["gain"] == pytest.approx(sum(gains) / len(gains))
    per_unit = np.reshape(gains, (3, UNITS)).mean(axis=0)
    assert tuple(found["interval"]) == interval(per_unit)


@pytest.mark.parametrize(
    "row", ["undistilled", "efficientnet_b0-undistilled", "undistilled-25", "threshold", "teacher-multiplexed"]
)
def test_what_is_compared_with_nothing_has_no_gain(lines, row: str):
    assert lines[row]["scores"]["validation"]["dice"]["gain"] is None


def test_a_gain_pairs_the_seeds_that_both_rows_have(config: Config, results):
    fewer = [r for r in results if not (r["row"] == "undistilled" and r["seed"] == 2)]
    line = {line["row"]: line for line in tabulate(config, fewer, None)["rows"]}["paper"]
    gains = np.mean([np.subtract(units(results, "paper", s), units(results, "undistilled", s)) for s in (0, 1)], axis=0)
    assert line["scores"]["validation"]["dice"]["gain"] == pytest.approx(gains.mean())


def test_recovery_is_over_the_teacher_that_sees_everything_and_had_all_labels(results, lines):
    teacher = np.mean([units(results, "teacher-multiplexed", s) for s in (0, 1, 2)])
    paper = np.mean([units(results, "paper-25", s) for s in (0, 1, 2)])
    assert lines["paper-25"]["recovery"] == pytest.approx(paper / teacher)
    assert lines["teacher-multiplexed"]["recovery"] is None


def test_rows_stand_in_an_order_that_a_person_can_follow(config: Config, results):
    assert [line["row"] for line in tabulate(config, results, None)["rows"]] == [
        "threshold", "undistilled", "paper", "efficientnet_b0-undistilled", "efficientnet_b0-paper",
        "undistilled-25", "paper-25", "hinton-25",
        "teacher-multiplexed", "teacher-nuclear", "teacher-multiplexed-25",
    ]  # fmt: skip


def test_one_seed_has_no_spread(config: Config, results):
    alone = [r for r in results if r["seed"] in (None, 0)]
    line = {line["row"]: line for line in tabulate(config, alone, None)["rows"]}["paper"]
    assert line["scores"]["validation"]["dice"]["sd"] is None
    assert line["scores"]["validation"]["dice"]["gain"] is not None


def test_the_protocol_is_told(config: Config, results):
    found = tabulate(config, results, Headroom(0.8, (0.7,), 3))
    assert found["units"] == {"validation": UNITS, "folder": UNITS}
    assert found["headroom"] == Headroom(0.8, (0.7,), 3).sentence()
    assert (found["seeds"], found["labels"]) == (3, config.data.labels)


def test_the_mean_of_a_result_is_over_its_units(results):
    assert means(results[1]) == pytest.approx(np.mean(units(results, "undistilled", 0)))
