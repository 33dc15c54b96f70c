"""`benchmarks compare OLD NEW --fail-on`: what is worse fails, noise does not, and what does not compare is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.answers import guard, paired
from benchmarks.host.calibration import calibration, judge
from benchmarks.measures.latency import summarize
from benchmarks.measures.quality import summarize as summarize_quality
from benchmarks.report.files import write_report
from benchmarks.report.report import Report, Row
from runtime.errors import InputError

TIMED = {"name": "tiny-intel-int8", "ms": 10.0, "mb": 100.0, "dice": None}


def slower(report: Report, factor: float) -> Report:
    """The same report with longer times of tiles and frames, in every sample."""
    return replace(report, rows=tuple(_slower(row, factor) for row in report.rows)).sealed()


def _slower(row: Row, factor: float) -> Row:
    fields = ("tile_ms", "frame_ms")
    rounds = tuple(
        replace(one, **{name: tuple(factor * ms for ms in getattr(one, name)) for name in fields})
        for one in row.timing.rounds
    )
    pooled = {name: summarize([ms for one in rounds for ms in getattr(one, name)]) for name in fields}
    return replace(row, timing=replace(row.timing, rounds=rounds, **pooled))


def worse_dice(report: Report, by: float) -> Report:
    """The same report with a lower Dice of every image."""
    rows = []
    for row in report.rows:
        images = [
            replace(image, parts={**image.parts, "dice": _worse(image.parts["dice"], by)})
            for image in row.quality.images
        ]
        rows.append(replace(row, quality=summarize_quality(images, "nuclei")))
    return replace(report, rows=tuple(rows)).sealed()


def _worse(pixels: tuple[float, ...], by: float) -> tuple[float, ...]:
    found, invented, missed = pixels
    return found - by * (found + missed), invented + by * (found + missed), missed + by * (found + missed)


def failed(old: Report, new: Report, limits: str) -> bool:
    return any(one.failed for one in guard.guard(old, new, guard.parse_limits(limits)))


def test_a_report_does_not_fail_against_itself(make_report):
    report = make_report()
    measured = report.rows[0].quality.metrics
    quality = ",".join(f"{name}:0" for name in measured)
    findings = guard.guard(
        report, report, guard.parse_limits(f"latency:0%,network:0%,load:0%,memory:0%,size:0%,{quality}")
    )
    assert {one.verdict for one in findings} == {"holds"}
    assert {one.limit.metric for one in findings} == {*guard.COSTS, *measured}


def test_a_slower_state_fails_by_its_factor(make_report):
    report = make_report()
    assert failed(report, slower(report, 1.2), "latency:10%")
    assert not failed(report, slower(report, 1.05), "latency:10%")
    (found,) = guard.guard(report, slower(report, 1.2), guard.parse_limits("latency:10%"))
    assert found.worse_by == pytest.approx(20.0)


def test_a_limit_may_be_in_milliseconds(make_report):
    report = make_report(noise=0.0)
    assert failed(report, slower(report, 1.2), "latency:15")  # 90 ms became 108
    assert not failed(report, slower(report, 1.2), "latency:25")


def test_the_latency_is_that_of_frames_and_the_network_a_figure_of_its_own(make_report):
    report = make_report(noise=0.0)
    (row,) = report.rows
    rounds = tuple(replace(one, frame_ms=tuple(1.2 * ms for ms in one.frame_ms)) for one in row.timing.rounds)
    slow_objects = replace(report, rows=(replace(row, timing=replace(row.timing, rounds=rounds)),))
    assert failed(report, slow_objects, "latency:10%")
    assert not failed(report, slow_objects, "network:10%")


def test_frames_that_end_differently_do_not_compare(make_report):
    report = make_report()
    other = replace(report, rows=tuple(replace(row, until="labels") for row in report.rows))
    with pytest.raises(InputError, match=r"--until.* was objects and is labels"):
        guard.guard(report, other, guard.parse_limits("latency:10%"))


def test_a_faster_state_holds(make_report):
    report = make_report()
    assert not failed(report, slower(report, 0.5), "latency:0%")


def test_dice_is_judged_in_points_of_the_same_images(make_report):
    report = make_report()
    assert failed(report, worse_dice(report, 0.005), "dice:0.3")
    assert not failed(report, worse_dice(report, 0.002), "dice:0.3")


def test_a_metric_where_lower_is_better_fails_when_it_rises(make_report):
    report = make_report()
    (row,) = report.rows
    images = [replace(image, parts={**image.parts, "hd95_px": (5.0,)}) for image in row.quality.images]
    farther = replace(report, rows=(replace(row, quality=summarize_quality(images, "nuclei")),)).sealed()
    (judged,) = guard.guard(report, farther, guard.parse_limits("hd95_px:1"))
    assert (judged.verdict, judged.worse_by, judged.limit.unit) == ("worse", pytest.approx(2.0), "px")
    assert not failed(farther, report, "hd95_px:1")


def test_noise_alone_rarely_fails(make_report):
    """At a limit of nothing at all; the promise is one of twenty at most."""
    runs = [make_report(TIMED, seed=seed, rounds=5, repeats=6, noise=0.08) for seed in range(120)]
    alarms = sum(
        failed(old, new, "latency:0%,load:0%,memory:0%") for old, new in zip(runs[::2], runs[1::2], strict=True)
    )
    assert alarms <= 3


def test_a_real_change_is_found_through_the_noise(make_report):
    runs = [make_report(TIMED, seed=seed, rounds=5, repeats=6, noise=0.03) for seed in range(40)]
    found = [failed(old, slower(new, 1.3), "latency:10%") for old, new in zip(runs[::2], runs[1::2], strict=True)]
    assert sum(found) >= 16


def test_the_visible_change_is_found_as_often_as_is_said():
    rng = np.random.default_rng(0)
    found, visible = 0, []
    for _ in range(400):
        old, new = rng.normal(10, 0.2, (2, 5))
        visible.append(paired.of_rounds(new, old, 0.05, relative=False).visible)
    seen = float(np.median(visible))
    for _ in range(400):
        old, new = rng.normal(10, 0.2, (2, 5))
        found += paired.of_rounds(new + seen, old, 0.05, relative=False).low > 0
    assert 0.7 < found / 400 < 0.95


def test_intervals_of_images_cover_the_truth():
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(200):
        differences = rng.normal(0, 1, 12)
        change = paired.of_images(lambda picks, d=differences: d[picks].mean(axis=-1), 12, 0.05)
        missed += not change.low <= 0 <= change.high
    assert missed <= 30  # of 10 %


@pytest.mark.parametrize("limit", ["latency:10%", "latency:1"])
def test_a_slower_machine_is_not_a_slower_artefact(make_report, limit: str):
    report = make_report(noise=0.001)
    slow = calibration((6.0,) * 60)  # 5 ms before
    later = replace(slower(report, 1.2), noise=judge(slow, slow))
    assert not failed(report, later, limit)
    assert failed(report, replace(later, noise=report.noise), limit)
    assert failed(report, replace(slower(report, 1.5), noise=judge(slow, slow)), limit)
    assert any("20.0 % slower" in remark for remark in guard.remarks(report, later))


def test_a_row_that_is_gone_or_fails_is_a_regression(make_report):
    old = make_report(TIMED, {**TIMED, "name": "other-intel-int8"})
    gone = replace(old, rows=old.rows[:1])
    broken = replace(old, rows=(old.rows[0], replace(old.rows[1], timing=None, error="out of order")))
    for new, reason in ((gone, "no such row"), (broken, "out of order")):
        _, finding = guard.guard(old, new, guard.parse_limits("latency:10%"))
        assert finding.verdict == "missing"
        assert reason in finding.reason


def test_rows_of_one_name_are_paired_in_their_order(make_report):
    old = make_report(TIMED, {**TIMED, "ms": 50.0}, noise=0.0)
    findings = guard.guard(old, old, guard.parse_limits("latency:1%"))
    assert [(one.row, one.verdict) for one in findings] == [
        ("tiny-intel-int8", "holds"),
        ("tiny-intel-int8 (2)", "holds"),
    ]


def test_one_round_is_too_few_to_judge(make_report):
    report = make_report(rounds=1)
    with pytest.raises(InputError, match="needs 2 or more"):
        failed(report, report, "latency:10%")


def test_a_limit_on_what_was_not_measured_is_refused(make_report):
    report = make_report(TIMED)
    with pytest.raises(InputError, match="has dice"):
        failed(report, report, "latency:10%,dice:1")


def test_what_does_not_compare_is_refused(make_report):
    old = make_report()
    others = [
        replace(old, device=replace(old.device, cpu="Another")),
        replace(old, device=replace(old.device, usable_cores=1)),
        replace(old, data=replace(old.data, content="1" * 64)),
        replace(old, data=replace(old.data, images=3)),
        replace(old, protocol=replace(old.protocol, threads=1)),
        replace(old, rows=(replace(old.rows[0], tile=(64, 64)),)),
    ]
    for new in others:
        with pytest.raises(InputError, match="do not compare"):
            failed(old, new, "latency:10%")


@pytest.mark.parametrize(
    "text", ["", "latency", "latency:", "latency:-1%", "speed:3%", "dice:nan", "latency:1%,latency:2%"]
)
def test_what_is_no_limit_is_refused(text: str):
    with pytest.raises(InputError):
        guard.parse_limits(text)


# The command.


@pytest.fixture
def paths(make_report, tmp_path: Path) -> list[Path]:
    """An old report and a new one that is a quarter slower."""
    old = make_report()
    write_report(tmp_path / "old.json", old)
    write_report(tmp_path / "new.json", slower(old, 1.25))
    return [tmp_path / "old.json", tmp_path / "new.json"]


def test_a_regression_is_exit_code_1_with_a_sentence(bench, paths: list[Path], tmp_path: Path):
    said = bench("compare", *paths, "--fail-on", "latency:10%,dice:0.3", "--json", tmp_path / "found.json")
    assert said.code == 1
    assert "error: Worse than allowed: latency of tiny-intel-int8: at least 25 % worse, 10 % are allowed." in said.err
    verdicts = [one["verdict"] for one in json.loads((tmp_path / "found.json").read_text())["findings"]]
    assert verdicts == ["worse", "holds"]


def test_what_holds_is_exit_code_0(bench, paths: list[Path]):
    said = bench("compare", *paths, "--fail-on", "latency:30%")
    assert said.code == 0, said.err
    assert "visible" in said.out


def test_a_guard_takes_two_reports(bench, paths: list[Path]):
    assert bench("compare", paths[0], "--fail-on", "latency:30%").code == 2
