"""Reports, configurations, students, labels, tables, stores and messages: spoilt, then read. And bombs."""

import dataclasses
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from runtime.artifact.artifact import open_artifact
from runtime.errors import EdgescopeError
from runtime.images.planes import PlaneChoice, planes_of
from runtime.live.process import Answer, Refusal
from runtime.records import parse_json
from runtime.system.child import messages
from runtime.system.programs import ROOT
from tools.adversarial.bench import DIFFERENT, EQUAL, Attempt, Kind, Setup, Wrong, lay_out
from tools.adversarial.damage import spoil, spoil_json, spoil_text
from tools.adversarial.kinds.artifacts import with_sums


def _prepare_report(_setup: Setup) -> Attempt:
    from benchmarks.report.files import read_report
    from benchmarks.report.report import digest
    from benchmarks.report.table import entries, markdown

    texts = [path.read_text() for path in sorted((ROOT / "benchmarks" / "history").rglob("*.json"))]

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        text = texts[int(dice.integers(0, len(texts)))]
        spoilt = spoil_json(text, dice)
        sealed = dice.random() < 0.5
        if sealed:  # its digest made anew
            try:
                value = json.loads(spoilt)
                value["digest"] = digest(value)
                spoilt = json.dumps(value)
            except Exception:  # not what a digest can be made of
                sealed = False
        path = folder / "report.json"
        path.write_text(spoilt, errors="surrogatepass")
        report = read_report(path)
        markdown(entries([report]))
        if report.to_dict() == json.loads(text):
            return EQUAL
        if not sealed:
            msg = "a report that was edited is accepted"
            raise Wrong(msg)
        return EQUAL  # of somebody who seals what he edits; it is readable

    return attempt


def _prepare_config(_setup: Setup) -> Attempt:
    from distill.settings import load

    texts = {path.name: path.read_text() for path in sorted((ROOT / "configs").rglob("*.toml"))}
    whole: dict[str, Any] = {}
    for name, path in ((p.name, p) for p in sorted((ROOT / "configs").rglob("*.toml"))):
        try:
            whole[name] = load(path)
        except EdgescopeError:  # one for the search, or of a student that is not here
            del texts[name]
    names = sorted(texts)

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        name = names[int(dice.integers(0, len(names)))]
        path = folder / name
        path.write_bytes(spoil_text(texts[name], dice).encode("utf-8", "replace"))
        return EQUAL if load(path) == whole[name] else DIFFERENT

    return attempt


def _prepare_student(_setup: Setup) -> Attempt:
    from distill.student import student as students

    source = ROOT / "distill" / "pretrained" / students.DEFAULT
    contents = {path.name: path.read_bytes() for path in source.iterdir() if path.suffix in (".json", ".safetensors")}
    whole = students.load(source)

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        names = sorted(contents)
        name = names[int(dice.integers(0, len(names)))]
        data = contents[name]
        spoilt = spoil_json(data.decode(), dice).encode("utf-8", "replace") if ".json" in name else spoil(data, dice)
        changed = {other: kept for other, kept in contents.items() if other != name}
        if dice.random() > 0.05:
            changed[name] = spoilt
        lay_out(folder / "student", changed, source, contents)
        student = students.load(folder / "student")
        return EQUAL if student.spec == whole.spec and student.scheme == whole.scheme else DIFFERENT

    return attempt


def _prepare_labels(_setup: Setup) -> Attempt:
    """GeoJSON, ROIs of ImageJ, a zip of them, and label pictures, through the reader of folders."""
    import roifile
    import tifffile

    from distill import datasets

    ring = [[4, 4], [20, 4], [20, 20], [4, 4]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {"objectType": "annotation", "classification": {"name": "x"}}}
    collection = {"type": "FeatureCollection", "features": [{**feature, "geometry": geometry}] * 2}
    roi = roifile.ImagejRoi.frompoints(np.array(ring, np.float32)).tobytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.roi", roi)
        archive.writestr("b.roi", roi)
    picture = io.BytesIO()
    labels = np.zeros((32, 40), np.uint16)
    labels[4:12, 4:12], labels[16:24, 4:12] = 1, 2
    tifffile.imwrite(picture, labels)
    sources = {
        ".geojson": json.dumps(collection).encode(),
        ".roi": roi,
        ".zip": buffer.getvalue(),
        ".tif": picture.getvalue(),
    }
    image = io.BytesIO()
    tifffile.imwrite(image, np.random.default_rng(0).integers(0, 255, (32, 40), np.uint8))

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        suffix = str(dice.choice(sorted(sources)))
        data = sources[suffix]
        spoilt = spoil_json(data.decode(), dice).encode("utf-8", "replace") if "json" in suffix else spoil(data, dice)
        (folder / "images").mkdir()
        (folder / "labels").mkdir()
        (folder / "images" / "a.tif").write_bytes(image.getvalue())
        (folder / "labels" / f"a{suffix}").write_bytes(spoilt)
        found = [sample.labels for sample in datasets.open(f"folder:{folder}")]
        return EQUAL if found else DIFFERENT

    return attempt


