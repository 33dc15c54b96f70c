"""predict: images -> masks, and on request labels, probabilities and tables of objects, with the pixel size kept.

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
from ..images.planes import read_planes, write_mask_ome_tiff
from ..objects.files import PlaneObjects, write_csv, write_geojson, write_parquet
from ..segmenter import Segmenter
from ..system import extras
from .options import add_diameter, add_execution, add_rule, add_trust, execution_of, rule_of
from .output import say, write_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from ..artifact.manifest import Manifest
    from ..segmentation.result import Segmentation

NAME = "predict"
SUFFIXES = (".png", ".tif", ".tiff")
OUTPUTS = ("-mask.ome.tif", "-labels.ome.tif", "-probability.ome.tif")
OBJECT_FILES = {"csv": write_csv, "geojson": write_geojson, "parquet": write_parquet}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", type=Path, help="artefact folder or .zip")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, TIFF, OME-TIFF, a folder or a pattern")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the masks are written")
    parser.add_argument("--channel", type=int, metavar="N", help="which channel, from 0, of images with several")
    parser.add_argument("--labels", action="store_true", help="also write numbered objects")
    parser.add_argument("--probability", action="store_true", help="also write the probability, float32")
    parser.add_argument(
        "--objects",
        action="append",
        choices=tuple(OBJECT_FILES),
        default=[],
        help="also write each object's place, size, intensities and shape: csv, parquet, or geojson for QuPath; "
        "may be given several times",
    )
    add_diameter(parser)
    add_rule(parser)
    add_trust(parser)
    add_execution(parser, performance=True)


def run(args: argparse.Namespace) -> int:
    """Segment every image, whatever one of them is; exit code 0, 2 for one that is no use, 1 for another failure."""
    change = rule_of(args)
    jobs = output_stems(find_images(args.images))
    artifact = open_artifact(args.artifact, args.trust)
    _check_surroundings(args, artifact.manifest)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    codes: set[int] = set()
    with Segmenter.of(artifact, execution_of(args), diameter=args.diameter, change=change) as segment:
        for number, (path, stem) in enumerate(jobs.items(), 1):
            _progress(f"{number}/{len(jobs)} {path.name}")
            try:
                done.append(_predict(segment, path, args.out / stem, args))
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


def find_images(given: Iterable[str]) -> list[Path]:
    """The files behind paths, folders and patterns (which Windows' shells leave alone), each once, in order."""
    found: dict[Path, None] = {}
    for text in given:
        try:
            matches = _matches(Path(text))
        except OSError:  # a name that is too long, a folder that may not be read: said when it is its turn
            matches = [Path(text)]
        if not matches:
            msg = f"{text} holds no image ({', '.join(SUFFIXES)}); give a file, a folder or a pattern."
            raise InputError(msg)
        found.update(dict.fromkeys(matches))
    return list(found)


def _matches(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not _is_passed_over(p))
    if not path.exists() and any(sign in str(path) for sign in "*?["):
        pattern = path.relative_to(path.anchor)
        return sorted(p for p in Path(path.anchor).glob(str(pattern)) if not _is_passed_over(p))
    return [path]


def output_stems(paths: Iterable[Path]) -> dict[Path, str]:
    """A name for each image's outputs: its stem, with the folder's name or a number where two would be equal."""
    stems = {path: _stem(path) for path in paths}
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


def _predict(segment: Segmenter, path: Path, target: Path, args: argparse.Namespace) -> dict[str, Any]:
    start = perf_counter()
    planes = read_planes(path, args.channel)
    stacks: dict[str, list[NDArray[Any]]] = {}
    flags: dict[str, None] = {}
    tables: list[PlaneObjects] = []
    scale: Scale | None = None
    used = AS_IT_IS
    rule: dict[str, Any] = {}
    for plane in planes:
        try:
            result = segment(plane.frame, plane.pixel_size_um, scale=scale)
        except InputError as error:
            where = f"{path} {plane.label}".rstrip()
            msg = f"{where}: {error}"
            raise InputError(msg) from error
        if scale is None and result.scale.source == SEEN:
            scale = result.scale  # the first plane that shows its objects decides for all
        for name, array in _outputs(result, args).items():
            stacks.setdefault(name, []).append(array)
        if args.objects:
            tables.append(PlaneObjects(result.labels(), result.table(), plane.label, plane.time, plane.focus))
        flags.update(dict.fromkeys(result.flags))
        used = result.scale
        rule = {"threshold": result.threshold, **asdict(result.rule)}
    axis = "Z" if planes[0].label.startswith("z") else "T"
    files = _write(target, stacks, planes[0].pixel_size_um, axis)
    for kind in dict.fromkeys(args.objects):
        table = target.with_name(f"{target.name}-objects.{kind}")
        OBJECT_FILES[kind](table, tables)
        files.append(str(table))
    masks = np.asarray(stacks["mask"])
    height, width = masks.shape[-2:]
    summary: dict[str, Any] = {
        "image": str(path),
        "planes": len(planes),
        "height": height,
        "width": width,
        "pixel_size_um": planes[0].pixel_size_um,
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


def _write(target: Path, stacks: Mapping[str, list[NDArray[Any]]], pixel_size_um: float | None, axis: str) -> list[str]:
    files: list[str] = []
    for name, planes in stacks.items():
        array = planes[0] if len(planes) == 1 else np.stack(planes)
        path = target.with_name(f"{target.name}-{name}.ome.tif")
        write_mask_ome_tiff(path, array, pixel_size_um, axis)
        files.append(str(path))
    return files


def _stem(path: Path) -> str:
    stem = path.stem
    return stem[: -len(".ome")] if stem.lower().endswith(".ome") else stem


def _is_passed_over(path: Path) -> bool:
    """Outputs of ours, and what macOS puts beside a file on a foreign disk: "._" and its name."""
    return path.name.lower().endswith(OUTPUTS) or path.name.startswith("._")


def _line(row: Mapping[str, Any]) -> str:
    planes = f"{row['planes']} planes, " if row["planes"] > 1 else ""
    objects = f", {row['objects']} objects" if "objects" in row else ""
    flags = f", {' '.join(row['flags'])}" if row["flags"] else ""
    scale = Scale(**row["scale"])
    resized = "" if scale.factor == 1.0 else f", {scale}"
    return (
        f"{row['image']} -> {row['files'][0]}  ({planes}{row['height']}x{row['width']}, "
        f"{100 * row['foreground']:.1f} % foreground{objects}{resized}, {row['seconds']:.2f} s{flags})"
    )


def _progress(text: str) -> None:
    """One line that is written over, on a terminal only."""
    with suppress(OSError, ValueError):  # closed meanwhile
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
