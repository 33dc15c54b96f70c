"""--layout ovms|triton: the folder that OpenVINO Model Server or Triton loads, beside the artefact it is made of.

A server knows nothing of frames: it is sent tiles that are normalised already, and answers with probabilities; the
folder's README.md says how. SHA256SUMS lists all that is in the folder, so that a later run replaces it, and never what
somebody else put there.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from runtime import atomic
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from runtime.artifact import Artifact
    from runtime.manifest import Manifest, TensorSpec

LAYOUTS = ("ovms", "triton")
SUMS = "SHA256SUMS"
# What each server is given: target to the roles of the payload that it loads, and what they are called there.
IR = {"openvino_xml": "model.xml", "openvino_bin": "model.bin"}
SERVED: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "ovms": {"intel": IR},
    "triton": {"intel": IR, "jetson": {"onnx": "model.onnx"}},
}


def served(layout: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the targets that the server can run; InputError when there is none, or no such layout."""
    if layout not in LAYOUTS:
        msg = f"Unknown layout {layout!r}; choose one of {', '.join(LAYOUTS)}."
        raise InputError(msg)
    found = tuple(target for target in wanted if target in SERVED[layout])
    if not found:
        why = {"jetson": "its engine is built on the board", "microscope": "its model belongs on the device"}
        reasons = "; ".join(f"{target}: {why.get(target, 'not known there')}" for target in wanted)
        msg = f"--layout {layout} serves {' and '.join(SERVED[layout])} alone ({reasons}); use --target intel."
        raise InputError(msg)
    return found


def check(layout: str | None, artifacts: Mapping[str, Path]) -> None:
    """Before the work is done: InputError when the layout serves none of the targets, or something is in its place.

    artifacts : target to where its artefact will be
    """
    if layout is not None:
        for target in served(layout, tuple(artifacts)):
            _check_place(place_of(layout, artifacts[target]))


def write(layout: str | None, artifacts: Sequence[Artifact]) -> None:
    """The folders of those artefacts that the server can run."""
    for artifact in artifacts:
        if layout is not None and artifact.manifest.target in SERVED[layout]:
            write_layout(layout, artifact)


def places(layout: str | None, artifacts: Sequence[Artifact]) -> list[Path]:
    """Where `write` writes them."""
    if layout is None:
        return []
    return [place_of(layout, one.path) for one in artifacts if one.manifest.target in SERVED[layout]]


def place_of(layout: str, artifact: Path) -> Path:
    """Where the folder is written: beside the artefact, NAME-ovms or NAME-triton."""
    return artifact.with_name(f"{artifact.name}-{layout}")


def write_layout(layout: str, artifact: Artifact) -> Path:
    """Write the folder as a whole, and return where; InputError when something else is there."""
    place = place_of(layout, artifact.path)
    _check_place(place)
    name, manifest = artifact.path.name, artifact.manifest
    files = {f"{name}/1/{file}": artifact.payload(role) for role, file in SERVED[layout][manifest.target].items()} | {
        path: text.encode() for path, text in CONFIGURED[layout](name, manifest).items()
    }
    files["README.md"] = _readme(layout, name, manifest).encode()
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(files.items()))
    with atomic.replacing(place) as partial:
        for path, data in {**files, SUMS: sums.encode()}.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            (partial / path).write_bytes(data)
    atomic.sweep(place)
    return place


def _check_place(place: Path) -> None:
    """Pass when nothing is there, or a folder that this made and nobody added to."""
    if not place.exists():
        return
    if not place.is_dir():
        msg = f"{place} is in the way and is not overwritten: it is a file; move it, or write elsewhere."
        raise InputError(msg)
    there = {path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir()}
    sums = place / SUMS
    known = {line.partition("  ")[2] for line in sums.read_text("utf-8").splitlines()} if sums.is_file() else set()
    if foreign := sorted(there - known - {SUMS}):
        msg = (
            f"{place} is in the way and is not overwritten: it holds {', '.join(foreign)}; move it, or write elsewhere."
        )
        raise InputError(msg)


def _ovms(name: str, manifest: Manifest) -> dict[str, str]:
    config = {
        "name": name,
        "base_path": name,  # relative to config.json
        "target_device": "CPU",
        "plugin_config": {"PERFORMANCE_HINT": "LATENCY", **manifest.hints},
    }
    return {"config.json": json.dumps({"model_config_list": [{"config": config}]}, indent=2) + "\n"}


def _triton(name: str, manifest: Manifest) -> dict[str, str]:
    intel = manifest.target == "intel"
    lines = [
        f'name: "{name}"',
        f'backend: "{"openvino" if intel else "onnxruntime"}"',
        f'default_model_filename: "{"model.xml" if intel else "model.onnx"}"',
        "max_batch_size: 0",
        *_tensor("input", manifest.inputs[0]),
        *_tensor("output", manifest.outputs[0]),
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        *(['parameters { key: "PERFORMANCE_HINT" value { string_value: "LATENCY" } }'] if intel else []),
    ]
    return {f"{name}/config.pbtxt": "\n".join(lines) + "\n"}


def _tensor(kind: str, tensor: TensorSpec) -> list[str]:
    dims = ", ".join(map(str, tensor.shape))
    return [f'{kind} [ {{ name: "{tensor.name}" data_type: TYPE_FP32 dims: [ {dims} ] }} ]']


CONFIGURED: Mapping[str, Callable[[str, Manifest], dict[str, str]]] = {"ovms": _ovms, "triton": _triton}
START = {
    "ovms": "ovms --config_path config.json --port 9000 --rest_port 8000",
    "triton": "tritonserver --model-repository=.",
}


def _readme(layout: str, name: str, manifest: Manifest) -> str:
    how, image, result = manifest.normalization, manifest.inputs[0], manifest.outputs[0]
    unpinned = (
        "Triton's OpenVINO backend has no precision hint: a CPU with bf16 may use that for what is not int8.\n"
        if layout == "triton" and manifest.target == "intel"
        else ""
    )
    terms = "**For non-commercial use only.** " if manifest.lineage.non_commercial else ""
    return f"""# {name} for {"OpenVINO Model Server" if layout == "ovms" else "Triton Inference Server"}

    {START[layout]}

`{image.name}`, float32 {list(image.shape)}: a tile of a frame whose intensities were scaled so that the percentiles
{how.low:g} and {how.high:g} of the whole frame are 0 and 1, and clipped there (`runtime.normalize`).
`{result.name}`, float32 {list(result.shape)}: {" and ".join(manifest.channels)}; the mask is where foreground is over
{manifest.threshold:g}. Frames are cut into tiles and blended by the client, as `runtime.tiling` does.

The model is the artefact's, and was replayed on its probes when it was compiled; the server itself was not run then.
{unpinned}{terms}Licences: {", ".join(manifest.lineage.licences)}. All about the student: CARD.md of the artefact.
"""
