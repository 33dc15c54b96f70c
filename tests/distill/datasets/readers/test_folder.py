"""A user's folder: TIFF and PNG, planes and masks, and what is told to whoever mixed something up."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from distill import datasets
from runtime.errors import InputError
from runtime.images.planes import read_planes

FRAME = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
LABELS = np.zeros((20, 30), np.uint16)
LABELS[2:6, 2:6], LABELS[2:6, 6:9], LABELS[10:15, 10:15] = 4, 9, 2  # the first two touch


def write(path: Path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        tifffile.imwrite(path, pixels)


@pytest.fixture
def root(tmp_path) -> Path:
    write(tmp_path / "images" / "a.tif", FRAME)
    write(tmp_path / "labels" / "a.png", LABELS)
    return tmp_path


def only(root: Path):
    (sample,) = datasets.open(f"folder:{root}")
    return sample


def test_reads_pairs_by_stem(root):
    sample = only(root)
    assert sample.name == "a"
    assert sample.channels == ("nucleus",)
    assert sample.image.dtype == np.uint16
    np.testing.assert_array_equal(sample.frame, FRAME)
    assert sample.labels["nuclei"].dtype == np.int32
    np.testing.assert_array_equal(np.unique(sample.labels["nuclei"]), [0, 1, 2, 3])
    np.testing.assert_array_equal(sample.labels["nuclei"] > 0, LABELS > 0)


def test_a_zip_of_the_folder_reads_the_same(root, tmp_path_factory):
    archive = shutil.make_archive(str(tmp_path_factory.mktemp("zip") / "mine"), "zip", root)
    np.testing.assert_array_equal(only(Path(archive)).labels["nuclei"], only(root).labels["nuclei"])


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".png", ".ome.tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_format_keeps_its_values(tmp_path, suffix, dtype):
    write(tmp_path / "images" / f"a{suffix}", FRAME.astype(dtype))
    write(tmp_path / "labels" / "a.tif", LABELS)
    sample = only(tmp_path)
    assert sample.frame.dtype == dtype
    np.testing.assert_array_equal(sample.frame, FRAME.astype(dtype))


def test_the_second_plane_is_the_membrane(root):
    tifffile.imwrite(root / "images" / "a.tif", np.stack([FRAME, FRAME + 1, FRAME + 2]), photometric="minisblack")
    sample = only(root)
    assert sample.channels == ("nucleus", "membrane", "channel2")
    np.testing.assert_array_equal(sample.frame, FRAME)


def test_float_images_and_float_ids_are_taken(root):
    write(root / "images" / "a.tif", FRAME.astype(np.float32) / 7)
    (root / "labels" / "a.png").unlink()
    write(root / "labels" / "a.tif", LABELS.astype(np.float32))
    assert only(root).frame.dtype == np.float32
    assert only(root).labels["nuclei"].max() == 3


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_is_split_into_its_components_and_that_is_said(root, value):
    write(root / "labels" / "a.png", (LABELS > 0).astype(np.uint8) * np.uint8(value))
    assert only(root).labels["nuclei"].max() == 2
    assert "taken as a mask" in datasets.open(f"folder:{root}").description


def test_grey_stored_as_colour_is_grey(root):
    (root / "images" / "a.tif").unlink()
    grey = FRAME.astype(np.uint8)
    write(root / "images" / "a.png", np.dstack([grey] * 3))
    write(root / "images" / "a.png", np.tile(np.dstack([grey] * 3), (4, 1, 1)))
    write(root / "labels" / "a.png", np.vstack([LABELS, np.zeros((60, 30), np.uint16)]))
    np.testing.assert_array_equal(only(root).frame, np.tile(grey, (4, 1)))


def test_train_and_val_follow_the_one_definition(root):
    for number in range(9):
        write(root / "images" / f"b{number}.png", FRAME.astype(np.uint8))
        write(root / "labels" / f"b{number}.tif", LABELS)
    train, val = (datasets.open(f"folder:{root}", split) for split in ("train", "val"))
    assert (len(train), len(val)) == (8, 2)
    assert not set(train.names) & set(val.names)
    assert len(datasets.open(f"folder:{root}", "test")) == 10


def extra_label(root):
    write(root / "labels" / "b.png", LABELS)


def extra_image(root):
    write(root / "images" / "b.tif", FRAME)


def other_size(root):
    write(root / "labels" / "a.png", LABELS[:7])


def two_of_a_stem(root):
    write(root / "images" / "a.png", FRAME)


def colour(root):
    write(root / "images" / "a.tif", np.random.default_rng(0).integers(0, 255, (90, 30, 3), np.uint8))


def deep(root):
    write(root / "images" / "a.tif", np.zeros((2, 5, 20, 30), np.uint8))


def empty_tiff(root):
    (root / "images" / "a.tif").write_bytes(b"")


def half_tiff(root):
    (root / "images" / "a.tif").write_bytes((root / "images" / "a.tif").read_bytes()[:900])


def empty_png(root):
    (root / "labels" / "a.png").write_bytes(b"")


def negative(root):
    (root / "labels" / "a.png").unlink()
    write(root / "labels" / "a.tif", LABELS.astype(np.int16) - 1)


def no_images(root):
    shutil.rmtree(root / "images")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (extra_label, r"1 label image\(s\) .* have no image \(first: 'b'\)"),
        (other_size, r"have \(7, 30\) pixels, their image 'images/a.tif' has \(20, 30\)"),
        (two_of_a_stem, "have the same stem"),
        (colour, "is a colour picture"),
        (deep, r"has shape \(2, 5, 20, 30\)"),
        (empty_tiff, r"'images/a.tif' is empty \(0 bytes\)"),
        (half_tiff, "'images/a.tif' is damaged or cut short"),
        (empty_png, r"'labels/a.png' is empty \(0 bytes\)"),
        (negative, "hold -1 to"),
        (no_images, "holds no TIFF or PNG images"),
    ],
)
def test_a_mistake_is_named(root, change, said):
    change(root)
    with pytest.raises(InputError, match=said):
        only(root)


def test_an_image_without_labels_is_for_training_alone(root):
    extra_image(root)
    assert datasets.open(f"folder:{root}", "train").names == ("a", "b")
    every = datasets.open(f"folder:{root}", "all")
    assert every.names == ("a",)
    assert every.left_out == {"without labels": 1}
    assert datasets.open(f"folder:{root}", "train")[1].labels == {}


def test_images_without_any_label_are_refused_but_for_training(root):
    shutil.rmtree(root / "labels")
    with pytest.raises(InputError, match=r"None of the 1 images .* has labels"):
        datasets.open(f"folder:{root}", "val")
    assert len(datasets.open(f"folder:{root}", "train")) == 1


def test_labels_may_be_in_another_folder(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (root / "labels" / "a.png").rename(other / "a_cp_masks.png")
    (sample,) = datasets.open(f"folder:{root}?from={other}")
    assert sample.labels["nuclei"].max() == 3


def test_folds_are_disjoint_and_make_up_everything(root):
    for number in range(7):
        write(root / "images" / f"b{number}.png", FRAME.astype(np.uint8))
        write(root / "labels" / f"b{number}.tif", LABELS)
    held_out = [datasets.open(f"folder:{root}?fold={number}of3", "val").names for number in range(3)]
    assert sorted(name for names in held_out for name in names) == ["a", *(f"b{number}" for number in range(7))]
    train = datasets.open(f"folder:{root}?fold=1of3", "train").names
    assert sorted((*train, *held_out[1])) == sorted(name for names in held_out for name in names)


def test_images_without_objects_are_divided_evenly_among_folds(root):
    for number in range(8):
        write(root / "images" / f"b{number}.png", FRAME.astype(np.uint8))
        write(root / "labels" / f"b{number}.tif", LABELS * (number < 2))
    for number in range(3):
        held_out = datasets.open(f"folder:{root}?fold={number}of3", "val")
        assert sum(bool(sample.labels["nuclei"].any()) for sample in held_out) == 1
        assert len(held_out) == 3


def test_a_part_may_be_fixed(root):
    assert datasets.open(f"folder:{root}?part=all", "val").names == ("a",)


@pytest.mark.parametrize("query", ["fold=3of3", "fold=0of1", "part=test", "labels=cats", "size=2", "junk"])
def test_an_option_that_is_unknown_is_refused(root, query):
    with pytest.raises(InputError, match="older data"):
        datasets.open(f"folder:{root}?{query}")


@pytest.mark.parametrize(("axes", "said"), [("TYX", "3 time points"), ("ZYX", "3 planes along Z")])
def test_a_series_is_not_taken_for_channels(root, axes, said):
    stack = np.stack([FRAME] * 3)
    tifffile.imwrite(root / "images" / "a.tif", stack, imagej=True, metadata={"axes": axes})
    with pytest.raises(InputError, match=f"{said}.*an image of its own"):
        only(root)


def test_many_pages_without_a_meaning_are_not_taken_for_channels(root):
    tifffile.imwrite(root / "images" / "a.tif", np.stack([FRAME] * 9), photometric="minisblack")
    with pytest.raises(InputError, match="9 pages are no channels"):
        only(root)


def test_pages_that_are_called_channels_are_channels(root):
    stack = np.stack([FRAME] * 9)
    tifffile.imwrite(root / "images" / "a.tif", stack, imagej=True, metadata={"axes": "CYX"})
    assert len(only(root).channels) == 9


def test_a_broken_image_is_named_when_a_split_needs_its_size(root):
    extra_image(root)
    extra_label(root)
    empty_tiff(root)
    with pytest.raises(InputError, match=r"'images/a\.tif' is empty"):
        datasets.open(f"folder:{root}", "train")


def test_a_value_that_is_no_number_is_named_with_its_file(root: Path):
    frame = FRAME.astype(np.float32)
    frame[0, 1] = np.nan
    write(root / "images" / "a.tif", frame)
    with pytest.raises(InputError, match=r"a\.tif' holds 1 value\(s\) that are not finite"):
        only(root)


# The runtime's reader


def test_a_png_with_a_palette_is_what_it_shows_as_on_the_device(tmp_path: Path):
    """The palette is inverted: its numbers would be the negative of what the device sees."""
    grey = (FRAME % 256).astype(np.uint8)
    picture = Image.fromarray(255 - grey, mode="L").convert("P")
    picture.putdata((255 - grey).ravel().tolist())
    picture.putpalette([255 - value for value in range(256) for _ in range(3)])
    (tmp_path / "images").mkdir()
    picture.save(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.png", LABELS)
    np.testing.assert_array_equal(only(tmp_path).frame, grey)
    np.testing.assert_array_equal(read_planes(tmp_path / "images" / "a.png")[0].frame, grey)


def test_stems_are_paired_in_whatever_case(tmp_path: Path):
    write(tmp_path / "images" / "a.OME.TIF", FRAME)
    write(tmp_path / "labels" / "a.png", LABELS)
    assert only(tmp_path).name == "a"


def test_the_nuclear_channel_comes_first_by_its_name_or_by_the_spec(tmp_path: Path):
    (tmp_path / "images").mkdir()
    stack = np.stack([FRAME, FRAME + 1])
    metadata = {"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI"]}}
    tifffile.imwrite(tmp_path / "images" / "a.ome.tif", stack, ome=True, metadata=metadata)
    write(tmp_path / "labels" / "a.png", LABELS)
    assert only(tmp_path).channels == ("nucleus", "gfp")
    np.testing.assert_array_equal(only(tmp_path).frame, FRAME + 1)
    (chosen,) = datasets.open(f"folder:{tmp_path}?channel=GFP")
    np.testing.assert_array_equal(chosen.frame, FRAME)


def test_float64_becomes_float32_as_on_the_device(root: Path):
    write(root / "images" / "a.tif", FRAME.astype(np.float64))
    assert only(root).image.dtype == np.float32


def test_an_ome_zarr_is_an_image_of_a_folder(tmp_path: Path):
    zarr = pytest.importorskip("zarr")
    zarr.save_array(str(tmp_path / "images" / "a.zarr"), FRAME)
    write(tmp_path / "labels" / "a.png", LABELS)
    np.testing.assert_array_equal(only(tmp_path).frame, FRAME)


def test_litter_is_no_image(root: Path):
    for name in ("._a.tif", ".DS_Store", "Thumbs.db"):
        (root / "images" / name).touch()
    assert only(root).name == "a"
