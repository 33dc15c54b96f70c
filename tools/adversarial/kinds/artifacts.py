"""Artefacts: spoilt with their sums kept, which nothing may pass, and with sums made anew, which the probe judges."""

import hashlib
import io
import json
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from numpy.random import Generator

from runtime import Segmenter
from runtime.artifact.artifact import MANIFEST, SUMS, Artifact, open_artifact
from runtime.artifact.probes import ProbeSet, replay
from tools.adversarial.bench import DIFFERENT, EQUAL, Attempt, Kind, Setup, Wrong, lay_out
from tools.adversarial.damage import spoil, spoil_json, spoil_text

FRAME = (
    np.random.default_rng(1).normal(400, 60, (90, 110)) + 2000 * (np.hypot(*np.mgrid[-45:45, -55:55]) < 12)
).astype(np.uint16)


def _opened(setup: Setup) -> list[Artifact]:
    return [open_artifact(path) for path in setup.artifacts]


def _pick(artifacts: list[Artifact], dice: Generator) -> Artifact:
    return artifacts[int(dice.integers(0, len(artifacts)))]


def _prepare_kept(setup: Setup) -> Attempt:
    artifacts = _opened(setup)
    zips = {artifact.path: _zipped(artifact.files) for artifact in artifacts}

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        source = _pick(artifacts, dice)
        place = folder / "artifact"
        if dice.random() < 0.3:
            place = folder / "artifact.zip"
            place.write_bytes(spoil(zips[source.path], dice))
        else:
            files = dict(source.files)
            names = sorted(files)
            name = names[int(dice.integers(0, len(names)))]
            match int(dice.integers(0, 8)):
                case 0:
                    del files[name]
                case 1:
                    files[f"{name}{dice.choice(['.x', '~', ' ', '.partial'])}"] = files[name]
                case 2:
                    other = names[int(dice.integers(0, len(names)))]
                    files[name], files[other] = files[other], files[name]
                case _:
                    files[name] = spoil(files[name], dice)
            lay_out(place, files, source.path, source.files)
            if dice.random() < 0.05:
                (place / name).unlink(missing_ok=True)
                (place / name).symlink_to(source.path / name)
        return EQUAL if open_artifact(place).files == source.files else DIFFERENT

    return attempt


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def with_sums(files: dict[str, bytes], manifest: bytes | None = None) -> dict[str, bytes]:
    """The files with sizes and sums that fit, as somebody who means harm would write them."""
    files = {name: data for name, data in files.items() if name != SUMS}
    if manifest is None:
        content = json.loads(files[MANIFEST])
        content["files"] = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in files.items()
            if name != MANIFEST
        }
        manifest = json.dumps(content).encode()
    files[MANIFEST] = manifest
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return {**files, SUMS: "".join(lines).encode()}


def _judge(place: Path, source: Artifact, probes: ProbeSet) -> str:
    """Open and use what was spoilt: EQUAL where the network still computes what the true probes say."""
    with Segmenter.open(place, threads=1) as segment:
        try:
            segment(FRAME).objects()
            outputs = replay(
                segment.run_tile, probes, source.manifest.threshold, source.manifest.channels.index("foreground")
            )
        except Exception as error:  # it was opened, and so it must work
            msg = f"opened, and then: {type(error).__name__}: {error}"
            raise Wrong(msg) from error
    misses = outputs.misses(source.manifest.tolerance)
    if misses and segment.manifest.tolerance == source.manifest.tolerance:
        msg = f"the probe at open passed, and {'; '.join(misses)}"
        raise Wrong(msg)
    return DIFFERENT if misses else EQUAL


def _prepare_anew(part: str, setup: Setup) -> Attempt:
    artifacts = _opened(setup)
    probes = {artifact.path: artifact.probes() for artifact in artifacts}

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        source = _pick(artifacts, dice)
        files = dict(source.files)
        if part == "manifest":
            spoilt = spoil_json(files[MANIFEST].decode(), dice).encode()
            files = with_sums(files, spoilt)
        elif part == "probes":
            name = source.manifest.probes.file
            files[name] = _spoilt_probes(probes[source.path], dice) if dice.random() < 0.5 else spoil(files[name], dice)
            files = with_sums(files)
        else:
            names = sorted(source.manifest.payload.values())
            name = names[int(dice.integers(0, len(names)))]
            text = name.endswith(".xml") and dice.random() < 0.5
            files[name] = spoil_text(files[name].decode(), dice).encode() if text else spoil(files[name], dice)
            files = with_sums(files)
        lay_out(folder / "artifact", files, source.path, source.files)
        return _judge(folder / "artifact", source, probes[source.path])

    return attempt


def _spoilt_probes(probes: ProbeSet, dice: Generator) -> bytes:
    arrays: dict[str, np.ndarray] = {"inputs": probes.inputs.copy(), "outputs": probes.outputs.copy()}
    name = str(dice.choice(list(arrays)))
    match int(dice.integers(0, 7)):
        case 0:
            arrays[name].flat[int(dice.integers(0, arrays[name].size))] = dice.choice([np.nan, np.inf, -1, 2, 1e38])
        case 1:
            arrays[name] = arrays[name].astype(str(dice.choice(["float64", "float16", "uint8", "complex64", ">f4"])))
        case 2:
            arrays[name] = arrays[name][..., : int(dice.integers(0, 64))]
        case 3:
            arrays[name] = np.roll(arrays[name], int(dice.integers(1, 20)), axis=-1)
        case 4:
            arrays[name] = arrays[name] * np.float32(dice.uniform(0, 1.2))
        case 5:
            arrays["more"] = arrays[name]
        case _:
            arrays[name] = arrays[name][:: int(dice.choice([-1, 2]))]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


KINDS = (
    Kind("artifact", "an artefact's files or its zip, sums kept", _prepare_kept),
    Kind("manifest", "fields of a manifest, sums made anew", partial(_prepare_anew, "manifest"), share=0.3),
    Kind("payload", "the model file, sums made anew", partial(_prepare_anew, "payload"), share=0.15),
    Kind("probes", "probes, sums made anew", partial(_prepare_anew, "probes"), share=0.15),
)
