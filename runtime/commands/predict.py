"""predict: segment images; write masks and, if requested, labels, probabilities and object tables.

A bad image does not stop the others: they are written, the bad ones are named, and the exit code says so.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from ..artifact.artifact import open_artifact
from ..errors import InputError, report
from ..frames.scale import AS_IT_IS, SEEN, Scale
from ..images.files import OUTPUTS, find_images, open_image, stem_of
from ..images.planes import PlaneChoice, Stack, stack_of, write_mask_ome_tiff
from ..objects.files import PlaneObjects, write_csv, write_geojson, write_parquet
from ..segmenter import Segmenter
from ..system import atomic, extras, memory
from .options import add_diameter, add_execution, add_reading, add_rule, add_trust, execution_of, reading_of, rule_of
from .output import say, write_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from ..artifact.manifest import Manifest
    from ..segmentation.result import Segmentation

NAME = "predict"
EXAMPLE = "predict artifacts/nuclei-fast-intel-int8 images/*.tif --out masks --labels --objects csv"
OBJECT_FILES = {"csv": write_csv, "geojson": write_geojson, "parquet": write_parquet}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", type=Path, help="artefact folder or .zip")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image, OME-Zarr, folder of images, or pattern")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    add_reading(parser)
    parser.add_argument("--labels", action="store_true", help="also write the label image: one number per object")
    parser.add_argument("--probability", action="store_true", help="also write the probability, float32")
    parser.add_argument(
        "--objects",
        action="append",
        choices=tuple(OBJECT_FILES),
        default=[],
        help="also write a table of objects: position, size, intensities, shape; geojson is for QuPath; "
        "may be given several times",
    )
    add_diameter(parser)
    add_rule(parser)
    add_trust(parser)
    add_execution(parser, performance=True)


def run(args: argparse.Namespace) -> int:
    """Segment every image, whatever one of them is; exit code 0, 2 for one that is no use, 1 for another failure."""
    choice = reading_of(args)
    change = rule_of(args)
    jobs = output_stems(find_images(args.images))
    _check_outputs(jobs, args.out)
    artifact = open_artifact(args.artifact, args.trust)
    _check_surroundings(args, artifact.manifest)
    atomic.sweep_folder(args.out)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    codes: set[int] = set()
    with Segmenter.of(artifact, execution_of(args), diameter=args.diameter, change=change) as segment:
        for number, (path, stem) in enumerate(jobs.items(), 1):
            _progress(f"{number}/{len(jobs)} {path.name}")
            try:
                done.append(_predict(segment, path, args.out / stem, choice, args))
            except Exception as error:  # of the image, of writing its results, or ours: the next one may do
                _progress("")
                failed.append({"image": str(path), "error": str(error)})
                codes.add(report(error, debug=args.debug))
            else:
                _progress("")
                say(_line(done[-1]))
        found = {"artifact": str(args.artifact), "backend": segment.backend, **segment.description}
    write_json(args.json, {**found, "images": done, "failed": failed})
    return min(codes, default=0)


def _check_outputs(jobs: Mapping[Path, str], out: Path) -> None:
    """No image is overwritten by the results of another before it is read, nor by its own."""
    images = {path.resolve(): path for path in jobs}
    for path, stem in jobs.items():
        for ending in OUTPUTS:
            if (image := images.get((out / f"{stem}{ending}").resolve())) is not None:
                msg = f"The results of {path} would overwrite {image}, an image to segment; give another --out."
                raise InputError(msg)


def output_stems(paths: Iterable[Path]) -> dict[Path, str]:
    """A name for each image's outputs: its stem, with the folder's name or a number where two would be equal."""
    stems = {path: stem_of(path) for path in paths}
    plain = [stem.lower() for stem in stems.values()]
    taken: set[str] = set()
    for path, stem in stems.items():
        if plain.count(stem.lower()) > 1:
            stem = f"{path.resolve().parent.name}-{stem}".lstrip("-")
        unique, number = stem, 2
        while unique.lower() in taken:  # lower case: Windows and macOS do not tell them apart
            unique, number = f"{stem}-{number}", number + 1
        taken.add(unique.lower())
        stems[path] = unique
    return stems


def _check_surroundings(args: argparse.Namespace, manifest: Manifest) -> None:
    """Better now than after the first image; what is not installed is said in one message."""
    if args.out.exists() and not args.out.is_dir():
        msg = f"--out {args.out} is a file; give a folder."
        raise InputError(msg)
    own = backend.find(args.backend or manifest.backend)
    can_stand_in = args.backend is None and backend.refusal(backend.reference(), manifest) is None
    has_none = own is not None and own.library() is None and not own.from_system and not can_stand_in
    extras.require(
        ("tifffile", "io"),
        *([("pyarrow", "parquet")] if "parquet" in args.objects else []),
        besides=[(own.name, own.extra)] if own is not None and has_none else [],
    )


def _predict(
    segment: Segmenter, path: Path, target: Path, choice: PlaneChoice, args: argparse.Namespace
) -> dict[str, Any]:
    with open_image(path) as image:
        return _segment_stack(segment, stack_of(image, str(path), choice), target, args)


def _segment_stack(segment: Segmenter, stack: Stack, target: Path, args: argparse.Namespace) -> dict[str, Any]:
    start = perf_counter()
    path, count = stack.path, len(stack.indices)
    height, width = stack.scene.frame_shape
    kept = 1 + 4 * (args.labels or bool(args.objects)) + 4 * args.probability
    memory.claim(count * height * width * kept, f"The result of {path}, {count} planes of {height} x {width},")
    stacks: dict[str, list[NDArray[Any]]] = {}
    flags: dict[str, None] = {}
    tables: list[PlaneObjects] = []
    scale: Scale | None = None
    used = AS_IT_IS
    rule: dict[str, Any] = {}
    for plane in map(stack.plane, stack.indices):
        try:
            result = segment(plane.frame, plane.pixel_size_um, scale=scale)
        except InputError as error:
            msg = f"{f'{path} {plane.label}'.rstrip()}: {error}"
            raise InputError(msg) from error
        if scale is None and result.scale.source == SEEN:
            scale = result.scale  # the first plane that shows its objects decides for all
        for name, array in _outputs(result, args).items():
            stacks.setdefault(name, []).append(array)
        if args.objects:
            tables.append(PlaneObjects(result.labels(), result.table(), plane.label, plane.time, plane.focus))
        flags.update(dict.fromkeys(result.flags))
        used = result.scale
        rule = result.settings
    files = _write(target, stacks, stack)
    for kind in dict.fromkeys(args.objects):
        table = target.with_name(f"{target.name}-objects.{kind}")
        OBJECT_FILES[kind](table, tables)
        files.append(str(table))
    masks = np.asarray(stacks["mask"])
    summary: dict[str, Any] = {
        "image": path,
        "scene": stack.scene.name,
        "channel": stack.channel,
        "planes": count,
        "height": height,
        "width": width,
        "pixel_size_um": stack.spacing.pixel_size_um,
        "spacing": asdict(stack.spacing),
        "notes": list(stack.notes),
        "foreground": float(np.count_nonzero(masks) / masks.size),
        "scale": asdict(used),
        "rule": rule,
        "flags": list(flags),
    }
    if args.labels:
        summary["objects"] = sum(int(labels.max()) for labels in stacks["labels"])
    elif args.objects:
        summary["objects"] = sum(len(one.table) for one in tables)
    return {**summary, "seconds": perf_counter() - start, "files": files}


def _outputs(result: Segmentation, args: argparse.Namespace) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"mask": result.mask.astype(np.uint8) * np.uint8(255)}
    if args.labels:
        arrays["labels"] = result.labels()
    if args.probability:
        arrays["probability"] = result.probability
    return arrays


def _write(target: Path, stacks: Mapping[str, list[NDArray[Any]]], stack: Stack) -> list[str]:
    """The results with the axes of the image; pages without a meaning, and more of them, become time points."""
    loops = {axis: size for axis, size in stack.loops.items() if size > 1}
    axes = "".join(loops)
    shape = tuple(loops.values()) if axes in ("T", "Z", "TZ", "ZT") else (len(stack.indices),)
    files: list[str] = []
    for name, planes in stacks.items():
        whole: Any = np.stack(planes)
        array = planes[0] if len(planes) == 1 else whole.reshape(*shape, *planes[0].shape)
        path = target.with_name(f"{target.name}-{name}.ome.tif")
        write_mask_ome_tiff(path, array, stack.spacing, axes if len(axes) == len(shape) and axes[0] in "TZ" else "T")
        files.append(str(path))
    return files


def _line(row: Mapping[str, Any]) -> str:
    planes = f"{row['planes']} planes, " if row["planes"] > 1 else ""
    channel = f"channel {row['channel']}, " if row["channel"] else ""
    objects = f", {row['objects']} objects" if "objects" in row else ""
    flags = f", {' '.join(row['flags'])}" if row["flags"] else ""
    notes = "".join(f"; {note}" for note in row["notes"])
    scale = Scale(**row["scale"])
    resized = "" if scale.factor == 1.0 else f", {scale}"
    return (
        f"{row['image']} -> {row['files'][0]}  ({channel}{planes}{row['height']}x{row['width']}, "
        f"{100 * row['foreground']:.1f} % foreground{objects}{resized}, {row['seconds']:.2f} s{flags}{notes})"
    )


def _progress(text: str) -> None:
    """One line that is written over, on a terminal only."""
    with suppress(OSError, ValueError):  # closed meanwhile
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
