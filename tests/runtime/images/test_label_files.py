"""Where the labels of an image are, and where corrected ones go: as training reads them."""

from pathlib import Path

import numpy as np
import pytest

from runtime import InputError
from runtime.images.label_files import FOLDERS, images_in, label_of, place_for

tifffile = pytest.importorskip("tifffile")


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros((4, 4), np.uint16))
    return path


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/a.tif", "labels/a.tif"),
        ("images/a.ome.tif", "labels/a_masks.png"),
        ("a.tif", "masks/a_cp_masks.tif"),
        ("a.png", "a_cp_masks.tif"),
        ("a.tif", "a.geojson"),
        ("images/a.tif", "images/a_rois.zip"),
    ],
)
def test_the_label_of_an_image_is_found_as_training_finds_it(tmp_path: Path, image: str, label: str):
    one, other = put(tmp_path / image), put((tmp_path / image).with_name("b.tif"))
    assert label_of(one) is None
    put(tmp_path / label)
    assert label_of(one) == tmp_path / label
    assert label_of(other) is None
    assert images_in(tmp_path) == sorted([one, other])


def test_training_pairs_the_same_files(tmp_path: Path):
    pytest.importorskip("pydantic")
    from distill.datasets.annotations.layout import pair
    from distill.datasets.members import Members

    for name in ("a.tif", "b.tif", "c.tif", "c_masks.tif", "d.tif", "masks/a.tif"):
        put(tmp_path / name)
    layout = pair(Members(tmp_path))
    images = images_in(tmp_path)
    assert [path.stem for path in images] == [*layout.images] == ["a", "b", "c", "d"]
    assert {path.stem for path in images if label_of(path)} == {*layout.labels} == {"a", "c"}
    for path in images:
        if label_of(path) is None:
            assert put(place_for(path)).parent == tmp_path / "masks"  # the folder that is there already
    assert {*pair(Members(tmp_path)).labels} == {"a", "b", "c", "d"}


@pytest.mark.parametrize("image", ["a.tif", "images/a.tif"])
def test_labels_go_into_a_folder_of_their_own(tmp_path: Path, image: str):
    assert place_for(put(tmp_path / image)) == tmp_path / FOLDERS[0] / "a.tif"


def test_a_folder_without_images_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no image"):
        images_in(tmp_path)
