"""The Pareto front holds what nothing dominates, and nothing else."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.page import charts, page
from benchmarks.page.charts import pareto_front
from benchmarks.report import table

few = st.integers(0, 6).map(float)  # few values, so that ties are common
points = st.lists(st.tuples(few, few), max_size=12)


def dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(points)
def test_the_front_is_what_no_point_dominates(given_points: list[tuple[float, float]]):
    kept = [i for i, p in enumerate(given_points) if not any(dominates(q, p) for q in given_points)]
    assert sorted(pareto_front(given_points)) == kept


@given(points)
def test_the_front_goes_from_cheap_to_dear(given_points: list[tuple[float, float]]):
    costs = [given_points[i][0] for i in pareto_front(given_points)]
    assert costs == sorted(costs)


def test_the_stages_of_a_frame_go_on_to_its_objects(make_report):
    (line,) = charts.stages(page.list_items(table.entries([make_report(noise=0.0)]))).lines
    assert line.text.endswith("labels 13.5, objects 4.5 ms (512x512, until objects)")
    assert [round(block.width / line.blocks[2].width, 2) for block in line.blocks[-2:]] == [0.25, 0.08]


def test_the_page_says_until_where_its_frames_were_timed(make_report):
    assert "p50 of a frame until objects" in page.render(table.entries([make_report()]))


def test_a_worst_image_shows_its_flags(make_report):
    plain = make_report(pictures=True)
    quality = plain.rows[0].quality
    images = tuple(replace(image, flags=("uneven", "<b>")) for image in quality.images)
    odd = replace(plain, rows=(replace(plain.rows[0], quality=replace(quality, images=images)),))
    assert "; flags: uneven, &lt;b&gt;</figcaption>" in page.render(table.entries([odd]))
    assert "; flags: " not in page.render(table.entries([plain]))
