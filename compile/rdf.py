"""rdf.yaml: the artefact as the BioImage Model Zoo describes resources (generic description 0.3).

The zoo's "model" type knows neither OpenVINO nor TFLite weights, so all targets use the generic one and put what is
ours under ``config``.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import ruyaml
from bioimageio.spec import ValidationContext, validate_format

from runtime.errors import EdgescopeError

if TYPE_CHECKING:
    from runtime.manifest import Manifest

FORMAT = "0.3.0"
LICENCE = "Apache-2.0"


def write_rdf(manifest: Manifest, name: str) -> str:
    """The description as YAML; EdgescopeError when bioimageio.spec does not accept it."""
    content = _content(manifest, name)
    summary = validate_format(content, context=ValidationContext(perform_io_checks=False))
    if summary.status == "failed":
        problems = "; ".join(f"{'.'.join(map(str, item.loc))}: {item.msg}" for item in summary.errors)
        msg = f"The description of {name} is not a valid bioimageio.spec one: {problems}."
        raise EdgescopeError(msg)
    text = io.StringIO()
    ruyaml.YAML().dump(content, text)
    return text.getvalue()


def _content(manifest: Manifest, name: str) -> dict[str, Any]:
    accuracy = manifest.accuracy
    licences = manifest.lineage.licences
    free = not manifest.lineage.non_commercial
    return {
        "format_version": FORMAT,
        "type": "generic",
        "name": name,
        "description": (
            f"{manifest.student} in {manifest.precision} for {manifest.target}: nuclei or cells in one fluorescence "
            f"channel. Mean Dice {accuracy['dice_mean']:.4f} on {accuracy['data']}."
        )[:1000],
        "documentation": "CARD.md",
        "authors": [{"name": "edgescope"}],
        "cite": [
            {
                "text": "Single-Channel Tissue Segmentation via Cross-Modal Distillation",
                "doi": "10.48550/arXiv.2606.00928",
            }
        ],
        **({"license": LICENCE} if free else {}),  # else the terms stand below, in the words of their owners
        "tags": ["segmentation", "nuclei", "fluorescence-light-microscopy", "2d", manifest.target, manifest.precision],
        "attachments": [{"source": file} for file in sorted(manifest.payload.values())],
        "config": {
            "edgescope": {
                "licences": list(licences),
                "payload": dict(manifest.payload),
                "inputs": [tensor.to_dict() for tensor in manifest.inputs],
                "outputs": [tensor.to_dict() for tensor in manifest.outputs],
                "normalization": manifest.normalization.to_dict(),
                "threshold": manifest.threshold,
            }
        },
    }