def _prepare_tissuenet(setup: Setup) -> Attempt:
    from distill import datasets

    images = np.random.default_rng(0).random((3, 24, 24, 2), np.float32)
    labels = np.zeros((3, 24, 24, 2), np.int32)
    labels[:, 2:12, 2:12, 0], labels[:, 4:9, 4:9, 1] = 7, 7
    head = [["filename", "experiment", "pixel_size", "note"]]
    meta = np.array(head + [[f"f{i}.tif", i, np.float64(0.5), None] for i in range(3)], dtype=object)
    sources: list[bytes] = []
    for save in (np.savez, np.savez_compressed):
        for more in ({"meta": meta}, {"tissue_list": np.array(["lung"] * 3), "platform_list": np.array(["codex"] * 3)}):
            buffer = io.BytesIO()
            save(buffer, X=images, y=labels, **more)
            sources.append(buffer.getvalue())
    members = [_members(data) for data in sources]

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        chosen = int(dice.integers(0, len(sources)))
        if dice.random() < 0.5:
            data = spoil(sources[chosen], dice)
        else:  # a member, in a zip that is whole
            files = dict(members[chosen])
            name = str(dice.choice(sorted(files)))
            files[name] = spoil(files[name], dice)
            data = _zip(files)
        path = folder / "tissuenet_train.npz"
        path.write_bytes(data)
        data = datasets.open(f"tissuenet:{path}")
        data.meta()
        samples = [data[k] for k in range(3)]
        return EQUAL if all(np.array_equal(s.image[0], images[k, ..., 0]) for k, s in enumerate(samples)) else DIFFERENT

    return attempt


def _prepare_store(setup: Setup) -> Attempt:
    """The store of a teacher's answers, which has sums."""
    from distill.store import Store

    root = setup.own / "store.zarr"
    values = np.random.default_rng(0).integers(0, 256, (70, 33), np.uint8)
    Store(root).write("a", values, {"name": "field"})
    files = {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        chosen = sorted(files)[int(dice.integers(0, len(files)))]
        for name, data in files.items():
            path = folder / "s.zarr" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == chosen and dice.random() < 0.1:
                continue
            text = name == chosen and data[:1] == b"{"
            path.write_bytes(
                data if name != chosen else spoil_json(data.decode(), dice).encode() if text else spoil(data, dice)
            )
        found = Store(folder / "s.zarr").read("a", "field")
        if found is not None and not np.array_equal(found, values):
            return DIFFERENT
        return EQUAL

    return attempt


def _prepare_message(_setup: Setup) -> Attempt:
    """What a live worker says."""
    answer = {
        "index": 3,
        "started": 5,
        "finished": 9,
        "flags": ["dim"],
        "scale": [1.0, 24.0, "seen"],
        "count": 4,
        "last_id": 2,
    }
    refusal = {"refused": "no device", "input": False}

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        kind, value = ((Answer, answer), (Refusal, refusal))[int(dice.integers(0, 2))]
        line = spoil_json(json.dumps(value), dice).encode("utf-8", "replace")
        if dice.random() < 0.3:
            line = spoil(line, dice)
        same = True
        for message in messages(io.BytesIO(line + b"\n")):
            record = kind.from_dict(message)
            if isinstance(record, Answer):
                record.check(5, tracked=True)
            same = same and dataclasses.asdict(record) == dataclasses.asdict(kind.from_dict(value))
        return EQUAL if same else DIFFERENT

    return attempt


def _prepare_bomb(setup: Setup) -> Attempt:
    """Files that claim or unpack to much, never end, or nest deeply: one after the other."""
    artifact = open_artifact(setup.artifacts[0])
    bombs = _bombs(dict(artifact.files))
    names = sorted(bombs)

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        bombs[names[number % len(names)]](folder)
        return EQUAL

    return attempt


def _bombs(files: dict[str, bytes]) -> dict[str, Callable[[Path], object]]:
    zeros = bytes(1 << 20)
    names = "{" + ", ".join(f'"{k}": 0' for k in range(600_000)) + "}"
    twice = f'{names[:-1]}, "599999": 1}}'

    def image(name: str, data: bytes) -> Callable[[Path], object]:
        def read(folder: Path) -> object:
            (folder / name).write_bytes(data)
            return list(planes_of(folder / name, PlaneChoice(channel=0, scene=0)))

        return read

    def opened(changes: dict[str, bytes], *, zipped: bool = False) -> Callable[[Path], object]:
        def read(folder: Path) -> object:
            spoilt = with_sums({**files, **changes}, changes.get("manifest.json"))
            if zipped:
                (folder / "a.zip").write_bytes(_zip(spoilt))
                return open_artifact(folder / "a.zip")
            (folder / "a").mkdir()
            for name, data in spoilt.items():
                (folder / "a" / name).write_bytes(data)
            return open_artifact(folder / "a").probes()

        return read

    def many(folder: Path) -> object:
        (folder / "a").mkdir()
        for name, data in files.items():
            (folder / "a" / name).write_bytes(data)
        for number in range(20_000):
            (folder / "a" / f"extra{number}").touch()
        return open_artifact(folder / "a")

    def pipe(as_image: bool) -> Callable[[Path], object]:
        def read(folder: Path) -> object:
            os.mkfifo(folder / "a")
            return list(planes_of(folder / "a")) if as_image else open_artifact(folder / "a")

        return read

    def device(folder: Path) -> object:
        (folder / "a.tif").symlink_to("/dev/zero")
        return list(planes_of(folder / "a.tif"))

    entities = "".join(f'<!ENTITY x{k} "{f"&x{k - 1};" * 10}">' for k in range(1, 12))
    laughs = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY x0 "ha">{entities}]><OME><Image Name="&x11;"/></OME>'
    nested = f"<OME>{'<a>' * 100_000}"
    return {
        "json of many names": lambda _: parse_json(names),
        "json with a name twice at its end": lambda _: parse_json(twice),
        "deep json": lambda _: parse_json("[" * 200_000),
        "long number": lambda _: parse_json("1" * 2_000_000),
        "manifest of many names": opened({"manifest.json": names.encode()}),
        "zip of zeros": opened({"CARD.md": zeros * 160}, zipped=True),
        "probes that claim": opened({"probes.npz": _npz((1 << 20, 1, 1 << 10, 1 << 10), 64)}),
        "probes that unpack": opened({"probes.npz": _npz((80, 1, 1024, 512), 80 * 4 * 1024 * 512)}),
        "many files": many,
        "png that unpacks": image("a.png", _png(60_000, 60_000, zlib.compress(zeros * 60, 9))),
        "png with a long text": image(
            "a.png", _png(8, 8, zlib.compress(bytes(72)), text=zlib.compress(zeros * 200, 9))
        ),
        "tiff that claims": image("a.tif", _tiff(1 << 20, 1 << 20, 1, bytes(64))),
        "tiff that unpacks": image("a.tif", _tiff(40_000, 40_000, 8, zlib.compress(bytes(40_000) * 4000, 9))),
        "tiff of entities": image("a.ome.tif", _tiff(8, 8, 1, bytes(64), laughs.encode())),
        "tiff of deep xml": image("a.ome.tif", _tiff(8, 8, 1, bytes(64), nested.encode())),
        "tiff whose pages turn back": image("a.tif", _tiff(8, 8, 1, bytes(64), turns=True)),
        "pipe as an image": pipe(True),
        "pipe as an artefact": pipe(False),
        "device as an image": device,
    }


