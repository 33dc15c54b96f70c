"""Image files: read as they were stored, with their pixel size; what is damaged or unclear is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import EdgescopeError, InputError
from runtime.images.formats import png as png_format
from runtime.images.formats import tiff as tiff_format
from runtime.images.planes import planes_of, read_planes, write_mask_ome_tiff
from runtime.system import extras, memory

tifffile = pytest.importorskip("tifffile")
pil = pytest.importorskip("PIL.Image")

GREY8 = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
GREY16 = GREY8.astype(np.uint16) * 250
STACK = np.stack([GREY16, GREY16 + 1, GREY16 + 2])
COLOUR = np.stack([GREY8, GREY8 // 2, GREY8 // 3], axis=-1)


def png(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    image = pil.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def tiff(path: Path, array: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, array, **{"photometric": "minisblack", "metadata": None, **options})
    return path


def only(path: Path, channel: int | None = None) -> np.ndarray:
    (plane,) = read_planes(path, channel)
    assert plane.label == ""
    return plane.frame


# PNG


@pytest.mark.parametrize("array", [GREY8, GREY16], ids=["8 bit", "16 bit"])
def test_a_grey_png_keeps_its_bits(tmp_path: Path, array: np.ndarray):
    frame = only(png(tmp_path / "a.png", array))
    assert frame.dtype == array.dtype
    np.testing.assert_array_equal(frame, array)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_stored_otherwise_is_grey(tmp_path: Path, mode: str):
    np.testing.assert_array_equal(only(png(tmp_path / "a.png", GREY8, mode)), GREY8)


def test_a_black_and_white_png_is_read_as_0_and_255(tmp_path: Path):
    assert set(np.unique(only(png(tmp_path / "a.png", GREY8 > 99)))) == {0, 255}


def test_a_colour_png_is_refused_with_its_channels(tmp_path: Path):
    path = png(tmp_path / "a.png", COLOUR)
    with pytest.raises(
        InputError, match=r"a\.png has 3 channel\(s\): 0 red, 1 green, 2 blue; .*give one with --channel"
    ):
        read_planes(path)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_channel_of_a_colour_png_can_be_chosen(tmp_path: Path, channel: int):
    np.testing.assert_array_equal(only(png(tmp_path / "a.png", COLOUR), channel), COLOUR[..., channel])


@pytest.mark.parametrize("channel", [-1, 3])
def test_a_channel_that_is_not_there_is_refused(tmp_path: Path, channel: int):
    with pytest.raises(InputError, match=f"no channel {channel}"):
        read_planes(png(tmp_path / "a.png", COLOUR), channel)


def test_a_channel_of_a_grey_image_is_the_first(tmp_path: Path):
    path = png(tmp_path / "a.png", GREY8)
    np.testing.assert_array_equal(only(path, 0), GREY8)
    with pytest.raises(InputError, match="no channel 1"):
        read_planes(path, 1)


def test_a_16_bit_colour_png_is_refused_because_bits_would_be_lost(tmp_path: Path):
    path = png(tmp_path / "a.png", COLOUR)
    data = bytearray(path.read_bytes())
    data[24] = 16
    path.write_bytes(data)
    with pytest.raises(InputError, match="would lose bits; save it as TIFF"):
        read_planes(path)


@pytest.mark.parametrize("keep", [9, 26, 60, 0.5, 0.9])
def test_a_truncated_png_is_refused(tmp_path: Path, keep: float):
    path = png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(InputError, match=r"a\.png is damaged or cut short"):
        read_planes(path)


# TIFF


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "options", [{}, {"byteorder": ">"}, {"compression": "zlib"}, {"bigtiff": True}, {"tile": (16, 16)}]
)
def test_a_tiff_is_read_as_stored(tmp_path: Path, dtype: type, options: dict[str, Any]):
    frame = only(tiff(tmp_path / "a.tif", GREY8.astype(dtype), **options))
    assert frame.dtype.newbyteorder("=") == dtype
    np.testing.assert_array_equal(frame, GREY8)


def test_pages_are_planes(tmp_path: Path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in STACK:
            writer.write(page, photometric="minisblack", metadata=None)
    planes = read_planes(path)
    assert [plane.label for plane in planes] == ["p000", "p001", "p002"]
    np.testing.assert_array_equal([plane.frame for plane in planes], STACK)


@pytest.mark.parametrize(
    ("dtype", "frames"),
    [
        (np.bool_, np.uint8),
        (np.int8, np.float32),
        (np.int16, np.float32),
        (np.uint32, np.float32),
        (np.int64, np.float32),
        (np.float16, np.float32),
        (np.float64, np.float32),
    ],
)
def test_a_frame_of_another_type_keeps_its_values_in_float32(tmp_path: Path, dtype: type, frames: type):
    values = (GREY8 // 2).astype(dtype)
    frame = only(tiff(tmp_path / "a.tif", values))
    assert frame.dtype == frames
    np.testing.assert_array_equal(frame, values)


def test_values_too_large_for_float32_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"up to 1e\+300, too large for float32"):
        read_planes(tiff(tmp_path / "a.tif", np.full((4, 4), 1e300)))


def test_complex_values_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds complex64, no grey values"):
        read_planes(tiff(tmp_path / "a.tif", np.ones((4, 4), np.complex64)))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_planes_of_a_stack_are_read_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str | None
):
    path = tiff(tmp_path / "a.tif", np.tile(GREY16, (50, 10, 10)), compression=compression)
    monkeypatch.setenv(memory.VARIABLE, str(2 * 60 * 80 * 2))  # far less than the stack
    count = 0
    for plane in planes_of(path):
        np.testing.assert_array_equal(plane.frame, np.tile(GREY16, (10, 10)))
        count += 1
    assert count == 50


def test_time_and_focus_of_an_ome_tiff_are_planes_of_the_chosen_channel(tmp_path: Path):
    array = np.arange(2 * 3 * 2 * 48, dtype=np.uint16).reshape(2, 3, 2, 6, 8)
    metadata = {"axes": "TZCYX", "Channel": {"Name": ["DAPI", "CD3"]}}
    path = tiff(tmp_path / "a.ome.tif", array, ome=True, metadata=metadata)
    planes = read_planes(path, 1)
    assert [plane.label for plane in planes[:4]] == ["t000-z000", "t000-z001", "t000-z002", "t001-z000"]
    np.testing.assert_array_equal([plane.frame for plane in planes], array[:, :, 1].reshape(6, 6, 8))


def test_channels_of_an_imagej_hyperstack_must_be_chosen(tmp_path: Path):
    path = tiff(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(InputError, match=r"3 channel\(s\): 0, 1, 2"):
        read_planes(path)
    np.testing.assert_array_equal(only(path, 2), STACK[2])


def test_one_channel_needs_no_choice(tmp_path: Path):
    np.testing.assert_array_equal(
        only(tiff(tmp_path / "a.ome.tif", GREY16[None], ome=True, metadata={"axes": "CYX"})), GREY16
    )


@pytest.mark.parametrize("planar", [False, True])
def test_a_colour_tiff_is_refused_or_its_channel_chosen(tmp_path: Path, planar: bool):
    array = np.moveaxis(COLOUR, -1, 0) if planar else COLOUR
    config = "separate" if planar else "contig"
    path = tiff(tmp_path / "a.tif", array, photometric="rgb", planarconfig=config)
    with pytest.raises(InputError, match="0 red, 1 green, 2 blue"):
        read_planes(path)
    np.testing.assert_array_equal(only(path, 1), COLOUR[..., 1])


def test_grey_stored_as_a_colour_tiff_is_grey(tmp_path: Path):
    np.testing.assert_array_equal(only(tiff(tmp_path / "a.tif", np.stack([GREY8] * 3, -1), photometric="rgb")), GREY8)


def test_further_images_of_another_size_are_said_to_be_left_out(tmp_path: Path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in (GREY16, GREY16[:4, :4]):
            writer.write(page, photometric="minisblack", metadata=None)
    (plane,) = read_planes(path)
    np.testing.assert_array_equal(plane.frame, GREY16)
    assert plane.notes == ("only the first of 2 images is read; choose another with --scene",)
    (plane,) = read_planes(path, scene=1)
    np.testing.assert_array_equal(plane.frame, GREY16[:4, :4])
    assert plane.notes == ()


# Pixel sizes


@pytest.mark.parametrize(
    ("metadata", "um"),
    [
        ({"PhysicalSizeX": 0.325}, 0.325),
        ({"PhysicalSizeX": 325.0, "PhysicalSizeXUnit": "nm"}, 0.325),
        ({"PhysicalSizeX": 0.000325, "PhysicalSizeXUnit": "mm"}, 0.325),
        ({"PhysicalSizeX": 3250.0, "PhysicalSizeXUnit": "Å"}, 0.325),
        ({"PhysicalSizeX": 0.325, "PhysicalSizeXUnit": "µm"}, 0.325),
        ({"PhysicalSizeX": 1.0, "PhysicalSizeXUnit": "pixel"}, None),
        ({}, None),
    ],
)
def test_the_pixel_size_of_an_ome_tiff(tmp_path: Path, metadata: dict[str, Any], um: float | None):
    (plane,) = read_planes(tiff(tmp_path / "a.ome.tif", GREY16, ome=True, metadata={"axes": "YX", **metadata}))
    assert plane.pixel_size_um == (None if um is None else pytest.approx(um))


@pytest.mark.parametrize(
    ("options", "um"),
    [
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}, 0.25),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "micron"}}, 0.25),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "nm"}}, 0.00025),
        ({"imagej": True, "resolution": (1, 1), "metadata": {}}, None),
        ({"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}, 0.25),
        ({"resolution": (25400, 25400), "resolutionunit": "INCH"}, 1.0),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),  # for printing, not of a microscope
        ({"resolution": (2, 2), "resolutionunit": "NONE"}, None),
        ({}, None),
    ],
)
def test_the_pixel_size_of_a_tiff(tmp_path: Path, options: dict[str, Any], um: float | None):
    (plane,) = read_planes(tiff(tmp_path / "a.tif", GREY16, **options))
    assert plane.pixel_size_um == (None if um is None else pytest.approx(um))


# Damage


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"is empty \(0 bytes\)"):
        read_planes(tmp_path / name)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"metadata": {}},
    ],
    ids=["plain", "zlib", "imagej", "ome", "shaped"],
)
def test_a_truncated_tiff_is_refused_and_never_read_in_part(tmp_path: Path, options: dict[str, Any]):
    array = np.random.default_rng(0).integers(0, 60000, (5, 64, 64)).astype(np.uint16)
    path = tiff(tmp_path / "a.tif", array, **options)
    data = path.read_bytes()
    for keep in np.linspace(0, 1, 41)[1:-1]:
        path.write_bytes(data[: int(keep * len(data))])
        try:
            planes = read_planes(path)
        except InputError as error:
            assert "damaged or cut short" in str(error)
        else:
            np.testing.assert_array_equal([plane.frame for plane in planes], array)


@pytest.mark.parametrize(
    "content", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*" + bytes(100), b"\x89PNG\r\n\x1a\n" + bytes(50)]
)
def test_a_header_with_nonsense_behind_it_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(InputError, match="damaged or cut short"):
        read_planes(tmp_path / "a.tif")


def test_another_kind_of_file_is_refused_whatever_its_name(tmp_path: Path):
    (tmp_path / "a.tif").write_bytes(b"\xff\xd8\xff\xe0 JFIF")
    with pytest.raises(InputError, match="is no PNG, TIFF, CZI, ND2 or LIF"):
        read_planes(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("name", "said"),
    [("gone.tif", "cannot be read"), (".", "is a folder, but no OME-Zarr"), ("x" * 300, "cannot be read")],
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, said: str):
    with pytest.raises(InputError, match=said):
        read_planes(tmp_path / name)


def test_a_device_is_refused_and_not_read():
    if not Path("/dev/zero").exists():
        pytest.skip("needs /dev/zero")
    with pytest.raises(InputError, match="is a device"):
        read_planes(Path("/dev/zero"))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(InputError, match="is a pipe"):
        read_planes(tmp_path / "a.tif")


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), AssertionError(), MemoryError(), TypeError("odd")])
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_whatever_a_parser_throws_is_one_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
):
    def fail(*_: Any) -> None:
        raise error

    path = tiff(tmp_path / name, GREY8) if name == "a.tif" else png(tmp_path / name, GREY8)
    monkeypatch.setattr(*((tiff_format, "_spacing") if name == "a.tif" else (png_format, "_pixels")), fail)
    with pytest.raises(InputError, match=name):
        read_planes(path)


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tiff(tmp_path / "a.tif", GREY16)
    monkeypatch.setattr(extras, "available", lambda _module: False)
    with pytest.raises(EdgescopeError, match=r'tifffile is not installed; run: pip install "edgescope\[io\]"'):
        read_planes(path)


# Writing


@pytest.mark.parametrize(
    ("array", "axis", "axes"), [(GREY8, "T", "YX"), (STACK, "T", "TYX"), (STACK.astype(np.float32), "Z", "ZYX")]
)
def test_masks_are_written_as_ome_tiff_with_their_pixel_size(tmp_path: Path, array: np.ndarray, axis: str, axes: str):
    path = tmp_path / "new" / "a-mask.ome.tif"
    write_mask_ome_tiff(path, array, 0.325, axis)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert file.series[0].axes == axes
        assert file.series[0].dtype == array.dtype
    planes = read_planes(path)
    assert planes[0].pixel_size_um == pytest.approx(0.325)
    np.testing.assert_array_equal([plane.frame for plane in planes], array.reshape(-1, 6, 8))
    assert [entry.name for entry in path.parent.iterdir()] == ["a-mask.ome.tif"]


def test_an_unknown_pixel_size_stays_unknown(tmp_path: Path):
    write_mask_ome_tiff(tmp_path / "a.ome.tif", GREY8, None)
    assert read_planes(tmp_path / "a.ome.tif")[0].pixel_size_um is None


def test_a_failed_write_keeps_what_was_there(tmp_path: Path):
    path = tmp_path / "a.ome.tif"
    write_mask_ome_tiff(path, GREY8, None)
    before = path.read_bytes()
    with pytest.raises(Exception, match=r".+"):
        write_mask_ome_tiff(path, np.array([[object()]]), None)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ome.tif"]
