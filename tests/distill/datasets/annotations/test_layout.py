"""Images find their labels in the layouts that laboratories have."""

from pathlib import Path

import pytest

from distill.datasets.annotations.layout import pair
from distill.datasets.members import Members
from runtime.errors import InputError


def layout(root: Path, *names: str, labels: Path | None = None):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return pair(Members(root), None if labels is None else Members(labels))


def pairs(*args, **kwargs) -> dict[str, str | None]:
    found = layout(*args, **kwargs)
    return {name: found.labels[name].name if name in found.labels else None for name in found.images}


@pytest.mark.parametrize("folder", ["labels", "masks", "annotations", "rois"])
def test_two_folders(tmp_path, folder):
    assert pairs(tmp_path, "images/a.tif", f"{folder}/a.png") == {"a": f"{folder}/a.png"}


def test_images_in_the_folder_itself(tmp_path):
    assert pairs(tmp_path, "a.tif", "b.ome.tif", "masks/a.tif") == {"a": "masks/a.tif", "b": None}


@pytest.mark.parametrize("suffix", ["_cp_masks", "_masks", "_mask", "_label", "_labels"])
@pytest.mark.parametrize("folder", ["", "images/"])
def test_side_by_side_with_a_suffix(tmp_path, suffix, folder):
    names = f"{folder}a.tif", f"{folder}a{suffix}.png", f"{folder}b.tif"
    assert pairs(tmp_path, *names) == {"a": names[1], "b": None}


def test_a_suffix_in_a_folder_of_labels(tmp_path):
    assert pairs(tmp_path, "images/a.tif", "labels/a_cp_masks.tif") == {"a": "labels/a_cp_masks.tif"}


@pytest.mark.parametrize("label", ["a.geojson", "a_rois.zip", "a.zip", "a.roi"])
def test_outlines_beside_the_image(tmp_path, label):
    assert pairs(tmp_path, "a.tif", label) == {"a": label}


def test_labels_in_another_folder(tmp_path):
    layout(tmp_path / "mine", "a_masks.png")
    assert pairs(tmp_path / "raw", "a.tif", "b.tif", labels=tmp_path / "mine") == {"a": "a_masks.png", "b": None}


def test_labels_wins_over_masks_of_another_segmenter(tmp_path):
    assert pairs(tmp_path, "images/a.tif", "labels/a.tif", "masks/a.tif") == {"a": "labels/a.tif"}


def test_a_pickle_of_cellpose_beside_its_picture_is_ignored(tmp_path):
    assert pairs(tmp_path, "a.tif", "a_seg.npy", "a_cp_masks.png") == {"a": "a_cp_masks.png"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a.tif", "a_seg.npy"), r"a_seg.npy.*is not opened.*Save masks as PNG/tif.*a_cp_masks.png"),
        (("a.tif", "a_masks.tif", "a_label.tif"), "'a' has two labels, 'a_label.tif' and 'a_masks.tif'"),
        (("a.tif", "a_masks.tif", "labels/a.tif"), "'a' has two labels"),
        (("images/a.tif", "images/a.png"), "have the same stem"),
        (("images/a.tif", "labels/b.tif"), r"1 label image\(s\) .* have no image \(first: 'b'\)"),
        (("images/a.tif", "masks/a.tif", "rois/a.zip"), "holds masks/ and rois/; say which one teaches"),
        (("notes.txt",), "holds no TIFF or PNG images"),
    ],
)
def test_what_cannot_be_paired_is_named(tmp_path, names, said):
    with pytest.raises(InputError, match=said):
        layout(tmp_path, *names)


def test_a_folder_of_labels_without_labels_is_named(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="mine' holds no label files"):
        layout(tmp_path / "raw", "a.tif", labels=tmp_path / "mine")
