"""`benchmarks choose`: the best artefact that meets the limits, the runner-up, and the closest one if none does."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.answers.choose import TIE, Candidate, choose
from benchmarks.answers.costing import Rates
from benchmarks.answers.requirements import Limits
from benchmarks.answers.wording import of_answer
from benchmarks.inputs.stream import CameraStream
from benchmarks.report.files import write_report
from runtime.errors import InputError

FAST = {"name": "fast-intel-int8", "ms": 8.0, "mb": 90.0, "dice": 0.90}
GOOD = {"name": "good-intel-fp32", "ms": 18.0, "mb": 140.0, "dice": 0.95}
SLOW = {"name": "slow-intel-fp32", "ms": 40.0, "mb": 200.0, "dice": 0.97}


@pytest.fixture(scope="session")
def reports(make_report):
    """Three artefacts, each more accurate and dearer than the one before."""
    return [make_report(FAST, GOOD, SLOW, noise=0.0)]


def test_the_most_accurate_that_fits_is_the_best(reports):
    answer = choose(reports, Limits(latency_ms=180, memory_mb=150), None)
    assert (answer.best.row, answer.runner_up.row) == ("good-intel-fp32", "fast-intel-int8")
    assert answer.why_best == "the most accurate of 2 that meet all limits"
    assert "x faster" in answer.why_second


def test_what_is_as_accurate_and_faster_is_better(make_report):
    twin = {**GOOD, "name": "twin-intel-int8", "ms": 9.0}
    answer = choose([make_report(GOOD, twin, noise=0.0)], Limits(), None)
    assert abs(answer.best.quality - answer.runner_up.quality) < TIE
    assert answer.best.row == "twin-intel-int8"
    assert "2.00x faster" in answer.why_best or answer.why_best.startswith("the most accurate")


def test_a_difference_within_the_noise_of_the_images_is_said_to_be(make_report):
    twin = {**GOOD, "name": "twin-intel-int8", "ms": 9.0}
    answer = choose([make_report(GOOD, twin, noise=0.0, seed=3)], Limits(), None)
    assert "no clear difference" in answer.why_second


def test_nothing_fits_by_how_much_is_told_for_each_limit(reports):
    answer = choose(reports, Limits(latency_ms=36, quality={"dice": 0.99}), None)
    assert answer.best is None
    by_latency, by_dice = answer.nearest_by_limit
    assert by_latency.row == "fast-intel-int8"
    assert by_latency.checks[0].misses_by == pytest.approx(36.0)
    assert by_dice.row == "slow-intel-fp32"


def test_a_missing_memory_figure_meets_no_memory_limit(reports):
    (report,) = reports
    rows = tuple(replace(row, timing=None) for row in report.rows)
    answer = choose([replace(report, rows=rows)], Limits(memory_mb=1e6), None)
    assert answer.best is None
    assert "no memory figure" in answer.nearest.checks[0].missing


def test_a_percentile_that_the_samples_do_not_carry_meets_no_limit(make_report):
    answer = choose([make_report(FAST, repeats=10, rounds=3)], Limits(latency_ms=100, percentile=99), None)
    assert answer.best is None
    assert "too few samples for a p99" in answer.nearest.checks[0].missing


def test_a_limit_within_the_interval_is_met_and_not_sure(reports):
    least = reports[0].rows[0].quality.metrics["dice"]
    between = (least.mean + least.interval[0]) / 2
    assert choose(reports, Limits(quality={"dice": between}), None).candidates[0].fits
    assert not choose(reports, Limits(quality={"dice": between}), None).candidates[0].checks[0].sure
    assert not choose(reports, Limits(quality={"dice": between}, sure=True), None).candidates[0].fits


def test_where_lower_is_better_a_limit_is_the_most(reports):
    assert choose(reports, Limits(quality={"hd95_px": 3.5}), None).best is not None
    answer = choose(reports, Limits(quality={"hd95_px": 2.5}), None)
    assert answer.best is None
    assert answer.nearest.checks[0].at_most and answer.nearest.checks[0].unit == "px"


def test_stand_ins_and_failures_are_no_candidates(reports):
    (report,) = reports
    first, second, third = report.rows
    rows = (replace(first, stand_in="not installed", timing=None), replace(second, error="out of order"), third)
    answer = choose([replace(report, rows=rows)], Limits(), None)
    assert [candidate.row for candidate in answer.candidates] == ["slow-intel-fp32"]
    assert len(answer.left_out) == 2


def test_a_limit_of_quality_on_different_images_is_refused(make_report):
    reports = [make_report(FAST), make_report(FAST, seed=1, content="1" * 64)]
    with pytest.raises(InputError, match="different images"):
        choose(reports, Limits(quality={"dice": 0.5}), None)


def test_a_question_without_quality_needs_no_equal_images(make_report):
    fast, good = make_report(FAST, noise=0.0), make_report(GOOD, noise=0.0, content="1" * 64)
    answer = choose([good, fast], Limits(latency_ms=200), None)
    assert answer.best.row == "fast-intel-int8"  # the quicker one: accuracy does not compare
    assert "their accuracy cannot be compared" in answer.why_best
    assert answer.best.quality is not None


def test_frames_of_different_sizes_need_the_size_that_is_asked_about(make_report):
    reports = [make_report(FAST, noise=0.0), make_report(FAST, noise=0.0, frame=(1024, 1024))]
    with pytest.raises(InputError, match=r"512x512, 1024x1024.*--frame"):
        choose(reports, Limits(), None)
    assert choose(reports, Limits(frame=(1024, 1024)), None).best is not None


def test_the_devices_are_named_the_best_first(make_report):
    here = make_report(FAST, noise=0.0)
    slow = make_report({**FAST, "ms": 80.0}, noise=0.0)
    board = replace(slow, device=replace(slow.device, board="Raspberry Pi 5", cpu="BCM2712"))
    answer = choose([board, here], Limits(latency_ms=100), None)
    assert [one.machine for one in answer.devices] == ["Some CPU, 2 cores", "Raspberry Pi 5, 2 cores"]
    assert answer.devices[0].best == answer.best
    assert answer.devices[1].best is None and "misses latency" in answer.devices[1].why


def test_where_every_price_is_known_the_image_that_costs_least_is_the_best(make_report):
    here = make_report(FAST, noise=0.0)
    slow = make_report({**FAST, "ms": 16.0}, noise=0.0)
    board = replace(slow, device=replace(slow.device, board="Raspberry Pi 5", cpu="BCM2712"))
    rates = Rates(price={"some cpu": 3000.0, "Raspberry": 100.0}, power_w={"": 10.0}, kwh_price=0.3)
    answer = choose([here, board], Limits(rates=rates), None)
    assert answer.best.machine == "Raspberry Pi 5, 2 cores"
    assert "cost least" in answer.why_best or "most accurate" in answer.why_best
    assert choose([here, board], Limits(), None).best.machine == "Some CPU, 2 cores"


def test_a_device_of_the_same_kind_is_told_apart(make_report):
    one, other = make_report(FAST), make_report(FAST, seed=1)
    other = replace(other, created="2026-02-03T00:00:00+00:00")
    names = [candidate.machine for candidate in choose([one, other], Limits(), None).candidates]
    assert names == ["Some CPU, 2 cores, 2026-01-01", "Some CPU, 2 cores, 2026-02-03"]
    labelled = choose([replace(one, label="bench 1"), replace(other, label="bench 2")], Limits(), None)
    assert [candidate.machine for candidate in labelled.candidates] == ["bench 1, 2 cores", "bench 2, 2 cores"]


def until(report, end: str):
    """The same report with frames that end elsewhere."""
    return replace(report, rows=tuple(replace(row, until=end) for row in report.rows))


def test_reports_whose_frames_end_differently_are_refused(make_report):
    with pytest.raises(InputError, match="timed until mask and objects"):
        choose([make_report(FAST), until(make_report(FAST, seed=1), "mask")], Limits(), None)


def test_the_latency_is_that_of_frames_and_of_the_network_on_a_tile_if_asked(reports):
    frames, tiles = (choose(reports, Limits(latency_ms=100, tiles=tiles), None) for tiles in (False, True))
    assert frames.best.checks[0].figure.value == 72.0
    assert frames.best.checks[0].figure.basis == "p95 of frames of 512x512, until objects"
    assert (tiles.best.row, tiles.best.latency_ms) == ("slow-intel-fp32", 40.0)
    assert tiles.best.checks[0].figure.basis == "p95 of tiles of 256x256, until network"


def test_a_camera_needs_frames_that_were_timed_until_their_objects(reports):
    answer = choose([until(reports[0], "mask")], Limits(camera=CameraStream(512, 512, 1.0)), None)
    assert answer.best is None
    assert "with --until objects" in answer.nearest.checks[0].missing


def test_the_same_report_twice_is_refused(reports):
    with pytest.raises(InputError, match="given twice"):
        choose([*reports, *reports], Limits(), None)


def test_a_device_is_found_by_a_part_of_its_name(make_report):
    here = make_report(FAST)
    board = replace(here, device=replace(here.device, board="Raspberry Pi 5 Model B", cpu="BCM2712"))
    answer = choose([here, board], Limits(), "raspberry")
    assert {candidate.device for candidate in answer.candidates} == {board.device_id}
    with pytest.raises(InputError, match="fits no device"):
        choose([here, board], Limits(), "jetson")
    with pytest.raises(InputError, match="fits several"):
        choose([here, board], Limits(), "8g")


figures = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10))


@settings(max_examples=25)
@given(st.lists(figures, min_size=1, max_size=6), figures)
def test_the_choice_is_that_of_brute_force(make_report, rows: list[tuple[int, ...]], limits: tuple[int, ...]):
    given_rows = [
        {"name": f"s{i}-intel-int8", "ms": 5.0 * ms, "mb": 50.0 * mb, "dice": 0.8 + 0.01 * dice}
        for i, (ms, mb, dice) in enumerate(rows)
    ]
    report = make_report(*given_rows, noise=0.0, images=5, repeats=20, rounds=1)
    wanted = Limits(latency_ms=45.0 * limits[0], memory_mb=50.0 * limits[1], quality={"dice": 0.8 + 0.01 * limits[2]})
    answer = choose([report], wanted, None)
    fitting = [c for c in answer.candidates if meets(c, wanted)]
    assert (answer.best is None) == (not fitting)
    if answer.best:
        equal = [c for c in fitting if c.quality >= max(other.quality for other in fitting) - TIE]
        assert answer.best in equal
        assert answer.best.latency_ms == min(c.latency_ms for c in equal)
        assert (answer.runner_up is None) == (len(fitting) == 1)
        assert answer.runner_up != answer.best


def meets(candidate: Candidate, wanted: Limits) -> bool:
    return (
        candidate.latency_ms <= wanted.latency_ms
        and candidate.memory_mb <= wanted.memory_mb
        and candidate.quality >= wanted.quality["dice"]
    )


def test_the_same_artefact_run_in_two_ways_is_told_apart(make_report):
    report = make_report(FAST, {**FAST, "ms": 4.0}, noise=0.0)
    rows = (replace(report.rows[0], threads=1), replace(report.rows[1], threads=2))
    said = list(of_answer(choose([replace(report, rows=rows)], Limits(), None)))
    assert said[0].startswith("best: fast-intel-int8, 2 threads")
    assert any(line.startswith("runner-up: fast-intel-int8, 1 thread") for line in said)


# The command.


@pytest.fixture
def path(reports, tmp_path: Path) -> Path:
    write_report(tmp_path / "report.json", reports[0])
    return tmp_path / "report.json"


def test_the_command_names_best_and_runner_up(bench, path: Path):
    said = bench("choose", path, "--latency-ms", "180", "--memory-mb", "150", "--quality", "dice:0.85")
    assert said.code == 0, said.err
    assert "best: good-intel-fp32: the most accurate of 2 that meet all limits" in said.out
    assert "runner-up: fast-intel-int8" in said.out
    assert "misses a limit: slow-intel-fp32: latency 360 ms (limit 180 ms); memory 200 MB (limit 150 MB)" in said.out


def test_nothing_that_fits_is_exit_code_1(bench, path: Path, tmp_path: Path):
    said = bench("choose", path, "--latency-ms", "36", "--json", tmp_path / "answer.json")
    assert said.code == 1
    assert "No artefact meets all limits: closest is fast-intel-int8, latency 72 ms (limit 36 ms)" in said.out
    assert json.loads((tmp_path / "answer.json").read_text())["best"] is None


def test_a_camera_is_answered(bench, path: Path):
    said = bench("choose", path, "--camera", "512x512@10", "--memory-mb", "500")
    assert "keeps up with 512x512@10: 13.9 frames/s to objects" in said.out
    assert "drops 38.3 % of 512x512@10" in said.out


def test_a_frame_as_one_tile_names_the_command_that_makes_it(bench, path: Path):
    said = bench("choose", path, "--frame", "2048x2048")
    assert (
        "compile it with: python -m compile --target intel --student slow --precision fp32 --tile 2048x2048" in said.out
    )
    assert "without it: " in said.out
    assert said.out.index("best: ") < said.out.index("warning: 2048x2048 was not measured")


def test_costs_are_told_and_written(bench, path: Path, tmp_path: Path):
    options = ("--price", "some=2000", "--power", "50", "--kwh-price", "0.3", "--plate", "384")
    said = bench("choose", path, *options, "--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    assert said.code == 0, said.err
    best = json.loads((tmp_path / "a.json").read_text())["best"]
    seconds, joules = best["image"]["seconds"], best["image"]["joules"]
    assert joules == pytest.approx(50 * seconds)
    assert best["image"]["money"] == pytest.approx(2000 * seconds / 3600 / 10_000 + joules / 3.6e6 * 0.3)
    assert best["image"]["plate_minutes"] == pytest.approx(384 * seconds / 60)
    assert "images per kWh (50 W, as --power says)" in said.out
    assert f"{best['rate']['value']:.3g} frames/s to objects" in (tmp_path / "a.html").read_text()


def test_energy_that_was_not_measured_is_said_so(bench, path: Path):
    assert "energy: not measured" in bench("choose", path).out


@pytest.mark.parametrize(
    "options",
    [
        ("--quality", "dice:90"),
        ("--quality", "beauty:1"),
        ("--quality", "dice"),
        ("--latency-ms", "nan"),
        ("--memory-mb", "inf"),
        ("--percentile", "42"),
        ("--camera", "big"),
        ("--device", "toaster"),
        ("--frame", "0x5"),
        ("--frame", "large"),
        ("--price", "much"),
        ("--power", "nan"),
    ],
)
def test_a_wrong_call_is_exit_code_2(bench, path: Path, options: tuple[str, str]):
    assert bench("choose", path, *options).code == 2


def test_an_edited_report_is_refused(bench, path: Path):
    path.write_text(path.read_text().replace('"peak_mb": 90.0', '"peak_mb": 9.0'))
    said = bench("choose", path, "--memory-mb", "10")
    assert said.code == 2
    assert "report.json" in said.err
