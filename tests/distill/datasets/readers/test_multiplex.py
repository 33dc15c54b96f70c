"""Multiplexed fields: a folder a field, a TIFF a channel; one field is split in space, several field by field."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from distill import datasets
from distill.datasets.readers.multiplex import GUARD, _parts, _tiles
from runtime.errors import InputError

HEIGHT, WIDTH = 96, 256
NUCLEUS = np.random.default_rng(0).integers(0, 60000, (HEIGHT, WIDTH)).astype(np.uint16)
CELLS = (np.indices((HEIGHT, WIDTH)) // 16).sum(axis=0).astype(np.int32)


def write(folder: Path, **planes: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, plane in planes.items():
        tifffile.imwrite(folder / f"{name}.tif", plane)


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """One field with two channels and one kind of labels."""
    folder = tmp_path / "R001"
    write(folder, nucleus=NUCLEUS, membrane=NUCLEUS[::-1], cells=CELLS)
    return folder


def opened(path: Path, options: str = "", split: str = "all") -> datasets.Dataset:
    return datasets.open(f"multiplex:{path}{options}", split)


def test_a_field_is_read_plane_by_plane(field: Path):
    (sample,) = opened(field)
    assert sample.channels == ("nucleus", "membrane")
    assert sample.pixel_size_um is None
    np.testing.assert_array_equal(sample.frame, NUCLEUS)
    np.testing.assert_array_equal(sample.planes(("membrane",))[0], NUCLEUS[::-1])
    np.testing.assert_array_equal(sample.labels["cells"] > 0, CELLS > 0)
    assert sample.labels["cells"].dtype == np.int32


def test_a_zip_of_fields_reads_the_same(field: Path, tmp_path: Path):
    shutil.copytree(field, tmp_path / "all" / "R001")
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "all")
    (sample,), (same,) = opened(Path(packed)), opened(field)
    assert sample.name == same.name
    np.testing.assert_array_equal(sample.image, same.image)
    np.testing.assert_array_equal(sample.labels["cells"], same.labels["cells"])


def test_options_reach_the_samples(field: Path):
    data = opened(field, "?um=0.5&licence=CC-BY-4.0")
    assert data.licence == "CC-BY-4.0"
    assert data[0].pixel_size_um == 0.5


def test_planes_of_8_and_16_bit_become_16(field: Path):
    write(field, membrane=(NUCLEUS // 256).astype(np.uint8))
    (sample,) = opened(field)
    assert sample.image.dtype == np.uint16
    np.testing.assert_array_equal(sample.image[1], NUCLEUS // 256)
    np.testing.assert_array_equal(sample.frame, NUCLEUS)


def test_a_big_endian_plane_keeps_its_values(field: Path):
    tifffile.imwrite(field / "nucleus.tif", NUCLEUS.astype(">u2"), byteorder=">")
    np.testing.assert_array_equal(opened(field)[0].frame, NUCLEUS)


def test_one_field_is_split_in_space(field: Path):
    (train,), (val,) = opened(field, split="train"), opened(field, split="val")
    border = WIDTH - WIDTH // 4
    np.testing.assert_array_equal(train.frame, NUCLEUS[:, : border - GUARD])
    np.testing.assert_array_equal(val.frame, NUCLEUS[:, border:])
    np.testing.assert_array_equal(val.labels["cells"] > 0, CELLS[:, border:] > 0)


@given(st.integers(1, 500), st.integers(GUARD, 2000))
def test_the_parts_of_a_field_keep_a_strip_between_them(height: int, width: int):
    try:
        (train,), (val,) = (_parts({"f": (height, width)}, split).values() for split in ("train", "val"))
    except InputError:
        assert width <= 4 * GUARD + 1
        return
    assert train.left == 0
    assert train.left + train.width + GUARD == val.left
    assert val.left + val.width == width
    assert train.height == val.height == height
    assert min(train.width, val.width) > GUARD


@given(st.integers(1, 300), st.integers(1, 300), st.integers(GUARD, 400))
def test_tiles_cover_their_window_once(height: int, width: int, tile: int):
    (whole,) = _parts({"f": (height, width)}, "all").values()
    count = np.zeros((height, width), int)
    for part in _tiles(replace(whole, top=0, left=0), tile):
        assert part.height <= tile
        assert part.width <= tile
        count[part.top : part.top + part.height, part.left : part.left + part.width] += 1
    assert (count == 1).all()


def test_training_fields_are_tiled_and_held_out_ones_are_not(field: Path):
    train, val = opened(field, "?tile=64", "train"), opened(field, "?tile=64", "val")
    assert len(train) == 2 * 3
    assert len(val) == 1
    row, col = map(int, train.names[-1].rpartition("@y")[2].split("x"))
    last = train[-1]
    height, width = last.frame.shape
    np.testing.assert_array_equal(last.frame, NUCLEUS[row : row + height, col : col + width])


def test_a_part_can_be_asked_for_whatever_the_split(field: Path):
    assert opened(field, "?part=val", "test").names == opened(field, split="val").names


def test_several_fields_are_split_field_by_field(field: Path):
    root = field.parent
    for number in range(2, 6):
        write(root / f"R00{number}", nucleus=NUCLEUS + np.uint16(number), membrane=NUCLEUS, cells=CELLS)
    train, val, every = (opened(root, split=split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(every)) == (4, 1, 5)
    assert {*train.names, *val.names} == {*every.names}
    assert all(sample.frame.shape == (HEIGHT, WIDTH) for sample in every)


def test_of_two_kinds_of_labels_each_is_found(field: Path):
    write(field, nuclei_expert=CELLS // 2)
    (sample,) = opened(field)
    assert set(sample.labels) == {"cells", "nuclei"}


def test_one_of_several_label_files_is_chosen(field: Path):
    write(field, cells_second=np.zeros_like(CELLS))
    with pytest.raises(InputError, match=r"cells labels of several: cells, cells_second; add \?cells=cells"):
        opened(field)
    assert not opened(field, "?cells=cells_second")[0].labels["cells"].any()
    assert opened(field, "?cells=cells")[0].labels["cells"].any()


def test_a_field_without_labels_is_a_field(field: Path):
    (field / "cells.tif").unlink()
    assert opened(field)[0].labels == {}


def test_a_data_set_survives_pickling(field: Path):
    again = pickle.loads(pickle.dumps(opened(field, "?tile=64", "train")))
    np.testing.assert_array_equal(again[1].image, opened(field, "?tile=64", "train")[1].image)


def test_whoever_saw_a_tile_has_seen_the_field(field: Path):
    train = opened(field, "?tile=64", "train").subset(opened(field, "?tile=64", "train").names[:1])
    seen = {datasets.frame_fingerprint(frame) for frame in train.origins(train.names)}
    assert len(datasets.unseen(opened(field, split="test"), seen)) == 0
    assert len(datasets.unseen(opened(field, split="val"), seen)) == 1


def test_a_field_that_gave_nothing_was_not_seen(field: Path):
    write(field.parent / "R002", nucleus=NUCLEUS[::-1], membrane=NUCLEUS, cells=CELLS)
    data = opened(field.parent)
    seen = {datasets.frame_fingerprint(frame) for frame in data.origins(data.names[:1])}
    assert datasets.unseen(data, seen).names == data.names[1:]


def narrow(field: Path) -> None:
    write(field, nucleus=NUCLEUS[:, :120], membrane=NUCLEUS[:, :120], cells=CELLS[:, :120])


def smaller_plane(field: Path) -> None:
    write(field, membrane=NUCLEUS[:, :-1])


def smaller_labels(field: Path) -> None:
    write(field, cells=CELLS[:-1])


def no_nucleus(field: Path) -> None:
    (field / "nucleus.tif").unlink()


def truncated(field: Path) -> None:
    (field / "membrane.tif").write_bytes((field / "membrane.tif").read_bytes()[:20000])


def doubles(field: Path) -> None:
    write(field, nucleus=NUCLEUS.astype(np.float64))


def several_pages(field: Path) -> None:
    tifffile.imwrite(field / "nucleus.tif", np.stack([NUCLEUS] * 5), photometric="minisblack")


def two_of_a_stem(field: Path) -> None:
    tifffile.imwrite(field / "nucleus.ome.tif", NUCLEUS)


def negative_labels(field: Path) -> None:
    write(field, cells=CELLS - 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (narrow, "'R001' is 120 pixels wide, too narrow to be split in space"),
        (smaller_plane, r"membrane.tif' has \(96, 255\) pixels, .*nucleus.tif' has \(96, 256\)"),
        (smaller_labels, r"cells.tif' has \(95, 256\) pixels"),
        (no_nucleus, r"holds no field with a nucleus.tif; expected FIELD/nucleus.tif"),
        (truncated, "membrane.tif' is damaged or cut short"),
        (doubles, "nucleus.tif' is float64; save it as uint8, uint16 or float32"),
        (several_pages, r"nucleus.tif' has shape \(5, 96, 256\); give one channel a file"),
        (two_of_a_stem, "nucleus.ome.tif' and .*nucleus.tif' have the same stem"),
        (negative_labels, "hold -1 to"),
    ],
)
def test_a_mistake_is_named(field: Path, change, said: str):
    change(field)
    with pytest.raises(InputError, match=said):
        opened(field, split="train")[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("?tile=16", "tile of the multiplex data is '16'; give 0, or at least 32"),
        ("?tile=-64", "'-64'"),
        ("?tile=big", "'big'"),
        ("?um=0", "'0'; give micrometres"),
        ("?um=inf", "'inf'"),
        ("?um=half", "'half'"),
        ("?part=test", "part of the multiplex data is 'test'; give train or val"),
        ("?cells=expert", "has no cells labels 'expert'; it has cells"),
        ("?nuclei=expert", "has no nuclei labels 'expert'; it has none"),
        ("?size=3", "Option 'size' of the multiplex data is unknown; there are tile, cells"),
    ],
)
def test_a_wrong_option_is_refused_with_its_value(field: Path, options: str, said: str):
    with pytest.raises(InputError) as error:
        opened(field, options)
    assert said in str(error.value)


def test_the_real_field_is_read(shared_data: Path):
    path = shared_data / "codex" / "R001_X003_Y004"
    train, val = (opened(path, "?tile=252&cells=cells_expert1&um=0.37745", split) for split in ("train", "val"))
    assert {"nucleus", "membrane"} <= set(train[0].channels)
    assert train[0].labels["cells"].any()
    assert len(val) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_named_with_its_file(field: Path, value: float):
    plane = NUCLEUS.astype(np.float32)
    plane[3, 5] = value
    write(field, membrane=plane)
    with pytest.raises(InputError, match=r"membrane\.tif' holds 1 value.* not finite, the first at \(3, 5\)"):
        list(opened(field))
