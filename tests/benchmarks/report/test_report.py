"""Reports are read back as they were written, and everything else is refused by name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measures.figures import ImageScore
from benchmarks.measures.latency import summarize
from benchmarks.measures.quality import summarize as summarize_quality
from benchmarks.report import table, warnings
from benchmarks.report.files import read_report, write_report
from benchmarks.report.report import Report
from runtime.artifact.manifest import Accuracy
from runtime.errors import InputError
from runtime.metrics import MetricScore


def test_a_report_survives_the_disk(report: Report, tmp_path: Path):
    write_report(tmp_path / "report.json", report)
    assert read_report(tmp_path / "report.json") == report


def test_a_report_from_before_until_was_measured_until_the_mask(report: Report):
    value = report.to_dict()
    assert value["rows"][0].pop("until") == "objects"
    assert Report.from_dict(value).rows[0].until == "mask"


def test_an_unknown_end_of_the_timed_frame_is_refused(report: Report):
    value = report.to_dict()
    value["rows"][0]["until"] = "cells"
    with pytest.raises(InputError, match=r"rows\[0\].*one of network, mask, labels, objects"):
        Report.from_dict(value)


def test_reports_whose_frames_end_differently_are_warned_of(report: Report):
    other = replace(report, rows=tuple(replace(row, until="mask") for row in report.rows))
    assert warnings.of_reports([report, report]) == []
    (said,) = warnings.of_reports([report, other])
    assert said.startswith("frames were timed until mask and objects: their times do not compare")


@given(st.lists(st.floats(1e-3, 1e5), min_size=1), st.floats(0, 1), st.text(max_size=20))
def test_any_figures_survive_json(report: Report, samples: list[float], dice: float, error: str):
    (row,) = report.rows
    rounds = (replace(row.timing.rounds[0], tile_ms=tuple(samples)),)
    timing = replace(row.timing, tile_ms=summarize(samples), rounds=rounds)
    row = replace(row, timing=timing, agreement=replace(row.agreement, mask_dice=dice), error=error)
    report = replace(report, rows=(row,)).sealed()
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("version", [0, 2, "1", True, None])
def test_another_schema_version_is_refused_by_name(report: Report, tmp_path: Path, version: object):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**report.to_dict(), "schema_version": version}))
    with pytest.raises(InputError, match=r"old\.json.*schema_version is"):
        read_report(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"schema_version": 1}', "\x00"])
def test_what_is_no_report_is_refused_by_name(tmp_path: Path, text: str):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"odd\.json"):
        read_report(path)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.mktemp("reports") / "noise.json"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_report(path)


def test_an_unknown_field_is_named(report: Report, tmp_path: Path):
    value = report.to_dict()
    value["rows"][0]["surprise"] = 1
    path = tmp_path / "new.json"
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"rows\[0\]\.surprise"):
        read_report(path)


def test_a_report_that_was_edited_by_hand_is_refused(report: Report, tmp_path: Path):
    path = tmp_path / "better.json"
    write_report(path, report)
    text = path.read_text()
    assert '"p50": 20.5' in text
    path.write_text(text.replace('"p50": 20.5', '"p50": 10.5'))
    with pytest.raises(InputError, match=r"better\.json.*edited"):
        read_report(path)


def test_a_report_without_its_digest_is_refused(report: Report, tmp_path: Path):
    path = tmp_path / "bare.json"
    path.write_text(json.dumps({**report.to_dict(), "digest": None}))
    with pytest.raises(InputError, match="digest"):
        read_report(path)


def test_spaces_and_the_order_of_fields_are_no_edit(report: Report, tmp_path: Path):
    value = report.to_dict()
    path = tmp_path / "report.json"
    path.write_text(json.dumps(dict(reversed(value.items())), separators=(",", ":")))
    assert read_report(path) == report


@pytest.mark.parametrize(
    ("path", "value"),
    [(("timing", "tile_ms", "p50"), 10.5), (("timing", "frame_ms", "max"), 1.0), (("timing", "tile_ms", "p99"), 40.0)],
)
def test_figures_that_do_not_follow_from_the_samples_are_refused(report: Report, tmp_path: Path, path, value: float):
    edited = report.to_dict()
    holder = edited["rows"][0]
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    write_report(tmp_path / "sealed.json", Report.from_dict(edited))
    with pytest.raises(InputError, match=rf"rows\[0\]\.timing\.{path[1]}"):
        read_report(tmp_path / "sealed.json")


def test_a_dice_that_does_not_follow_from_its_images_is_refused(report: Report, tmp_path: Path):
    score = ImageScore("a", {"dice": (1.0, 1.0, 1.0), "ap50": (1.0, 0.0, 0.0)})
    (row,) = report.rows
    good = replace(report, rows=(replace(row, quality=summarize_quality([score], "nuclei")),))
    write_report(tmp_path / "good.json", good)
    assert read_report(tmp_path / "good.json").rows[0].quality.metrics["dice"].mean == 0.5
    quality = good.rows[0].quality
    better = {**quality.metrics, "dice": replace(quality.metrics["dice"], mean=0.9)}
    without = {"ap50": quality.metrics["ap50"]}
    for metrics in (better, without):
        edited = replace(good, rows=(replace(row, quality=replace(quality, metrics=metrics)),))
        write_report(tmp_path / "better.json", edited)
        with pytest.raises(InputError, match=r"rows\[0\]\.quality\.dice"):
            read_report(tmp_path / "better.json")


def test_flagged_images_are_told_with_every_table(report: Report, tmp_path: Path):
    parts = {"dice": (1.0, 1.0, 1.0)}
    images = [
        ImageScore("a", parts, ("uneven", "scale_unseen")),
        ImageScore("b", parts, ("uneven",)),
        ImageScore("c", parts),
    ]
    rows = (replace(report.rows[0], quality=summarize_quality(images, "nuclei")),)
    flagged = replace(report, rows=rows, data=replace(report.data, images=3))
    write_report(tmp_path / "flagged.json", flagged)
    read = read_report(tmp_path / "flagged.json")
    words = "2 of 3 scored images have flags (uneven 2, scale_unseen 1): check the results on them"
    assert warnings.of_reports([read]).count(f"{read.device_id}: {words}") == 1
    assert words not in " ".join(warnings.of_reports([report]))


def test_parts_that_no_metric_gives_are_refused(report: Report, tmp_path: Path):
    score = ImageScore("a", {"dice": (1.0, 1.0, 1.0)})
    quality = summarize_quality([score], "nuclei")
    for parts in ((1.0,), (1.0, 1.0, 1.0, 1.0)):
        odd = replace(quality, images=(replace(score, parts={"dice": parts}),))
        write_report(tmp_path / "odd.json", replace(report, rows=(replace(report.rows[0], quality=odd),)))
        with pytest.raises(InputError, match=r"quality\.images"):
            read_report(tmp_path / "odd.json")


def test_a_metric_of_a_distribution_that_is_not_here_is_kept_and_not_shown(report: Report, tmp_path: Path):
    score = ImageScore("a", {"dice": (1.0, 1.0, 1.0)})
    quality = summarize_quality([score], "nuclei")
    foreign = replace(
        quality,
        images=(replace(score, parts={**score.parts, "beauty": (0.5,)}),),
        metrics={**quality.metrics, "beauty": quality.metrics["dice"]},
    )
    written = replace(report, rows=(replace(report.rows[0], quality=foreign),))
    write_report(tmp_path / "foreign.json", written)
    read = read_report(tmp_path / "foreign.json")
    assert read.rows[0].quality == foreign
    assert "beauty" not in table.cells(table.entries([read]), wide=True)[0]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_what_is_no_finite_number_is_refused(report: Report, tmp_path: Path, number: str):
    path = tmp_path / "odd.json"
    path.write_text(report.to_json().replace('"p50": 20.5', f'"p50": {number}'))
    with pytest.raises(InputError, match="finite"):
        read_report(path)


def test_what_is_kept_of_fp32_is_a_badge(report: Report):
    (row,) = report.rows
    (entry,) = table.entries([report])
    given = {"dice": MetricScore(0.8, None, None, 3)}
    accuracy = Accuracy("a test", "nuclei", 3, given, given, 0.0, None, None, "none")
    for kept, badge in ((1.001, "99.9 %"), (0.9991, "99.9 %"), (0.995, "99 %"), (0.98, "under 99 %")):
        compiled = replace(accuracy, scores={"dice": replace(given["dice"], mean=0.8 * kept)})
        assert cell(replace(entry, row=replace(row, accuracy=compiled)), "of fp32 at least") == badge
    assert cell(replace(entry, row=replace(row, accuracy=None)), "of fp32 at least") == table.MISSING


def test_the_student_of_the_reference_row_is_the_closed_division(report: Report):
    (row,) = report.rows
    rows = (row, replace(row, name="smaller", precision="int8"), replace(row, name="other", student="another"))
    several = replace(report, rows=rows, protocol=replace(report.protocol, reference=row.name))
    assert [cell(entry, "division") for entry in table.entries([several])] == ["closed", "closed", "open"]
    untimed = replace(several, protocol=replace(report.protocol, reference=None))
    assert {cell(entry, "division") for entry in table.entries([untimed])} == {table.MISSING}


def cell(entry: table.TableEntry, title: str) -> str:
    (column,) = [one for one in (*table.IDENTITY, *table.COSTS) if one.title == title]
    return column.cell(entry)
