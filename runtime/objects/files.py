"""Objects as files that other programs read: CSV and Parquet for tables, GeoJSON for QuPath."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..system import atomic, extras
from .measure import TABLE
from .outlines import outline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# QuPath calls the first "centroid" by its own convention, in which a pixel's centre has the coordinates 0.5.
MEASUREMENTS: Mapping[str, tuple[str, float]] = {
    "Label": ("label", 0),
    "Centroid X px": ("centroid_col_px", 0.5),
    "Centroid Y px": ("centroid_row_px", 0.5),
    "Area px^2": ("area_px", 0),
    "Area \u00b5m^2": ("area_um2", 0),
    "Mean intensity": ("mean_intensity", 0),
    "Min intensity": ("min_intensity", 0),
    "Max intensity": ("max_intensity", 0),
    "SD intensity": ("sd_intensity", 0),
    "Mean probability": ("mean_probability", 0),
    "Perimeter px": ("perimeter_px", 0),
    "Perimeter \u00b5m": ("perimeter_um", 0),
    "Eccentricity": ("eccentricity", 0),
    "Solidity": ("solidity", 0),
}
CLASSIFICATION = {"name": "edgescope", "color": [0, 158, 115]}


@dataclass(frozen=True, eq=False)
class PlaneObjects:
    """The objects of one plane: its label image, their table (see measure_table), and where it is in a stack."""

    labels: NDArray[np.int32]
    table: NDArray[np.void]
    name: str = ""
    time: int = 0
    focus: int = 0


def write_csv(path: Path, planes: Sequence[PlaneObjects]) -> None:
    """Write a row for each object, with a header; what is not known is an empty cell, yes and no are 1 and 0.

    The columns are those of measure.TABLE, behind `plane`, the plane's name (empty for a single image).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["plane", *(TABLE.names or ())])
    for plane in planes:
        writer.writerows([plane.name, *map(_cell, row)] for row in plane.table.tolist())
    atomic.write_bytes(path, text.getvalue().encode())


def write_parquet(path: Path, planes: Sequence[PlaneObjects]) -> None:
    """Write the columns of write_csv as an Apache Parquet table; what is not known is null. Needs pyarrow."""
    arrow, parquet = (extras.load(name, extra="parquet") for name in ("pyarrow", "pyarrow.parquet"))
    rows = np.concatenate([plane.table for plane in planes]) if planes else np.zeros(0, TABLE)
    names = [plane.name for plane in planes for _ in range(len(plane.table))]
    columns = {name: arrow.array(np.ascontiguousarray(rows[name]), from_pandas=True) for name in TABLE.names or ()}
    with atomic.replacing(path) as unfinished:
        parquet.write_table(arrow.table({"plane": arrow.array(names, arrow.string()), **columns}), unfinished)


def write_geojson(path: Path, planes: Sequence[PlaneObjects]) -> None:
    """Write a FeatureCollection that QuPath opens (File > Import objects from file): one detection for each object.

    Polygons follow the edges of the pixels, in pixels of the full image, x before y; pixel (0, 0) spans 0 to 1.
    Holes are inner rings. What is not known has no measurement.
    """
    features = [feature(plane, row) for plane in planes for row in plane.table]
    text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False, separators=(",", ":"))
    atomic.write_bytes(path, text.encode())


def feature(plane: PlaneObjects, row: Any) -> dict[str, Any]:
    """One object, a row of the plane's table, as a GeoJSON Feature with QuPath's properties."""
    measured = {name: row[column].item() + shift for name, (column, shift) in MEASUREMENTS.items()}
    return {
        "type": "Feature",
        "geometry": _geometry(plane, row),
        "properties": {
            "objectType": "detection",
            "name": str(row["label"]),
            "classification": CLASSIFICATION,
            "isLocked": False,
            "measurements": {name: value for name, value in measured.items() if not np.isnan(value)},
        },
    }


def _geometry(plane: PlaneObjects, row: Any) -> dict[str, Any]:
    top, left, bottom, right = (int(row[f"bbox_{side}_px"]) for side in ("top", "left", "bottom", "right"))
    polygons = outline(plane.labels[top:bottom, left:right] == row["label"], (top, left))
    single = len(polygons) == 1
    geometry: dict[str, Any] = {
        "type": "Polygon" if single else "MultiPolygon",
        "coordinates": polygons[0] if single else polygons,
    }
    if plane.time or plane.focus:  # the first plane is what QuPath takes when none is given
        geometry["plane"] = {"c": -1, "z": plane.focus, "t": plane.time}
    return geometry


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return None if value != value else value  # NaN is not equal to itself
