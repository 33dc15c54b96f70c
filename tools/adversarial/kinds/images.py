"""Image files of every codec and format, their OME-XML, and OME-Zarr: spoilt, then read whole."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from runtime.errors import EdgescopeError
from runtime.images.files import find_images
from runtime.images.planes import Plane, PlaneChoice, planes_of
from tools.adversarial.bench import DIFFERENT, EQUAL, Attempt, Kind, Setup
from tools.adversarial.damage import spoil, spoil_json, spoil_text

FIRST = PlaneChoice(channel=0, scene=0)
LARGEST = 1 << 20  # bytes of a real file that is spoilt
CODECS = ("zlib", "lzw", "packbits", "zstd", "lzma", "jpeg", "jpeg2000", "jpegxl", "webp", "lerc", "png", "jpegxr")
NATIVE = (".czi", ".nd2", ".lif")


def _grey(shape: tuple[int, ...], dtype: str) -> Any:
    values = np.random.default_rng(3).integers(0, 250, shape)
    return (values if dtype != "float32" else values / 7).astype(dtype)


def _tiffs() -> dict[str, bytes]:
    """A TIFF of each layout, and of each codec that is installed."""
    import tifffile

    def made(array: Any, **options: Any) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **options)
        return buffer.getvalue()

    plane = _grey((40, 52), "uint16")
    found = {
        "plain": made(plane),
        "big": made(plane, bigtiff=True, byteorder=">"),
        "tiled": made(_grey((40, 52), "uint8"), tile=(16, 16), compression="zlib", predictor=True),
        "strips": made(_grey((40, 52), "float32"), rowsperstrip=7, compression="zlib", predictor=3),
        "colour": made(_grey((40, 52, 3), "uint8"), photometric="rgb", compression="lzw"),
        "planar": made(_grey((3, 40, 52), "uint8"), photometric="rgb", planarconfig="separate"),
        "bits": made(_grey((40, 52), "uint8") > 100, photometric="minisblack"),
        "pages": made(_grey((5, 20, 30), "uint16"), photometric="minisblack"),
        "imagej": made(
            _grey((2, 3, 20, 30), "uint16"), imagej=True, metadata={"axes": "ZCYX", "spacing": 0.5, "unit": "um"}
        ),
        "ome": made(_grey((2, 3, 20, 30), "uint16"), ome=True, metadata={"axes": "TCYX", "PhysicalSizeX": 0.3}),
        "palette": made(_grey((20, 30), "uint8"), colormap=_grey((3, 256), "uint16")),
    }
    for codec in CODECS:
        try:
            found[codec] = made(_grey((40, 52), "uint8"), compression=codec, tile=(16, 16), photometric="minisblack")
        except Exception:  # not installed, or not for this
            continue
    return found


def _pngs() -> dict[str, bytes]:
    from PIL import Image

    def made(image: Any, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, "PNG", **options)
        return buffer.getvalue()

    grey = Image.fromarray(_grey((40, 52), "uint8"))
    return {
        "grey": made(grey),
        "16 bits": made(Image.fromarray(_grey((40, 52), "uint16"))),
        "colour": made(Image.fromarray(_grey((40, 52, 3), "uint8"))),
        "palette": made(grey.convert("P")),
        "bits": made(grey.convert("1")),
        "alpha": made(grey.convert("LA")),
        "animated": made(grey, save_all=True, append_images=[grey.rotate(90)]),
    }


def _read(path: Path) -> list[Plane]:
    return list(planes_of(path, FIRST))


def _same(one: list[Plane], other: list[Plane]) -> bool:
    def about(plane: Plane) -> tuple[Any, ...]:
        return plane.label, plane.spacing, plane.channel

    return len(one) == len(other) and all(
        about(a) == about(b) and np.array_equal(a.frame, b.frame, equal_nan=True)
        for a, b in zip(one, other, strict=True)
    )


def _prepare_files(make: Callable[[], dict[str, bytes]], suffix: str, setup: Setup) -> Attempt:
    return _spoiling({f"{name}{suffix}": data for name, data in make().items()}, setup)


def _prepare_native(setup: Setup) -> Attempt:
    """Real files of the formats that no library writes."""
    folder = setup.shared and setup.shared / "data" / "reader_files"
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in NATIVE] if folder and folder.is_dir() else []
    sources = {path.name: path.read_bytes() for path in paths if path.stat().st_size <= 2 * LARGEST}
    return _spoiling(sources, setup) if sources else _nothing


def _nothing(dice: Generator, folder: Path, number: int) -> str:
    msg = "no real files here; set EDGESCOPE_SHARED to the folder that holds data/reader_files"
    raise EdgescopeError(msg)


def _spoiling(sources: dict[str, bytes], setup: Setup) -> Attempt:
    whole: dict[str, list[Plane]] = {}
    for name, data in sources.items():
        path = setup.own / name
        path.write_bytes(data)
        whole[name] = _read(path)
    names = sorted(sources)

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        name = names[int(dice.integers(0, len(names)))]
        path = folder / name
        path.write_bytes(spoil(sources[name], dice))
        return EQUAL if _same(_read(path), whole[name]) else DIFFERENT

    return attempt


def _prepare_xml(setup: Setup) -> Attempt:
    """The description of an OME-TIFF, as text."""
    import tifffile

    array = _grey((2, 3, 2, 20, 30), "uint16")
    buffer = io.BytesIO()
    channels = {"Name": ["DAPI", "GFP"]}
    metadata = {"axes": "TZCYX", "PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "µm", "PhysicalSizeZ": 1.5}
    tifffile.imwrite(buffer, array, ome=True, metadata={**metadata, "Channel": channels})
    xml = tifffile.TiffFile(io.BytesIO(buffer.getvalue())).pages[0].description
    pages = array.reshape(-1, 20, 30)

    def write(path: Path, text: str) -> list[Plane]:
        tifffile.imwrite(path, pages, description=text.encode(), metadata=None, photometric="minisblack")
        return _read(path)

    whole = write(setup.own / "whole.ome.tif", xml)

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        return EQUAL if _same(write(folder / "a.ome.tif", spoil_text(xml, dice)), whole) else DIFFERENT

    return attempt


def _prepare_zarr(setup: Setup) -> Attempt:
    """OME-Zarr of both versions: metadata and chunks."""
    import zarr

    stores: dict[str, dict[str, bytes]] = {}
    for version, form in (("0.4", 2), ("0.5", 3)):
        root = setup.own / f"{version}.zarr"
        if not root.exists():
            group = zarr.open_group(str(root), mode="w", zarr_format=form)
            group.create_array("0", data=_grey((2, 2, 40, 52), "uint16"), chunks=(1, 1, 32, 32))
            axes = [{"name": n, "type": t} for n, t in zip("tcyx", ("time", "channel", "space", "space"), strict=True)]
            scale = [{"type": "scale", "scale": [1, 1, 0.3, 0.3]}]
            shown = [
                {"version": version, "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
            ]
            group.attrs.update(
                {"multiscales": shown} if form == 2 else {"ome": {"version": version, "multiscales": shown}}
            )
        stores[version] = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    whole = {version: _read(setup.own / f"{version}.zarr") for version in stores}

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        version = str(dice.choice(sorted(stores)))
        files = dict(stores[version])
        texts = [name for name in files if not name[-1].isdigit()]
        name = str(dice.choice(texts if dice.random() < 0.7 else sorted(files)))
        if dice.random() < 0.1:
            del files[name]
        else:
            files[name] = spoil_json(files[name].decode(), dice).encode() if name in texts else spoil(files[name], dice)
        for relative, data in files.items():
            path = folder / "a.zarr" / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (path,) = find_images([str(folder / "a.zarr")])
        return EQUAL if _same(_read(path), whole[version]) else DIFFERENT

    return attempt


KINDS = (
    Kind("tiff", "TIFF of each layout and codec", partial(_prepare_files, _tiffs, ".tif"), may_differ=True),
    Kind("png", "PNG", partial(_prepare_files, _pngs, ".png"), share=0.5, may_differ=True),
    Kind("native", "CZI, ND2 and LIF", _prepare_native, share=0.5, may_differ=True),
    Kind("ome-xml", "the OME-XML of a TIFF", _prepare_xml, share=0.5, may_differ=True),
    Kind("zarr", "OME-Zarr", _prepare_zarr, share=0.5, may_differ=True),
)
