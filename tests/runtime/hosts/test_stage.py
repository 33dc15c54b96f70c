"""Pixels to stage micrometres: by hand-made cases, by the inverse, and equal in every file that is written."""

from __future__ import annotations

import csv
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import InputError
from runtime.hosts.stage import StageView, affine_of, calibrated
from runtime.objects.files import PlaneObjects, write_csv, write_geojson
from runtime.objects.measure import measure_table, objects_of

if TYPE_CHECKING:
    from pathlib import Path

SQUARE = [[0.5, 0], [0, 0.5]]


def test_the_middle_of_a_frame_is_where_the_stage_is():
    view = StageView.of(SQUARE, (10, 20), (4, 6))
    assert view.to_stage((1.5, 2.5)).tolist() == [10, 20]  # between pixels, as both sides are even
    assert StageView.of(SQUARE, (10, 20), (5, 7)).to_stage((2, 3)).tolist() == [10, 20]


@pytest.mark.parametrize(
    ("origin", "place"),
    [("pixel", [10, 20]), ("corner", [10.25, 20.25]), ("centre", [9.0, 19.0]), ((-3, 4), [8, 21.5])],
)
def test_the_origin_is_the_point_that_the_stage_position_is_the_place_of(origin: Any, place: list[float]):
    assert StageView.of(SQUARE, (10, 20), (5, 5), origin).to_stage((0, 0)).tolist() == place


@pytest.mark.parametrize(
    ("affine", "right", "down"),
    [
        (affine_of(2.0), (2, 0), (0, 2)),
        (affine_of((2.0, 3.0)), (2, 0), (0, 3)),
        (affine_of(2.0, flip_x=True), (-2, 0), (0, 2)),
        (affine_of(2.0, flip_y=True), (2, 0), (0, -2)),
        (affine_of(2.0, rotation_deg=90), (0, 2), (-2, 0)),
        (affine_of((2.0, 3.0), rotation_deg=90, flip_y=True), (0, 2), (3, 0)),
        ((0, -0.5, 7, 0.4, 0, 9), (0, 0.4), (-0.5, 0)),  # MMCore's six, whose translation is not used
        ([[0, -0.5, 7], [0.4, 0, 9]], (0, 0.4), (-0.5, 0)),
    ],
)
def test_a_pixel_to_the_right_and_one_down(affine: Any, right: tuple[float, float], down: tuple[float, float]):
    view = StageView.of(affine, (100, 200), (64, 48), "pixel")
    np.testing.assert_allclose(view.to_stage([(0, 1), (1, 0)]), np.add([right, down], (100, 200)), atol=1e-12)


finite = st.floats(-1e5, 1e5)


@given(
    size=st.tuples(st.floats(0.01, 20), st.floats(0.01, 20)),
    angle=st.floats(-720, 720),
    flips=st.tuples(st.booleans(), st.booleans()),
    position=st.tuples(finite, finite),
    point=st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000)),
)
def test_there_and_back(size: Any, angle: float, flips: Any, position: Any, point: Any):
    affine = affine_of(size, rotation_deg=angle, flip_x=flips[0], flip_y=flips[1])
    view = StageView.of(affine, position, (512, 700))
    np.testing.assert_allclose(view.to_pixel(view.to_stage(point)), point, atol=1e-4)
    assert view.pixel_size_um == pytest.approx(math.sqrt(size[0] * size[1]))


def test_a_table_of_objects_is_converted_in_one_piece():
    labels = np.zeros((40, 50), np.int32)
    labels[3:6, 10:13], labels[20, 40] = 1, 2
    table = measure_table(labels)
    view = StageView.of(affine_of(0.3, rotation_deg=17), (1, 2), labels.shape)
    expected = [view.to_stage(one.centroid) for one in objects_of(table)]
    np.testing.assert_array_equal(view.to_stage(table), expected)


def test_every_file_has_the_same_place_for_an_object(tmp_path: Path):
    labels = np.zeros((40, 50), np.int32)
    labels[7, 30] = 1  # one pixel: all centres are its own
    table = measure_table(labels, pixel_size_um=0.5)
    (one,) = objects_of(table)
    plane = PlaneObjects(labels, table)
    write_csv(tmp_path / "o.csv", [plane])
    write_geojson(tmp_path / "o.geojson", [plane])
    with (tmp_path / "o.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    (feature,) = json.loads((tmp_path / "o.geojson").read_text(encoding="utf-8"))["features"]
    corners = np.array(feature["geometry"]["coordinates"][0][:-1])  # x, y
    measured = feature["properties"]["measurements"]
    box = one.bbox
    points = [
        one.centroid,
        (float(row["centroid_row_px"]), float(row["centroid_col_px"])),
        (float(row["centroid_row_um"]) / 0.5, float(row["centroid_col_um"]) / 0.5),
        np.mean(corners, axis=0)[::-1] - 0.5,
        np.subtract((measured["Centroid Y px"], measured["Centroid X px"]), 0.5),
        np.subtract(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), 0.5),
    ]
    assert [tuple(point) for point in points] == [(7, 30)] * len(points)


@pytest.mark.parametrize(
    ("affine", "size", "known"),
    [
        ((0, 0, 0, 0, 0, 0), None, False),  # no pixel size at all
        ((1, 0, 0, 0, 1, 0), 0.5, False),  # only a size was entered
        ((2, 0, 0, 0, 2, 0), 1.0, False),  # the same with binning 2
        ((0, -0.5, 0, 0.5, 0, 0), 0.5, True),
        ((1, 0, 0, 0, 1, 0), 1.0, True),
    ],
)
def test_an_affine_that_nobody_measured_is_told_by_the_pixel_size(affine: Any, size: float | None, known: bool):
    assert calibrated(affine, size) is known


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: StageView.of([0] * 6, (0, 0), (4, 4)), "no calibration"),
        (lambda: StageView.of([[1, 2], [2, 4]], (0, 0), (4, 4)), "no calibration"),
        (lambda: StageView.of([[math.nan, 0], [0, 1]], (0, 0), (4, 4)), "no calibration"),
        (lambda: StageView.of([1, 0, 0, 1], (0, 0), (4, 4)), r"\(4,\)"),
        (lambda: StageView.of(SQUARE, (0, math.inf), (4, 4)), "position_um"),
        (lambda: StageView.of(SQUARE, (0, 0), (4, 4), "middle"), "'middle'"),  # type: ignore[arg-type]
        (lambda: affine_of(-1), "flip_x"),
    ],
)
def test_what_is_no_calibration_is_refused(make: Any, words: str):
    with pytest.raises(InputError, match=words):
        make()
