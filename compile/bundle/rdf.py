"""rdf.yaml: the artefact as the BioImage Model Zoo describes models (model description 0.5).

The zoo's "model" type knows neither OpenVINO nor TFLite weights: those are attachments. What the zoo runs is the same
student as plain ONNX, see compile.bundle.zoo; its preprocessing says the runtime's normalisation in the zoo's own
words.
"""

from __future__ import annotations

import gc
import hashlib
import io
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ruyaml
from bioimageio.spec import ValidationContext, validate_format
from bioimageio.spec.model.v0_5 import ModelDescr

from compile.bundle.zoo import MODEL, TEST_INPUT, TEST_OUTPUT
from runtime.errors import EdgescopeError
from runtime.metrics import HEADLINES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compile.bundle.zoo import ZooModel
    from runtime.artifact.manifest import Manifest

FILE = "rdf.yaml"
LICENCE = "Apache-2.0"
PAPER = {
    "text": "Single-Channel Tissue Segmentation via Cross-Modal Distillation",
    "doi": "10.48550/arXiv.2606.00928",
}
# Sums in another order let a value fall on the other side of a rounding's tie, and the pixels around it follow.
MISMATCHED_PER_MILLION = {"int8": 5000, "mixed": 5000}


def write_rdf(manifest: Manifest, name: str, zoo: ZooModel, files: Mapping[str, bytes]) -> str:
    """The description as YAML; EdgescopeError when bioimageio.spec does not accept it with its files and test tensors.

    files : everything that the description names: payload, card, and what `zoo` brings
    """
    text = io.StringIO()
    ruyaml.YAML().dump(_content(manifest, name, zoo, files), text)
    _check(text.getvalue(), name, files)
    return text.getvalue()


def _check(text: str, name: str, files: Mapping[str, bytes]) -> None:
    """Nothing is downloaded: all files that the description names are in its folder."""
    content = ruyaml.YAML(typ="safe").load(text)
    with tempfile.TemporaryDirectory(prefix="edgescope-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for file, data in files.items():
            (Path(folder) / file).write_bytes(data)
        # bioimageio.spec draws covers in a folder of its own that it leaves behind: it lies in this one.
        before, tempfile.tempdir = tempfile.tempdir, folder
        context = ValidationContext(root=Path(folder), file_name=FILE, perform_io_checks=True)
        try:
            summary = validate_format(content, context=context)
        finally:
            tempfile.tempdir = before
        gc.collect()  # bioimageio.spec leaves files open, which Windows does not remove
    if summary.status == "failed":
        problems = "; ".join(f"{'.'.join(map(str, item.loc))}: {item.msg}" for item in summary.errors)
        msg = f"The description of {name} is not a valid bioimageio.spec one: {problems}."
        raise EdgescopeError(msg)


def _content(manifest: Manifest, name: str, zoo: ZooModel, files: Mapping[str, bytes]) -> dict[str, Any]:
    free = not manifest.lineage.non_commercial
    terms = [] if free else ["non-commercial"]
    attachments = sorted(set(manifest.payload.values()))
    return {
        "format_version": ModelDescr.implemented_format_version,
        "type": "model",
        "name": name,
        "description": _description(manifest, free=free),
        "documentation": _file("CARD.md", files),
        "authors": [{"name": "edgescope"}],
        "cite": [PAPER],
        **({"license": LICENCE} if free else {}),  # else the terms stand below, in the words of their owners
        "tags": [
            "segmentation", "nuclei", "fluorescence-light-microscopy", "2d", manifest.target, manifest.precision, *terms
        ],
        "inputs": [_input(manifest, files)],
        "outputs": [_output(manifest, files)],
        "weights": {"onnx": {**_file(MODEL, files), "opset_version": zoo.opset}},
        "attachments": [_file(file, files) for file in attachments],
        "config": {"bioimageio": _reproducibility(manifest), "edgescope": _ours(manifest)},
    }  # fmt: skip


def _description(manifest: Manifest, *, free: bool) -> str:
    accuracy = manifest.accuracy
    measured = f" Mean Dice {accuracy.scores[HEADLINES[0]].mean:.4f} on {accuracy.data}." if accuracy else ""
    terms = "" if free else "For non-commercial use only. "
    return (
        f"{terms}{manifest.student} in {manifest.precision} for {manifest.target}: nuclei or cells in one fluorescence "
        f"channel.{measured}"
    )[:1000]


def _file(name: str, files: Mapping[str, bytes]) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}


def _input(manifest: Manifest, files: Mapping[str, bytes]) -> dict[str, Any]:
    how = manifest.normalization
    percentiles = {"min_percentile": how.low, "max_percentile": how.high}
    height, width = manifest.tile
    return {
        "id": "image",
        "description": "Raw intensities of one fluorescence channel, of any camera: they are scaled by percentiles.",
        "axes": [
            {"type": "batch", "size": 1},
            {"type": "channel", "channel_names": list(manifest.inputs[0].meaning)},
            {"type": "space", "id": "y", "size": height, **_pixel(manifest)},
            {"type": "space", "id": "x", "size": width, **_pixel(manifest)},
        ],
        "data": {"type": "float32"},
        "preprocessing": [
            {"id": "scale_range", "kwargs": {"axes": ["channel", "y", "x"], **percentiles}},
            {"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}},
        ],
        "test_tensor": _file(TEST_INPUT, files),
    }


def _output(manifest: Manifest, files: Mapping[str, bytes]) -> dict[str, Any]:
    size = {axis: {"tensor_id": "image", "axis_id": axis} for axis in "yx"}
    halo = manifest.overlap // 2
    return {
        "id": "probability",
        "description": f"Probabilities; the mask is where foreground is over {manifest.threshold:g}.",
        "axes": [
            {"type": "batch", "size": 1},
            {"type": "channel", "channel_names": list(manifest.channels)},
            *({"type": "space", "id": axis, "size": size[axis], "halo": halo, **_pixel(manifest)} for axis in "yx"),
        ],
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "test_tensor": _file(TEST_OUTPUT, files),
    }


def _pixel(manifest: Manifest) -> dict[str, Any]:
    return {} if manifest.pixel_size_um is None else {"unit": "micrometer", "scale": manifest.pixel_size_um}


def _reproducibility(manifest: Manifest) -> dict[str, Any]:
    mismatched = MISMATCHED_PER_MILLION.get(manifest.precision, 100)
    within = {"absolute_tolerance": 0.002, "relative_tolerance": 0.002, "mismatched_elements_per_million": mismatched}
    return {"reproducibility_tolerance": [within]}


def _ours(manifest: Manifest) -> dict[str, Any]:
    """What the zoo has no field for."""
    lineage = manifest.lineage.to_dict()
    del lineage["trained_on"]  # thousands of hashes, which the manifest holds
    return {
        "target": manifest.target,
        "precision": manifest.precision,
        "payload": dict(manifest.payload),
        "inputs": [tensor.to_dict() for tensor in manifest.inputs],
        "outputs": [tensor.to_dict() for tensor in manifest.outputs],
        "normalization": manifest.normalization.to_dict(),
        "tile": list(manifest.tile),
        "overlap": manifest.overlap,
        "threshold": manifest.threshold,
        "objects": manifest.objects.to_dict(),
        "accuracy": manifest.accuracy and manifest.accuracy.to_dict(),
        "non_commercial": manifest.lineage.non_commercial,
        "lineage": lineage,
    }
