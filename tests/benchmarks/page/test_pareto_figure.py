"""The Pareto figure: which points, lines and words are on it, and what does not compare."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.page import pareto_figure
from benchmarks.report import table
from benchmarks.report.files import write_report
from benchmarks.rivals.ours import OURS, load
from benchmarks.rivals.record import SCHEMA_VERSION, NetworkResult, RivalComparison
from runtime.errors import InputError

FOUR = (
    {"name": "fast-intel-int8", "ms": 2.0, "dice": 0.92},
    {"name": "fast-intel-fp32", "ms": 6.0, "dice": 0.921},
    {"name": "slow-intel-int8", "ms": 5.0, "dice": 0.94},
    {"name": "slow-microscope-int8", "ms": 20.0, "dice": 0.94},
)


@pytest.fixture
def four(make_report):
    """Two students, two targets, noise-free."""
    return make_report(*FOUR, noise=0.0)


@pytest.fixture
def comparison(four):
    """StarDist and ours on the same machine, at the side of the tiles and at another."""
    times = [("stardist", 256, 80.0), (OURS, 256, 2.0), ("stardist", 512, 300.0), ("instanseg", 256, 400.0)]
    results = [
        NetworkResult(
            name,
            load(name).title,
            "",
            side,
            10 * ms,
            20 * ms,
            {"pre": 1.0, "network": ms, "labels": 9 * ms - 1},
            5,
            None,
            (),
            None,
            "fast" if name == OURS else None,
            (side, side) if name == OURS else None,
            {},
            {},
        )
        for name, side, ms in times
    ]
    return RivalComparison(
        SCHEMA_VERSION,
        "now",
        "0.1.0",
        four.device,
        four.noise,
        "synthetic",
        2,
        3,
        tuple(results),
        ("fast",),
        "labels",
        {"256": 5, "512": 5},
    )


def test_the_front_is_of_the_fastest_and_the_most_accurate(four):
    (panel,) = pareto_figure.panels(table.entries([four]))
    names = [f"{panel.points[i].student} {panel.points[i].precision}" for i in panel.front]
    assert names == ["fast int8", "slow int8"]


def test_rivals_of_the_same_size_are_lines_and_ours_is_none(four, comparison):
    (panel,) = pareto_figure.panels(table.entries([four]), comparison)
    assert [(line.name, line.ms) for line in panel.rivals] == [("StarDist 2D", 80.0), ("InstanSeg", 400.0)]


def test_rivals_of_another_machine_are_refused(four, comparison):
    elsewhere = replace(comparison, device=replace(comparison.device, cpu="Another CPU"))
    with pytest.raises(InputError, match=r"another-cpu.*Time them there, too"):
        pareto_figure.panels(table.entries([four]), elsewhere)


def test_what_has_no_time_or_no_dice_is_counted_and_not_drawn(make_report):
    shown = table.entries(
        [make_report(*FOUR, {"name": "x-jetson-int8", "ms": None}, {"name": "y-intel-int8", "dice": None})]
    )
    found = pareto_figure.panels(shown)
    assert len(found[0].points) == 4
    assert "Not drawn: 2 artefacts" in pareto_figure.caption(shown, found, None)


def test_nothing_to_draw_is_said(make_report):
    with pytest.raises(InputError, match="both a score and a time"):
        pareto_figure.panels(table.entries([make_report({"dice": None})]))


def test_reports_of_different_images_do_not_compare(make_report):
    one, other = make_report(content="0" * 64), make_report(content="1" * 64)
    with pytest.raises(InputError, match="different images"):
        pareto_figure.panels(table.entries([one, other]))


def test_each_device_has_a_panel(four, make_report):
    other = make_report(*FOUR[:2], device=replace(four.device, cpu="Another CPU"))
    found = pareto_figure.panels(table.entries([four, other]))
    assert [len(panel.points) for panel in found] == [4, 2]


def test_the_caption_names_the_machine_the_images_and_the_threads_of_rivals(four, comparison):
    shown = table.entries([four])
    text = pareto_figure.caption(shown, pareto_figure.panels(shown, comparison), comparison)
    assert "Some CPU, 2 cores, Linux" in text
    assert "12 images of synthetic" in text
    assert "untrained, 2 threads" in text


def test_students_are_told_apart_by_shape_and_precisions_by_filling():
    students, targets = ["a", "b"], ["intel", "microscope"]
    one = pareto_figure.style_of("a", "intel", "int8", students, targets)
    other = pareto_figure.style_of("b", "intel", "fp32", students, targets)
    assert one["marker"] != other["marker"]
    assert one["fillstyle"] != other["fillstyle"]


def test_colours_stay_apart_in_grey():
    def grey(colour: str) -> float:
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    first = sorted(grey(colour) for colour in pareto_figure.COLOURS[:3])
    assert min(b - a for a, b in pairwise(first)) > 40


def test_the_command_writes_the_same_svg_each_time(bench, four, comparison, tmp_path):
    pytest.importorskip("matplotlib")
    write_report(tmp_path / "r.json", four)
    (tmp_path / "rivals.json").write_text(comparison.to_json())
    pictures = []
    for name in ("a.svg", "b.svg"):
        said = bench("pareto", tmp_path / "r.json", "--rivals", tmp_path / "rivals.json", "--out", tmp_path / name)
        assert (said.code, said.err) == (0, "")
        pictures.append((tmp_path / name).read_text())
    assert pictures[0] == pictures[1]
    assert re.search(r"<!-- StarDist 2D, 80 ms -->", pictures[0])
    assert "<!-- fast -->" in pictures[0]


@pytest.mark.parametrize("name", ["figure.pdf", "figure"])
def test_another_form_is_refused(bench, tmp_path, name: str):
    said = bench("pareto", tmp_path / "r.json", "--out", tmp_path / name)
    assert said.code == 2
    assert ".svg or .png" in said.err


def test_a_file_without_rivals_is_refused_by_name(bench, four, tmp_path):
    write_report(tmp_path / "r.json", four)
    said = bench("pareto", tmp_path / "r.json", "--rivals", tmp_path / "r.json", "--out", tmp_path / "f.svg")
    assert said.code == 2
    assert "r.json" in said.err and "no comparison with rivals" in said.err