def _npz(shape: tuple[int, ...], stored: int) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("inputs.npy", "outputs.npy"):
            with archive.open(name, "w") as file:
                file.write(header.getvalue())
                for at in range(0, stored, 1 << 20):
                    file.write(bytes(min(1 << 20, stored - at)))
    return buffer.getvalue()


def _png(width: int, height: int, pixels: bytes, text: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    words = chunk(b"zTXt", b"Comment\0\0" + text) if text else b""
    return b"\x89PNG\r\n\x1a\n" + head + words + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _tiff(width: int, height: int, compression: int, pixels: bytes, text: bytes = b"", *, turns: bool = False) -> bytes:
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, len(pixels))]
    if text:
        tags = sorted([*tags, (270, 2, len(text), 8 + len(pixels))])
    start = 8 + len(pixels) + len(text)
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return (
        struct.pack("<2sHI", b"II", 42, start) + pixels + text
        + struct.pack("<H", len(tags)) + body + struct.pack("<I", start if turns else 0)
    )  # fmt: skip


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


BOMBS = 19
KINDS = (
    Kind("report", "a benchmark's report, with its digest and with one made anew", _prepare_report, share=0.2),
    Kind("config", "TOML configurations", _prepare_config, share=0.5, may_differ=True),
    Kind("student", "a student's folder", _prepare_student, share=0.1, may_differ=True),
    Kind("labels", "GeoJSON, ROIs and label pictures", _prepare_labels, share=0.5, may_differ=True),
    Kind("tissuenet", "TissueNet's npz", _prepare_tissuenet, share=0.5, may_differ=True),
    Kind("store", "a teacher's store", _prepare_store, share=0.2),
    Kind("message", "what a live worker says", _prepare_message, share=0.5, may_differ=True),
    Kind("bomb", "what claims or unpacks to much, or never ends", _prepare_bomb, most=BOMBS),
)
