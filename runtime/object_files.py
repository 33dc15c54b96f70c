"""Objects as files that other programs read: CSV for tables, GeoJSON for QuPath."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import atomic
from .outlines import outline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from .objects import MeasuredObject

COLUMNS: Mapping[str, Callable[[MeasuredObject], Any]] = {
    "label": lambda o: o.label,
    "centroid_row_px": lambda o: o.centroid[0],
    "centroid_col_px": lambda o: o.centroid[1],
    "area_px": lambda o: o.area,
    "bbox_top_px": lambda o: o.bbox[0],
    "bbox_left_px": lambda o: o.bbox[1],
    "bbox_bottom_px": lambda o: o.bbox[2],
    "bbox_right_px": lambda o: o.bbox[3],
    "mean_intensity": lambda o: o.mean_intensity,
    "pixel_size_um": lambda o: o.pixel_size_um,
    "centroid_row_um": lambda o: o.centroid_um and o.centroid_um[0],
    "centroid_col_um": lambda o: o.centroid_um and o.centroid_um[1],
    "area_um2": lambda o: o.area_um2,
    "bbox_top_um": lambda o: o.bbox_um and o.bbox_um[0],
    "bbox_left_um": lambda o: o.bbox_um and o.bbox_um[1],
    "bbox_bottom_um": lambda o: o.bbox_um and o.bbox_um[2],
    "bbox_right_um": lambda o: o.bbox_um and o.bbox_um[3],
}
# QuPath calls the first "centroid" by its own convention, in which a pixel's centre has the coordinates 0.5.
MEASUREMENTS: Mapping[str, Callable[[MeasuredObject], Any]] = {
    "Label": lambda o: o.label,
    "Centroid X px": lambda o: o.centroid[1] + 0.5,
    "Centroid Y px": lambda o: o.centroid[0] + 0.5,
    "Area px^2": lambda o: o.area,
    "Area \u00b5m^2": lambda o: o.area_um2,
    "Mean intensity": lambda o: o.mean_intensity,
}
CLASSIFICATION = {"name": "edgescope", "color": [0, 158, 115]}


@dataclass(frozen=True)
class PlaneObjects:
    """The objects of one plane: its label image, their measures, and where it stands in a stack."""

    labels: NDArray[np.int32]
    objects: Sequence[MeasuredObject]
    name: str = ""
    time: int = 0
    focus: int = 0


def write_csv(path: Path, planes: Sequence[PlaneObjects]) -> None:
    """Write a row for each object, with a header; what is not known is an empty cell.

    The columns are COLUMNS, behind `plane`, the plane's name (empty for a single image).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["plane", *COLUMNS])
    for plane in planes:
        writer.writerows([plane.name, *(of(one) for of in COLUMNS.values())] for one in plane.objects)
    atomic.write_bytes(path, text.getvalue().encode())


def write_geojson(path: Path, planes: Sequence[PlaneObjects]) -> None:
    """Write a FeatureCollection that QuPath opens (File > Import objects from file): one detection for each object.

    Polygons follow the edges of the pixels, in pixels of the full image, x before y; pixel (0, 0) spans 0 to 1.
    Holes are inner rings. What is not known has no measurement.
    """
    features = [feature(plane, one) for plane in planes for one in plane.objects]
    text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False, separators=(",", ":"))
    atomic.write_bytes(path, text.encode())


def feature(plane: PlaneObjects, one: MeasuredObject) -> dict[str, Any]:
    """One object as a GeoJSON Feature with QuPath's properties."""
    measured = {name: of(one) for name, of in MEASUREMENTS.items()}
    return {
        "type": "Feature",
        "geometry": _geometry(plane, one),
        "properties": {
            "objectType": "detection",
            "name": str(one.label),
            "classification": CLASSIFICATION,
            "isLocked": False,
            "measurements": {name: value for name, value in measured.items() if value is not None},
        },
    }


def _geometry(plane: PlaneObjects, one: MeasuredObject) -> dict[str, Any]:
    top, left, bottom, right = one.bbox
    polygons = outline(plane.labels[top:bottom, left:right] == one.label, (top, left))
    single = len(polygons) == 1
    geometry: dict[str, Any] = {
        "type": "Polygon" if single else "MultiPolygon",
        "coordinates": polygons[0] if single else polygons,
    }
    if plane.time or plane.focus:  # the first plane is what QuPath takes when none is given
        geometry["plane"] = {"c": -1, "z": plane.focus, "t": plane.time}
    return geometry
