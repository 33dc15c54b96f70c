"""Segment a folder of images: labels as OME-TIFF, and one table of all objects. What is there already is left out.

    python examples/batch_folder.py IMAGES OUT [ARTIFACT]
    python examples/batch_folder.py                   # six synthetic fields, into a temporary folder

Needs the extras openvino, io and objects. `python -m runtime predict` does the same without programming.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import parts

from runtime import InputError, Segmenter
from runtime.images.planes import read_planes, write_mask_ome_tiff
from runtime.objects.files import PlaneObjects, write_csv

SUFFIXES = {".tif", ".tiff", ".png"}


def main() -> int:
    """Segment what is not done yet; exit code 2 when an image could not be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("artifact", type=Path, nargs="?")
    args = parser.parse_args()
    images, out = args.images or synthetic_fields(), args.out or Path(tempfile.mkdtemp(prefix="edgescope-out-"))
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in SUFFIXES)
    failed = 0
    with Segmenter.open(parts.artifact(args.artifact)) as segment:  # once: opening takes longer than a frame
        for path in paths:
            target = out / f"{path.stem}-labels.ome.tif"
            if target.exists():  # it was written as a whole or not at all
                print(f"{path.name}: done before")
                continue
            try:
                count, seconds = segment_file(segment, path, target)
            except InputError as error:  # of one image; the others go on
                failed += 1
                print(f"{path.name}: {error}", file=sys.stderr)
            else:
                print(f"{path.name}: {count} objects, {1e3 * seconds:.0f} ms")
    print(f"{len(paths) - failed} of {len(paths)} images are in {out}")
    return InputError.exit_code if failed else 0


def segment_file(segment: Segmenter, path: Path, target: Path) -> tuple[int, float]:
    """Write labels and table of one file; returns its objects and the seconds of segmentation."""
    planes = read_planes(path)
    start = perf_counter()
    results = [segment(plane.frame, plane.pixel_size_um) for plane in planes]
    seconds = perf_counter() - start
    tables = [
        PlaneObjects(result.labels(), result.table(), plane.label, plane.time, plane.focus)
        for plane, result in zip(planes, results, strict=True)
    ]
    labels = np.stack([table.labels for table in tables])
    write_csv(target.with_name(f"{path.stem}-objects.csv"), tables)
    write_mask_ome_tiff(target, labels if len(planes) > 1 else labels[0], planes[0].pixel_size_um)
    return sum(len(one.table) for one in tables), seconds


def synthetic_fields() -> Path:
    """A folder with six images of a made-up sample."""
    folder = Path(tempfile.mkdtemp(prefix="edgescope-in-"))
    sample = parts.Sample()
    for number in range(6):
        frame = sample.view(100.0 * number - 250, 0, (400, 500), (0.5, 0, 0, 0, 0.5, 0))
        write_mask_ome_tiff(folder / f"field-{number}.ome.tif", frame, 0.5)
    return folder


if __name__ == "__main__":
    sys.exit(main())
