"""Measures, outlines and files of objects, against scikit-image and shapely."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime import InputError, Segmentation
from runtime.artifact.manifest import Objects
from runtime.objects.files import PlaneObjects, write_csv, write_geojson, write_parquet
from runtime.objects.measure import TABLE, measure_table, objects_of
from runtime.objects.outlines import outline

if TYPE_CHECKING:
    from pathlib import Path

LABELS = arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 5))
MASKS = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(LABELS)
def test_objects_are_the_rows_of_the_table(labels: np.ndarray):
    frame = np.random.default_rng(0).integers(0, 65535, labels.shape).astype(np.uint16)
    table = measure_table(labels, frame, 0.5)
    objects = objects_of(table)
    assert table["label"].tolist() == [o.label for o in objects] == [n for n in np.unique(labels) if n]
    for row, one in zip(table, objects, strict=True):
        assert one.centroid == (row["centroid_row_px"], row["centroid_col_px"])
        assert one.bbox == tuple(row[f"bbox_{side}_px"] for side in ("top", "left", "bottom", "right"))
        assert one.centroid_um == (row["centroid_row_um"], row["centroid_col_um"])
        assert one.area == row["area_px"] == (labels == one.label).sum()
        assert one.area_um2 == row["area_um2"] == one.area / 4
        assert one.mean_intensity == row["mean_intensity"] == pytest.approx(frame[labels == one.label].mean())
        for name in ("min_intensity", "max_intensity", "sd_intensity", "eccentricity", "solidity", "touches_border"):
            assert getattr(one, name) == row[name]
        for name in ("perimeter", "major_axis", "minor_axis"):
            assert getattr(one, name) == row[f"{name}_px"] == row[f"{name}_um"] * 2
        assert one.mean_probability is None


def test_large_numbers_with_gaps_are_kept():
    labels = np.array([[0, 70_000_000, 70_000_000, 12]], np.int64)
    assert measure_table(labels)["label"].tolist() == [12, 70_000_000]
    assert measure_table(labels + 1)["label"].tolist() == [1, 13, 70_000_001]


def test_negative_labels_are_refused():
    with pytest.raises(InputError, match="The labels go down to -2"):
        measure_table(np.array([[-2, 1]]))


def test_a_frame_of_another_type_is_refused():
    with pytest.raises(InputError, match="must be uint8, uint16 or float32, not float64"):
        measure_table(np.ones((2, 2), np.int32), np.ones((2, 2)))


def test_micrometres_follow_from_the_pixel_size():
    labels = np.zeros((10, 10), np.int32)
    labels[2:6, 4:6] = 1
    (one,) = objects_of(measure_table(labels, pixel_size_um=0.5))
    assert (one.area, one.area_um2) == (8, 2.0)
    assert (one.centroid, one.centroid_um) == ((3.5, 4.5), (1.75, 2.25))
    assert (one.bbox, one.bbox_um) == ((2, 4, 6, 6), (1, 2, 3, 3))
    assert one.mean_intensity is None


def test_micrometres_are_none_where_the_pixel_size_is_not_known():
    (one,) = objects_of(measure_table(np.ones((2, 2), np.int32)))
    assert (one.area_um2, one.centroid_um, one.bbox_um) == (None, None, None)


def test_a_frame_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"\(3, 2\) and its labels \(2, 2\)"):
        measure_table(np.ones((2, 2), np.int32), np.ones((3, 2)))


def test_a_result_measures_its_own_frame_or_the_one_it_is_given():
    probability = np.array([[0.9, 0.9, 0.1, 0.9]], np.float32)
    frame = np.array([[10, 20, 0, 7]], np.uint8)
    result = Segmentation(probability, None, 0.5, Objects(0.5, 0), 2.0, frame=frame)
    assert [o.mean_intensity for o in result.objects()] == [15, 7]
    assert [o.mean_intensity for o in result.objects(frame * 2)] == [30, 14]
    assert [o.area_um2 for o in result.objects()] == [8, 4]
    assert Segmentation(probability, None, 0.5, Objects(0.5, 0)).objects()[0].mean_intensity is None


@given(MASKS)
def test_outlines_are_valid_polygons_of_exactly_these_pixels(mask: np.ndarray):
    shapely = pytest.importorskip("shapely")
    polygons = [shapely.Polygon(shell, holes) for shell, *holes in outline(mask)]
    assert all(polygon.is_valid for polygon in polygons)
    rows, cols = np.mgrid[: mask.shape[0], : mask.shape[1]]
    covered = sum((shapely.contains_xy(polygon, cols + 0.5, rows + 0.5) for polygon in polygons), np.zeros(mask.shape))
    np.testing.assert_array_equal(covered, mask)
    assert sum(polygon.area for polygon in polygons) == mask.sum()


def test_an_outline_lists_corners_alone_and_is_closed():
    assert outline(np.ones((2, 3), bool), (10, 20)) == [[[(20, 10), (23, 10), (23, 12), (20, 12), (20, 10)]]]


def test_a_hole_is_an_inner_ring():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    ((shell, hole),) = outline(mask)
    assert len(shell) == 5
    assert sorted(set(hole)) == [(2, 2), (2, 3), (3, 2), (3, 3)]


@pytest.fixture
def plane() -> PlaneObjects:
    labels = np.zeros((9, 9), np.int32)
    labels[1:6, 1:6] = 1
    labels[3, 3] = 0
    labels[7, 2:8] = 2
    frame = np.full((9, 9), 100, np.uint16)
    return PlaneObjects(labels, measure_table(labels, frame, 0.5), "t001", time=1)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_csv_has_a_row_for_each_object(plane: PlaneObjects, tmp_path: Path):
    write_csv(tmp_path / "o.csv", [plane])
    rows = rows_of(tmp_path / "o.csv")
    assert list(rows[0]) == ["plane", *TABLE.names]
    assert [(row["plane"], row["label"], row["area_px"]) for row in rows] == [("t001", "1", "24"), ("t001", "2", "6")]
    assert float(rows[0]["area_um2"]) == 6.0
    assert float(rows[0]["mean_intensity"]) == 100


def test_csv_leaves_cells_empty_that_are_not_known(tmp_path: Path):
    labels = np.ones((1, 1), np.int32)
    write_csv(tmp_path / "o.csv", [PlaneObjects(labels, measure_table(labels))])
    (row,) = rows_of(tmp_path / "o.csv")
    assert row["mean_intensity"] == row["pixel_size_um"] == row["area_um2"] == row["bbox_top_um"] == ""


def test_parquet_holds_what_csv_holds(plane: PlaneObjects, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "o.parquet", [plane, plane])
    result = parquet.read_table(tmp_path / "o.parquet")
    assert result.column_names == ["plane", *TABLE.names]
    assert result["plane"].to_pylist() == ["t001"] * 4
    assert result["area_px"].to_pylist() == [24, 6, 24, 6]
    assert result["mean_probability"].null_count == 4
    assert result["touches_border"].to_pylist() == [False] * 4


def test_parquet_of_nothing_is_a_table_without_rows(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "o.parquet", [])
    assert parquet.read_table(tmp_path / "o.parquet").num_rows == 0


def test_geojson_is_what_qupath_reads(plane: PlaneObjects, tmp_path: Path):
    write_geojson(tmp_path / "o.geojson", [plane])
    found = json.loads((tmp_path / "o.geojson").read_text(encoding="utf-8"))
    assert found["type"] == "FeatureCollection"
    ring, bar = found["features"]
    assert ring["type"] == "Feature"
    assert ring["geometry"]["type"] == "Polygon"
    assert len(ring["geometry"]["coordinates"]) == 2  # the hole
    assert all(line[0] == line[-1] for line in ring["geometry"]["coordinates"])
    assert ring["geometry"]["plane"] == {"c": -1, "z": 0, "t": 1}
    assert ring["properties"]["objectType"] == "detection"
    assert ring["properties"]["classification"]["name"] == "edgescope"
    assert ring["properties"]["measurements"]["Area \u00b5m^2"] == 6.0
    assert all(isinstance(value, int | float) for value in bar["properties"]["measurements"].values())
    assert bar["geometry"]["coordinates"] == [[[2, 7], [8, 7], [8, 8], [2, 8], [2, 7]]]


def test_geojson_of_nothing_is_an_empty_collection(tmp_path: Path):
    labels = np.zeros((3, 3), np.int32)
    write_geojson(tmp_path / "o.geojson", [PlaneObjects(labels, measure_table(labels))])
    assert json.loads((tmp_path / "o.geojson").read_text()) == {"type": "FeatureCollection", "features": []}
