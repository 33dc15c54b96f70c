"""Outlines of QuPath and ImageJ become the same instances as the picture that they were drawn on."""

import io
import json
import zipfile

import numpy as np
import pytest

from distill.datasets.annotations.formats import read_labels
from distill.datasets.annotations.layout import LabelFile
from distill.datasets.members import Members
from runtime.errors import InputError

SHAPE = (20, 30)
SQUARE = [[2, 3], [8, 3], [8, 9], [2, 9], [2, 3]]
HOLE = [[4, 5], [6, 5], [6, 7], [4, 7], [4, 5]]


def labels_of(tmp_path, name, data: bytes):
    (tmp_path / name).write_bytes(data)
    return read_labels(LabelFile(Members(tmp_path), name), SHAPE, "a.tif").labels


def feature(kind: str, coordinates) -> dict:
    return {"type": "Feature", "properties": {}, "geometry": {"type": kind, "coordinates": coordinates}}


def geojson(*features, collection: bool = True) -> bytes:
    content = {"type": "FeatureCollection", "features": list(features)} if collection else list(features)
    return json.dumps(content).encode()


@pytest.mark.parametrize("collection", [True, False])
def test_a_polygon_covers_the_pixels_whose_middle_it_holds(tmp_path, collection):
    expected = np.zeros(SHAPE, np.int32)
    expected[3:9, 2:8] = 1
    data = geojson(feature("Polygon", [SQUARE]), collection=collection)
    np.testing.assert_array_equal(labels_of(tmp_path, "a.geojson", data), expected)


def test_holes_are_left_out_and_parts_are_one_object(tmp_path):
    other = [[12, 3], [14, 3], [14, 5], [12, 5], [12, 3]]
    labels = labels_of(tmp_path, "a.geojson", geojson(feature("MultiPolygon", [[SQUARE, HOLE], [other]])))
    assert labels.max() == 1
    assert (labels > 0).sum() == 36 - 4 + 4


def test_the_first_of_two_that_overlap_keeps_its_pixels(tmp_path):
    shifted = [[x + 3, y] for x, y in SQUARE]
    labels = labels_of(tmp_path, "a.geojson", geojson(feature("Polygon", [SQUARE]), feature("Polygon", [shifted])))
    assert np.bincount(labels.ravel())[1:].tolist() == [36, 18]


def test_objects_that_the_runtime_writes_come_back(tmp_path):
    from runtime.objects.files import PlaneObjects, write_geojson
    from runtime.objects.measure import measure_table

    truth = np.zeros(SHAPE, np.int32)
    truth[1:6, 2:9], truth[8:15, 10:20], truth[10, 12] = 1, 2, 0
    write_geojson(tmp_path / "a.geojson", [PlaneObjects(truth, measure_table(truth), "", 0, 0)])
    labels = labels_of(tmp_path, "a.geojson", (tmp_path / "a.geojson").read_bytes())
    np.testing.assert_array_equal(labels, truth)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "are no GeoJSON"),
        (geojson(feature("Point", [1, 2])), "hold 1 Point, which enclose nothing"),
        (geojson(feature("Polygon", [[[1, 2], [3, 4]]])), "without at least three finite points"),
        (geojson(feature("Polygon", "abc")), "polygon"),
        (geojson({"type": "Feature", "geometry": "Polygon"}), "hold 1 nothing"),
        (geojson({"type": "Feature", "geometry": 5}, 7, None), "hold 3 nothing"),
        (geojson(feature("Polygon", [(np.array(SQUARE) + 500).tolist()])), "outside of its image of 30 x 20 pixels"),
    ],
)
def test_what_is_no_outline_is_named(tmp_path, data, said):
    with pytest.raises(InputError, match=said):
        labels_of(tmp_path, "a.geojson", data)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.roi", data)
    return buffer.getvalue()


def roi(points, **more):
    roifile = pytest.importorskip("roifile")
    made = roifile.ImagejRoi.frompoints(np.array(points, np.float32))
    for key, value in more.items():
        setattr(made, key, value)
    return made.tobytes()


def test_rois_of_imagej_are_drawn(tmp_path):
    expected = np.zeros(SHAPE, np.int32)
    expected[3:9, 2:8], expected[3:9, 12:18] = 1, 2
    data = zipped(a=roi(SQUARE[:4]), b=roi([[x + 10, y] for x, y in SQUARE[:4]]))
    np.testing.assert_array_equal(labels_of(tmp_path, "a.zip", data), expected)
    np.testing.assert_array_equal(labels_of(tmp_path, "a.roi", roi(SQUARE[:4])) > 0, expected == 1)


def test_rois_of_several_planes_are_refused(tmp_path):
    data = zipped(a=roi(SQUARE[:4], position=1), b=roi(SQUARE[:4], position=2))
    with pytest.raises(InputError, match="of 2 planes of a stack"):
        labels_of(tmp_path, "a.zip", data)


@pytest.mark.parametrize(
    ("data", "said"), [(b"PK", "not a whole .zip"), (zipped(a=b"nonsense"), "'a.roi' in labels .* is no ImageJ ROI")]
)
def test_what_is_no_roi_is_named(tmp_path, data, said):
    pytest.importorskip("roifile")
    with pytest.raises(InputError, match=said):
        labels_of(tmp_path, "a.zip", data)


def test_a_zip_that_is_damaged_anywhere_is_named(tmp_path):
    pytest.importorskip("roifile")
    whole = zipped(**{"a.roi": roi([[2, 2], [9, 2], [9, 9]]), "b.roi": roi([[12, 2], [19, 2], [19, 9]])})
    for at in range(len(whole)):
        for value in (0, 255):
            try:
                labels = labels_of(tmp_path, "a.zip", whole[:at] + bytes([value]) + whole[at + 1 :])
            except InputError:
                continue
            assert labels.max() <= 2


def test_a_zip_without_rois_is_named(tmp_path):
    pytest.importorskip("roifile")
    with pytest.raises(InputError, match=r"hold no \.roi"):
        labels_of(tmp_path, "a.zip", zipped())
