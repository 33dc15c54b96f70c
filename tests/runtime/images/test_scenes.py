"""What is taken of an image file: channels, scenes, planes along Z, pixel sizes; and what its metadata get wrong."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import InputError
from runtime.images.files import find_images, open_bytes, open_image, stem_of
from runtime.images.planes import (
    PlaneChoice,
    choose_channel,
    number_or_name,
    planes_of,
    read_planes,
    write_mask_ome_tiff,
)
from runtime.images.scene import Spacing, micrometres, seconds
from runtime.system import memory
from runtime.system.places import is_litter

if TYPE_CHECKING:
    from pathlib import Path

tifffile = pytest.importorskip("tifffile")

GREY = np.arange(48, dtype=np.uint16).reshape(6, 8)


def ome(path: Path, array: np.ndarray, **metadata: Any) -> Path:
    tifffile.imwrite(path, array, ome=True, photometric="minisblack", metadata=metadata)
    return path


def rewrite(path: Path, change: tuple[str, str]) -> Path:
    """Change the OME-XML of a file; the new one is as long."""
    data = path.read_bytes()
    before, after = (text.encode() for text in change)
    assert before in data
    assert len(after) <= len(before)
    at = data.index(before)
    end = data.index(b"</OME>", at) + len(b"</OME>")
    changed = data[at:end].replace(before, after, 1)
    path.write_bytes(data[:at] + changed + b" " * (end - at - len(changed)) + data[end:])
    return path


# Channels


@pytest.mark.parametrize(
    ("names", "channel", "number"),
    [
        (("",), None, 0),
        (("GFP",), None, 0),
        (("Mono", "DAPI", "FITC BP", "TRITC BP"), None, 1),
        (("Alexa 594", "Cy3", "Cy5", "DAPI", "FITC"), None, 3),
        (("membrane", "nuclei"), None, 1),
        (("CD3", "Hoechst 33342"), None, 1),
        (("H3342", "oblique", "nuclei", "cyto"), "h3342", 0),
        (("Mono", "DAPI"), "dapi", 1),
        (("FITC BP", "TRITC BP"), "trit", 1),
        (("a", "b"), 1, 1),
    ],
)
def test_a_channel_is_chosen_by_number_by_name_or_as_the_only_nuclear_one(names, channel, number):
    assert choose_channel(names, channel, "a.tif") == number


@pytest.mark.parametrize(
    ("names", "channel", "said"),
    [
        (("", ""), None, r"has 2 channel\(s\): 0, 1; give one with --channel"),
        (("DIC", "FITC BP"), None, "0 DIC, 1 FITC BP; none is nuclear by its name, give one"),
        (("H3342", "oblique", "nuclei", "cyto"), None, "several may be nuclear, give one"),
        (("DAPI", "GFP"), "Cy5", "there is no channel Cy5"),
        (("FITC BP", "TRITC BP"), "BP", "there is no channel BP"),
        (("DAPI", "GFP"), 2, "there is no channel 2"),
        (("DAPI", "GFP"), -1, "there is no channel -1"),
    ],
)
def test_an_unclear_channel_is_asked_for(names, channel, said):
    with pytest.raises(InputError, match=said):
        choose_channel(names, channel, "a.tif")


def test_the_nuclear_channel_of_a_file_is_taken_and_named(tmp_path: Path):
    path = ome(tmp_path / "a.ome.tif", np.stack([GREY, GREY + 1]), axes="CYX", Channel={"Name": ["GFP", "DAPI"]})
    (plane,) = read_planes(path)
    assert plane.channel == "1 DAPI"
    np.testing.assert_array_equal(plane.frame, GREY + 1)


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("-1", -1), ("DAPI", "DAPI"), (None, None), ("4" * 30, "4" * 30)]
)
def test_options_are_numbers_or_names(text, value):
    assert number_or_name(text) == value


# Scenes and Z


def two_scenes(path: Path) -> Path:
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number in range(2):
            writer.write(GREY + number, photometric="minisblack", metadata={"axes": "YX", "Name": f"pos{number}"})
    return path


def test_scenes_are_images_and_not_time_points_and_one_is_asked_for(tmp_path: Path):
    path = two_scenes(tmp_path / "a.ome.tif")
    with pytest.raises(InputError, match=r"holds 2 scene\(s\): 0 pos0, 1 pos1; choose one with --scene"):
        read_planes(path)
    with pytest.raises(InputError, match="there is no scene 2"):
        read_planes(path, scene=2)
    for scene in (1, "pos1"):
        np.testing.assert_array_equal(read_planes(path, scene=scene)[0].frame, GREY + 1)


@pytest.mark.parametrize(
    ("z", "frames"), [("all", [0, 4, 8]), (1, [8]), ("max", [8]), ("mean", [4])], ids=["all", "one", "max", "mean"]
)
def test_planes_along_z_are_all_one_or_a_projection(tmp_path: Path, z: int | str, frames: list[int]):
    path = ome(tmp_path / "a.ome.tif", np.stack([GREY, GREY + 8, GREY + 4]), axes="ZYX")
    planes = read_planes(path, z=z)
    np.testing.assert_array_equal(sorted(int(plane.frame[0, 0]) for plane in planes), frames)


@pytest.mark.parametrize("z", [3, -1, "sum"])
def test_a_plane_along_z_that_is_not_there_is_refused(tmp_path: Path, z: int | str):
    path = ome(tmp_path / "a.ome.tif", np.stack([GREY] * 3), axes="ZYX")
    with pytest.raises(InputError, match=r"--z"):
        read_planes(path, z=z)


# Sizes and units


@pytest.mark.parametrize("unit", ["um", "µm", "Micron", "micrometers", "micrometre", "microns", " um "])
def test_micrometres_have_many_names(unit: str):
    assert micrometres("0.5", unit) == 0.5


@pytest.mark.parametrize(
    ("value", "unit"),
    [("0.5", "pixel"), ("0.5", None), ("0", "um"), ("-1", "um"), ("nan", "um"), ("inf", "um"), ("x", "um")],
)
def test_what_is_no_length_is_none(value: str, unit: str | None):
    assert micrometres(value, unit) is None


def test_times_have_units_too():
    assert [seconds("2", unit) for unit in ("s", "ms", "min", "Hour")] == [2, 0.002, 120, 7200]


def test_the_area_is_right_where_pixels_are_not_square(tmp_path: Path):
    path = ome(tmp_path / "a.ome.tif", GREY, axes="YX", PhysicalSizeX=0.25, PhysicalSizeY=1.0)
    (plane,) = read_planes(path)
    assert plane.spacing == Spacing(1.0, 0.25)
    assert plane.pixel_size_um == 0.5
    assert "its pixels are not square (1 x 0.25 um" in plane.notes[0]


def test_the_pixel_size_can_be_given(tmp_path: Path):
    path = ome(tmp_path / "a.ome.tif", GREY, axes="YX", PhysicalSizeX=0.25, PhysicalSizeY=1.0)
    (plane,) = planes_of(path, PlaneChoice(pixel_size_um=0.108))
    assert (plane.pixel_size_um, plane.notes) == (0.108, ())


@pytest.mark.parametrize("um", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pixel_size_that_is_none_is_refused(um: float):
    with pytest.raises(InputError, match="give micrometres above 0"):
        PlaneChoice(pixel_size_um=um)


def test_the_axes_of_a_stack_and_their_steps_are_written(tmp_path: Path):
    spacing = Spacing(0.5, 0.25, 2.0, 30.0)
    array = np.arange(2 * 3 * 48, dtype=np.uint8).reshape(3, 2, 6, 8)
    write_mask_ome_tiff(tmp_path / "a.ome.tif", array, spacing, "TZ")
    with open_image(tmp_path / "a.ome.tif") as image:
        (scene,) = image.scenes
        assert (scene.axes, scene.shape, scene.spacing) == ("TZYX", array.shape, spacing)
        np.testing.assert_array_equal(scene.read((2, 1)), array[2, 1])


# Oddities


@pytest.mark.parametrize(
    "change",
    [('PhysicalSizeX="0.325"', 'PhysicalSizeX="0,325"'), ('Name="cells and more"', 'Name="cells & more"')],
    ids=["comma", "ampersand"],
)
def test_harmless_oddities_of_ome_xml_are_read(tmp_path: Path, change: tuple[str, str]):
    stack = np.stack([GREY, GREY + 1])
    path = ome(tmp_path / "a.ome.tif", stack, axes="ZYX", Name="cells and more", PhysicalSizeX=0.325, PhysicalSizeZ=2.0)
    planes = read_planes(rewrite(path, change))
    assert [plane.label for plane in planes] == ["z000", "z001"]
    assert (planes[0].spacing.x_um, planes[0].spacing.z_um) == (0.325, 2.0)
    np.testing.assert_array_equal([plane.frame for plane in planes], stack)


def test_planes_that_ome_xml_promises_and_the_file_has_not_are_said(tmp_path: Path):
    path = ome(tmp_path / "a.ome.tif", np.stack([GREY, GREY + 1]), axes="ZYX")
    planes = read_planes(rewrite(path, ('SizeZ="2"', 'SizeZ="9"')))
    np.testing.assert_array_equal([plane.frame for plane in planes], [GREY, GREY + 1])
    assert "promises 9 planes of 6x8, and it holds 2" in planes[0].notes[0]


def test_entities_are_not_expanded(tmp_path: Path):
    bomb = '<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><OME>&b;</OME>'
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY, description=bomb, metadata=None)
    (plane,) = read_planes(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(plane.frame, GREY)


def test_the_values_of_a_palette_tiff_are_intensities(tmp_path: Path):
    grey, colours = GREY.astype(np.uint8), np.zeros((3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(read_planes(tmp_path / "a.tif")[0].frame, grey)


# Limits


def claims(path: Path, side: int, **options: Any) -> Path:
    """A TIFF whose header claims so many pixels."""
    tifffile.imwrite(path, GREY, metadata=None, **options)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tag = file.pages[0].tags[name]
            data[tag.valueoffset : tag.valueoffset + 4] = side.to_bytes(4, "little")[
                : 2 * (1 + (tag.dtype == 4))
            ].ljust(4, b"\0")
            data[tag.offset + 2 : tag.offset + 4] = (4).to_bytes(2, "little")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=["plain", "zlib"])
def test_a_size_that_is_claimed_and_not_stored_is_refused(tmp_path: Path, options: dict[str, Any]):
    with pytest.raises(InputError, match=r"damaged or cut short|of memory"):
        read_planes(claims(tmp_path / "a.tif", 1 << 20, **options))


def test_an_image_over_the_limit_of_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((1000, 1000), np.uint16), compression="zlib")
    monkeypatch.setenv(memory.VARIABLE, "1M")
    with pytest.raises(InputError, match=r"needs 1\.9 MiB of memory, and one image may take 1\.0 MiB"):
        read_planes(path)
    monkeypatch.setenv(memory.VARIABLE, "2M")
    assert read_planes(path)[0].frame.shape == (1000, 1000)


def test_a_png_that_claims_more_than_its_bytes_can_hold_is_refused(tmp_path: Path):
    pil = pytest.importorskip("PIL.Image")
    pil.fromarray(GREY.astype(np.uint8)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match="claims 60000 x 60000 pixels"):
        read_planes(tmp_path / "a.png")


@pytest.mark.parametrize(("text", "size"), [("4G", 4 << 30), ("512M", 512 << 20), ("1.5 GiB", 3 << 29), ("1000", 1000)])
def test_sizes_of_memory_are_read(text: str, size: int):
    assert memory.parse(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "4X", "1e9"])
def test_what_is_no_size_of_memory_is_refused(text: str):
    with pytest.raises(InputError, match="The limit of memory"):
        memory.parse(text)


def test_half_of_the_free_memory_is_the_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(memory.VARIABLE, raising=False)
    monkeypatch.setattr(memory, "available", lambda: 1000)
    assert memory.limit() == 500


# Threads and bytes


def test_files_are_read_in_threads_whatever_happens_to_others(tmp_path: Path):
    """What tifffile logs belongs to the whole process, so that it decides nothing here."""
    good = ome(tmp_path / "good.ome.tif", np.stack([GREY] * 3), axes="ZYX")
    bad = tmp_path / "bad.tif"
    bad.write_bytes(good.read_bytes()[:-200])
    logger = logging.getLogger("tifffile")
    before = list(logger.handlers), logger.propagate

    def read(path: Path) -> int:
        try:
            return len(read_planes(path))
        except InputError:
            return 0

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(read, [good, bad] * 30))
    assert counts == [3, 0] * 30
    assert (list(logger.handlers), logger.propagate) == before


def test_the_bytes_of_a_file_are_read_like_the_file(tmp_path: Path):
    path = ome(tmp_path / "a.ome.tif", np.stack([GREY, GREY + 1]), axes="CYX")
    with open_bytes(path.read_bytes(), "a.ome.tif") as image:
        np.testing.assert_array_equal(image.scenes[0].read((1,)), GREY + 1)


# Names


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.tif", "a"),
        ("a.ome.tif", "a"),
        ("A.OME.TIF", "A"),
        ("a.Ome.Zarr", "a"),
        (".ome.tif", ".ome"),
        ("a.b.czi", "a.b"),
    ],
)
def test_the_stem_of_a_name_is_without_ome(name: str, stem: str):
    assert stem_of(name) == stem


@pytest.mark.parametrize("name", ["._a.tif", ".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini"])
def test_litter_is_known(name: str):
    assert is_litter(name)
    assert not is_litter("a.tif")


def test_folders_hold_images_of_all_kinds_and_no_litter(tmp_path: Path):
    for name in ("a.tif", "b.CZI", "c.nd2", "._a.tif", "Thumbs.db", "notes.txt", "a-mask.ome.tif"):
        (tmp_path / name).touch()
    (tmp_path / "d.ome.zarr").mkdir()
    found = find_images([str(tmp_path)])
    assert [path.name for path in found] == ["a.tif", "b.CZI", "c.nd2", "d.ome.zarr"]
