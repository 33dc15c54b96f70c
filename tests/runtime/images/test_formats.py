"""The formats of microscopes: every real file is reported as SOURCE.md says, and made-up ones where none is at hand."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from runtime import EdgescopeError, InputError
from runtime.images.files import open_bytes, open_image
from runtime.images.planes import PlaneChoice, planes_of, read_planes
from runtime.system import extras
from tools.formats import EXPECTED, MODULES, compare, report

SHARED = Path(os.environ.get("EDGESCOPE_SHARED", Path(__file__).parents[4] / "shared"))
FILES = SHARED / "data" / "reader_files"
ZARR = FILES / "galaxy" / "xyz_8bit__mitotic_plate_calibrated.ome.zarr"

STARTS = [
    (b"ZISRAWFILE" + bytes(100), "czifile"),
    (b"\xda\xce\xbe\n" + bytes(100), "nd2"),
    (b"\x70\0\0\0" + bytes(99), "liffile"),
]
real = pytest.mark.skipif(not FILES.is_dir(), reason=f"needs the real files in {FILES}; set EDGESCOPE_SHARED")


def needs(name: str) -> None:
    module, _ = MODULES.get(Path(name).suffix, ("tifffile", "io"))
    pytest.importorskip(module, reason=f"{name} needs {module}")


@real
@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_real_file_is_reported_as_it_is(name: str):
    needs(name)
    assert compare(EXPECTED[name], report(FILES / name)) == ""


@real
def test_an_ome_zarr_has_the_pixels_of_its_tiff():
    pytest.importorskip("zarr")
    pytest.importorskip("tifffile")
    ours, tiff = read_planes(ZARR), read_planes(FILES / "galaxy" / "xyz_8bit__mitotic_plate_calibrated.tiff")
    np.testing.assert_array_equal([plane.frame for plane in ours], [plane.frame for plane in tiff])


@real
@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("arcadia_nd2/example-multichannel.nd2", "1 DAPI"),
        ("phenoptr/FIHC4__0929309_HP_IM3_2_component_data.tif", "3 DAPI"),
    ],
)
def test_the_nuclear_channel_of_a_real_file_is_taken(name: str, channel: str):
    needs(name)
    assert read_planes(FILES / name)[0].channel == channel


@real
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("arcadia_nd2/example-cerevisiae.nd2", "0 DIC, 1 FITC BP; none is nuclear by its name"),
        (
            "ndev_pypi/scratch-assay-labeled-10T-2Ch.tiff",
            "0 H3342, 1 oblique, 2 nuclei, 3 cyto; several may be nuclear",
        ),
        ("neubias/xyz__multiple_images.czi", r"holds 2 scene\(s\): 0 S0, 1 S1"),
        ("neubias/xyc_16bit__hela-cells.tif", r"has 3 channel\(s\): 0, 1, 2"),
    ],
)
def test_what_is_unclear_in_a_real_file_is_asked_for(name: str, said: str):
    needs(name)
    with pytest.raises(InputError, match=said):
        read_planes(FILES / name)


@real
@pytest.mark.parametrize("name", ["arcadia_nd2/example-zstack.nd2", "neubias/xyz__multiple_images.czi"])
def test_a_real_file_is_read_from_its_bytes_too(name: str):
    needs(name)
    with open_image(FILES / name) as file, open_bytes((FILES / name).read_bytes(), name) as held:
        np.testing.assert_array_equal(held.scenes[0].read((1,)), file.scenes[0].read((1,)))


@real
@pytest.mark.parametrize("name", [name for name in EXPECTED if not name.endswith(".zarr")])
def test_a_real_file_that_is_cut_short_is_refused_or_read_whole(tmp_path: Path, name: str):
    needs(name)
    data, path = (FILES / name).read_bytes(), tmp_path / Path(name).name
    for keep in (0.02, 0.3, 0.6, 0.9, 0.99):
        path.write_bytes(data[: int(keep * len(data))])
        with open_image(FILES / name) as image:
            lasts = [{a: n - 1 if a not in "CS" else 0 for a, n in scene.loops.items()} for scene in image.scenes]
            wholes = [scene.read(tuple(at.values())) for scene, at in zip(image.scenes, lasts, strict=True)]
        for number, whole in enumerate(wholes):
            try:
                with closing(planes_of(path, PlaneChoice(0, number))) as planes:
                    *_, last = planes
            except InputError as error:
                assert path.name in str(error)
            else:
                np.testing.assert_array_equal(last.frame, whole.astype(last.frame.dtype))


@pytest.mark.parametrize(
    ("start", "module"),
    [
        (b"ZISRAWFILE" + bytes(100), "czifile"),
        (b"\xda\xce\xbe\n" + bytes(100), "nd2"),
        (b"\x70\0\0\0" + bytes(99), "liffile"),
    ],
)
def test_without_its_library_the_line_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes, module: str
):
    path = tmp_path / "a.img"
    path.write_bytes(start)
    monkeypatch.setattr(extras, "available", lambda _module: False)
    with pytest.raises(EdgescopeError, match=rf'{module} is not installed; run: pip install "edgescope.*\[readers\]"'):
        open_image(path)


@pytest.mark.parametrize(
    ("start", "module"),
    [
        (b"ZISRAWFILE" + bytes(100), "czifile"),
        (b"\xda\xce\xbe\n" + bytes(100), "nd2"),
        (b"\x70\0\0\0" + bytes(99), "liffile"),
    ],
)
def test_nonsense_behind_the_first_bytes_is_refused(tmp_path: Path, start: bytes, module: str):
    pytest.importorskip(module)
    path = tmp_path / "a.img"
    path.write_bytes(start)
    with pytest.raises(InputError, match=r"a\.img is damaged or cut short"):
        open_image(path)


def lif(path: Path, images: list[tuple[str, np.ndarray]]) -> Path:
    """A LIF of 16-bit images (2, Z, H, W), 0.25 x 0.5 um and 2 um deep, with the dyes DAPI and GFP."""
    elements, memory = [], b""
    for number, (name, array) in enumerate(images):
        channels, depth, height, width = array.shape
        plane = 2 * height * width
        dimensions = "".join(
            f'<DimensionDescription DimID="{axis}" NumberOfElements="{size}" Origin="0" Length="{(size - 1) * step}" '
            f'Unit="m" BitInc="0" BytesInc="{bytes_}"/>'
            for axis, size, step, bytes_ in (
                (1, width, 0.25e-6, 2),
                (2, height, 0.5e-6, 2 * width),
                (3, depth, 2e-6, plane * channels),
            )
        )
        dyes = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" '
            f'Max="65535" Unit="" LUTName="Gray" IsLUTInverted="0" BytesInc="{k * plane}" BitInc="0">'
            f"<ChannelProperty><Key>DyeName</Key><Value>{dye}</Value></ChannelProperty></ChannelDescription>"
            for k, dye in enumerate(("GFP", "DAPI"))
        )
        elements.append(
            f'<Element Name="{name}" Visibility="1" UniqueID="u{number}"><Data><Image><ImageDescription>'
            f"<Channels>{dyes}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{array.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        block = f"MemBlock_{number}".encode("utf-16-le")
        pixels = np.ascontiguousarray(array.swapaxes(0, 1)).tobytes()
        memory += b"\x70\0\0\0" + (5 + 8 + 1 + 4 + len(block)).to_bytes(4, "little") + b"\x2a"
        memory += len(pixels).to_bytes(8, "little") + b"\x2a" + (len(block) // 2).to_bytes(4, "little") + block + pixels
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="project" Visibility="1"><Children>'
        + "".join(elements)
        + "</Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    head = b"\x70\0\0\0" + (len(xml) + 5).to_bytes(4, "little") + b"\x2a" + (len(xml) // 2).to_bytes(4, "little")
    path.write_bytes(head + xml + memory)
    return path


def test_the_images_of_a_lif_are_scenes(tmp_path: Path):
    pytest.importorskip("liffile")
    first = np.arange(2 * 3 * 48, dtype=np.uint16).reshape(2, 3, 6, 8)
    path = lif(tmp_path / "a.lif", [("one", first), ("two", first + 1)])
    with pytest.raises(InputError, match=r"holds 2 scene\(s\): 0 one, 1 two"):
        read_planes(path)
    planes = read_planes(path, scene="two")
    assert planes[0].channel == "1 DAPI"
    assert [plane.label for plane in planes] == ["z000", "z001", "z002"]
    np.testing.assert_array_equal([plane.frame for plane in planes], first[1] + 1)
    assert planes[0].spacing.y_um == pytest.approx(0.5)
    assert planes[0].spacing.x_um == pytest.approx(0.25)
    assert planes[0].spacing.z_um == pytest.approx(2.0)
