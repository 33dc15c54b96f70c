"""--layout ovms|triton|czann: write a folder that OpenVINO Model Server, Triton or ZEN loads.

A server knows nothing of frames: it is sent tiles that are normalised already, and answers with probabilities; the
folder's README.md says how. SHA256SUMS lists all that is in the folder, so that a later run replaces it, and never what
somebody else put there.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.system import atomic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from compile.target import Served
    from runtime.artifact.artifact import Artifact
    from runtime.artifact.manifest import Manifest, TensorSpec

SUMS = "SHA256SUMS"


def check(layout: str, artifact: Path) -> None:
    """Before the work is done: InputError when something is where the folder of an artefact would be written."""
    _check_place(place_of(layout, artifact))


def place_of(layout: str, artifact: Path) -> Path:
    """The folder next to the artefact: NAME-ovms, NAME-triton or NAME-czann."""
    return artifact.with_name(f"{artifact.name}-{layout}")


def write(layout: str, artifact: Artifact, served: Served) -> Path:
    """Write the folder as a whole, and return where; InputError when something else is there.

    layout : of SERVERS, or "czann"; served : what the artefact's target says that the server is given
    """
    place = place_of(layout, artifact.path)
    _check_place(place)
    files = _for_zen(artifact) if layout == CZANN else _for_server(SERVERS[layout], artifact, served)
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(files.items()))
    with atomic.replacing(place) as partial:
        for path, data in {**files, SUMS: sums.encode()}.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            (partial / path).write_bytes(data)
    atomic.sweep(place)
    return place


def _for_server(server: Server, artifact: Artifact, served: Served) -> dict[str, bytes]:
    name, manifest = artifact.path.name, artifact.manifest
    files = {f"{name}/1/{file}": artifact.payload(role) for role, file in served.files.items()}
    files |= {path: text.encode() for path, text in server.configure(name, manifest, served).items()}
    return {**files, "README.md": _readme(server, name, manifest, served).encode()}


def _for_zen(artifact: Artifact) -> dict[str, bytes]:
    from compile.bundle.czann import czann  # onnx, which the servers' folders do not need

    name, manifest = artifact.path.name, artifact.manifest
    readme = ZEN_README.format(
        name=name,
        tile=f"{manifest.tile[0]}x{manifest.tile[1]}",
        low=f"{manifest.normalization.low:g}",
        high=f"{manifest.normalization.high:g}",
        licences=", ".join(manifest.lineage.licences),
        terms="**For non-commercial use only.** " if manifest.lineage.non_commercial else "",
    )
    return {f"{name}.czann": czann(artifact), "README.md": readme.encode()}


def _check_place(place: Path) -> None:
    """Pass when nothing is there, or a folder that this made and nobody added to."""
    if not place.exists():
        return
    if not place.is_dir():
        msg = f"{place} is in the way and is not overwritten: it is a file; move it, or write elsewhere."
        raise InputError(msg)
    present = {path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir()}
    sums = place / SUMS
    ours = {line.partition("  ")[2] for line in sums.read_text("utf-8").splitlines()} if sums.is_file() else set()
    if foreign := sorted(present - ours - {SUMS}):
        msg = (
            f"{place} is in the way and is not overwritten: it holds {', '.join(foreign)}; move it, or write elsewhere."
        )
        raise InputError(msg)


def _ovms(name: str, manifest: Manifest, served: Served) -> dict[str, str]:
    config = {
        "name": name,
        "base_path": name,  # relative to config.json
        "target_device": "CPU",
        "plugin_config": {**({HINT: LATENCY} if served.hint else {}), **manifest.hints},
    }
    return {"config.json": json.dumps({"model_config_list": [{"config": config}]}, indent=2) + "\n"}


def _triton(name: str, manifest: Manifest, served: Served) -> dict[str, str]:
    lines = [
        f'name: "{name}"',
        f'backend: "{served.backend}"',
        f'default_model_filename: "{next(iter(served.files.values()))}"',
        "max_batch_size: 0",
        *_tensor("input", manifest.inputs[0]),
        *_tensor("output", manifest.outputs[0]),
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        *([f'parameters {{ key: "{HINT}" value {{ string_value: "{LATENCY}" }} }}'] if served.hint else []),
    ]
    return {f"{name}/config.pbtxt": "\n".join(lines) + "\n"}


def _tensor(kind: str, tensor: TensorSpec) -> list[str]:
    dims = ", ".join(map(str, tensor.shape))
    return [f'{kind} [ {{ name: "{tensor.name}" data_type: TYPE_FP32 dims: [ {dims} ] }} ]']


HINT, LATENCY = "PERFORMANCE_HINT", "LATENCY"


@dataclass(frozen=True)
class Server:
    """A model server. start : the command in its folder; configure : its configuration files by path."""

    title: str
    start: str
    configure: Callable[[str, Manifest, Served], dict[str, str]]


CZANN = "czann"
ZEN_README = """# {name} for ZEISS ZEN and arivis

Import `{name}.czann` as an AI model. It finds the foreground of tiles of {tile} pixels; touching objects are separated
in ZEN, by a watershed for example.

Tiles are scaled between their own percentiles {low} and {high}, as ZEN hands over no frames. So a tile without any
object shows noise: compile with a larger `--tile`, at best of a whole frame. Elsewhere the percentiles are the
frame's, and the accuracy in CARD.md is of that.

The file was read by ZEISS's package czmodel and run with ONNX Runtime in our tests; ZEN itself was not at hand.
{terms}Licences: {licences}. All about the student: CARD.md of the artefact.
"""

SERVERS = {
    "ovms": Server("OpenVINO Model Server", "ovms --config_path config.json --port 9000 --rest_port 8000", _ovms),
    "triton": Server("Triton Inference Server", "tritonserver --model-repository=.", _triton),
}


def _readme(server: Server, name: str, manifest: Manifest, served: Served) -> str:
    image, result = manifest.inputs[0], manifest.outputs[0]
    low, high = manifest.normalization.low, manifest.normalization.high
    note = f"{served.note}\n" if served.note else ""
    terms = "**For non-commercial use only.** " if manifest.lineage.non_commercial else ""
    return f"""# {name} for {server.title}

    {server.start}

`{image.name}`, float32 {list(image.shape)}: a tile of a frame whose intensities were scaled so that the percentiles
{low:g} and {high:g} of the whole frame are 0 and 1, and clipped there (`runtime.frames.normalize`).
`{result.name}`, float32 {list(result.shape)}: {" and ".join(manifest.channels)}; the mask is where foreground is over
{manifest.threshold:g}. Frames are cut into tiles and blended by the client, as `runtime.frames.tiling` does.

The model is the artefact's, and was replayed on its probes when it was compiled; the server itself was not run then.
{note}{terms}Licences: {", ".join(manifest.lineage.licences)}. All about the student: CARD.md of the artefact.
"""
