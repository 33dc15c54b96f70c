"""One label file -> instances (H, W): label pictures, QuPath's GeoJSON, and the ROIs of ImageJ.

Outlines are in pixels, with (0, 0) at the corner of the first pixel: a pixel belongs to the outline that holds its
middle. Where two overlap, the first one keeps the pixels.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from distill.datasets.annotations.instances import Instances, interpret
from distill.datasets.members import LARGEST_MEMBER
from distill.datasets.pictures import PNG, TIFF, decode
from runtime.errors import EdgescopeError, InputError
from runtime.system import extras

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from distill.datasets.annotations.layout import LabelFile

    Ring = NDArray[np.float64]  # (n, 2) x, y in pixels
    Region = list[tuple[Ring, list[Ring]]]  # parts of one object: outer ring, holes

MOST_ROIS = 100_000


def read_labels(file: LabelFile, shape: tuple[int, int], image: str) -> Instances:
    """The instances of a label file. shape : (H, W) of its image; image : the image's name, for errors

    InputError names the file for what cannot be read, is of another size, or whose values are no objects.
    """
    name, suffix = file.name, PurePosixPath(file.name).suffix.lower()
    if suffix in PNG + TIFF:
        result = interpret(decode(file.read(), name), name)
        if result.labels.shape != shape:
            msg = (
                f"Labels {name!r} have {result.labels.shape} pixels, their image {image!r} has {shape}; give labels of "
                "the image's size."
            )
            raise InputError(msg)
        return result
    regions = _geojson(file.read(), name) if "json" in suffix else list(_rois(file.read(), name))
    return Instances(draw(regions, shape, name))


def draw(regions: Sequence[Region], shape: tuple[int, int], name: str) -> NDArray[np.int32]:
    """Outlines as instances, int32 (H, W), numbered in their order; InputError where one is outside of the image."""
    from skimage.draw import polygon

    labels = np.zeros(shape, np.int32)
    number = 0
    for region in regions:
        mask = np.zeros(shape, bool)
        for outer, holes in region:
            mask[polygon(outer[:, 1] - 0.5, outer[:, 0] - 0.5, shape)] = True
            for hole in holes:
                mask[polygon(hole[:, 1] - 0.5, hole[:, 0] - 0.5, shape)] = False
        if not mask.any() and _outside(region, shape):
            first = region[0][0].mean(0)
            msg = (
                f"An outline of {name!r} is at x {first[0]:.0f}, y {first[1]:.0f}, outside of its image of "
                f"{shape[1]} x {shape[0]} pixels; export outlines in pixels of this image."
            )
            raise InputError(msg)
        mask &= labels == 0
        if mask.any():
            number += 1
            labels[mask] = number
    return labels


def _outside(region: Region, shape: tuple[int, int]) -> bool:
    points = np.concatenate([outer for outer, _ in region])
    return bool((points.min(0) > (shape[1], shape[0])).any() or (points.max(0) < 0).any())


def _geojson(data: bytes, name: str) -> list[Region]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"Labels {name!r} are no GeoJSON ({error}); export them again: QuPath, File > Export objects as GeoJSON."
        raise InputError(msg) from error
    features = content.get("features", [content]) if isinstance(content, dict) else content
    regions: list[Region] = []
    others: dict[str, int] = {}
    for feature in features if isinstance(features, list) else []:
        geometry = feature.get("geometry") if isinstance(feature, dict) else None
        geometry = geometry if isinstance(geometry, dict) else {}
        kind = str(geometry.get("type", "nothing"))
        parts = {"Polygon": [geometry.get("coordinates")], "MultiPolygon": geometry.get("coordinates")}.get(kind)
        if parts is None:
            others[kind] = others.get(kind, 0) + 1
        else:
            regions.append(_polygons(parts, name))
    if others:
        shown = ", ".join(f"{count} {kind}" for kind, count in others.items())
        msg = f"Labels {name!r} hold {shown}, which enclose nothing; export polygons alone."
        raise InputError(msg)
    return regions


def _polygons(parts: Any, name: str) -> Region:
    try:
        rings = [[np.asarray(ring, np.float64) for ring in part] for part in parts]
    except (TypeError, ValueError) as error:
        msg = f"Labels {name!r} hold a polygon that is no list of points ({error}); export them again."
        raise InputError(msg) from error
    if any(not part or any(_is_no_ring(ring) for ring in part) for part in rings):
        msg = f"Labels {name!r} hold a polygon without at least three finite points (x, y); export them again."
        raise InputError(msg)
    return [(part[0][:, :2], [hole[:, :2] for hole in part[1:]]) for part in rings]


def _is_no_ring(ring: NDArray) -> bool:
    return ring.ndim != 2 or len(ring) < 3 or ring.shape[1] < 2 or not np.isfinite(ring).all()


def _rois(data: bytes, name: str) -> Iterator[Region]:
    """The regions of an ImageJ ROI file, or of a zip of them."""
    roifile = extras.load("roifile", extra="distill")
    places: set[int] = set()
    count = 0
    for member, content in _roi_members(data, name):
        count += 1
        try:
            roi = roifile.ImagejRoi.frombytes(content)
            rings = [np.asarray(ring, np.float64) for ring in roi.coordinates(multi=True)]
        except Exception as error:  # whatever a parser of binary files throws
            msg = f"{member!r} in labels {name!r} is no ImageJ ROI ({type(error).__name__}: {error}); save it again."
            raise InputError(msg) from error
        if roi.roitype.name in ("LINE", "FREELINE", "POLYLINE", "ANGLE", "POINT", "NOROI"):
            msg = f"{member!r} in labels {name!r} is a {roi.roitype.name}, which encloses nothing; remove it."
            raise InputError(msg)
        places.add(max(roi.position, roi.t_position, roi.z_position))
        region = [(ring, []) for ring in rings if not _is_no_ring(ring)]
        if region:
            yield region
    if not count:
        msg = f"Labels {name!r} hold no .roi; save them in ImageJ's ROI Manager: More > Save."
        raise InputError(msg)
    if len(places - {0}) > 1:
        msg = f"Labels {name!r} are of {len(places - {0})} planes of a stack; save the ROIs of one image in a file."
        raise InputError(msg)


def _roi_members(data: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    if PurePosixPath(name).suffix.lower() == ".roi":
        yield name, data
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if info.filename.lower().endswith(".roi")]
            if len(infos) > MOST_ROIS or sum(info.file_size for info in infos) > LARGEST_MEMBER:
                msg = f"Labels {name!r} hold {len(infos)} ROIs, more than one image has; check the file."
                raise InputError(msg)
            members = [(info.filename, archive.read(info)) for info in infos]
    except EdgescopeError:
        raise
    except Exception as error:  # a zip that is damaged throws errors of many kinds
        msg = f"Labels {name!r} are not a whole .zip ({error}); save the ROIs again."
        raise InputError(msg) from error
    yield from members
