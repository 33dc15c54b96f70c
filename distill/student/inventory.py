"""The size of the students: parameters by both conventions, those of the paper, and multiply-adds of one tile.

Students are built without weights (on torch's meta device) for this, so that counting takes seconds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from distill import students
from distill.networks.spec import StudentSpec
from distill.student import description
from distill.student import student as student_files
from distill.student.validation import DEEPEST
from runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

TILE = (256, 256)  # pixels; multiply-adds are counted for one such tile
LIBRARY_DECODER = (256, 128, 64, 32, 16)  # what segmentation-models-pytorch builds when it is told nothing


def size(spec: StudentSpec) -> dict[str, float | None]:
    """Millions of parameters of the backbone, of the whole student and of the paper's backbone; GMAC for 256 x 256.

    GMAC: 10^9 multiply-adds of convolutions and matrix products, half of what torch's counter calls FLOP.
    """
    family = students.load(spec.family)
    with torch.device("meta"):
        model = family.build(replace(spec, tile=TILE)).eval()
        return {
            **student_files.module_parameters(model),
            "paper_backbone_m": family.paper_parameters_m,
            "gmac": round(_multiply_adds(model, len(spec.channels)) / 1e9, 3),
        }


def decoders() -> dict[str, tuple[int, ...]]:
    """Decoder widths that people compare, by name: of a spec that says nothing, and of smp."""
    return {"default": StudentSpec("default", "").decoder, "library": LIBRARY_DECODER}


def inventory() -> list[dict[str, Any]]:
    """One row per student family, with squeeze-excite gates where the family has them.

    Keys: name, paper_backbone_m (or None), backbone_m, decoders (name to decoder, whole_m, gmac), head_stride, stride,
    int8, no_int8. A decoder that ends before full resolution is compared without the widths of its last stages.
    """
    compared = decoders()
    return [_row(name, compared) for name in students.names()]


def bundled() -> list[dict[str, Any]]:
    """One row per bundled student: what it finds, how well, and what it costs.

    Keys: name, default, labels, object_diameter_px (or None), precision, images (validated on), scores (a headline
    metric to its mean over these images), whole_m, gmac, mb (weights on disk).
    """
    return [_bundled(name) for name in description.names()]


def _bundled(name: str) -> dict[str, Any]:
    told = description.describe(name)
    precision, scored = next(iter(told.metrics["validation"].items()))
    cost, object_size = size(told.spec), told.spec.object_diameter
    return {
        "name": name,
        "default": name == description.DEFAULT,
        "labels": told.labels,
        "object_diameter_px": object_size.median_px if object_size else None,
        "precision": precision,
        "images": scored["images"],
        "scores": {metric: scored["scores"][metric]["mean"] for metric in metrics.HEADLINES},
        "whole_m": cost["whole_m"],
        "gmac": cost["gmac"],
        "mb": round((description.folder_of(name) / student_files.WEIGHTS).stat().st_size / 1e6, 1),
    }


def _row(name: str, compared: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    family = students.load(name)
    head_stride = family.head_strides[0]
    specs = {
        label: _cut(StudentSpec(name, name, decoder=decoder, head_stride=head_stride))
        for label, decoder in compared.items()
    }
    sizes = {label: size(spec) for label, spec in specs.items()}
    return {
        "name": name,
        "paper_backbone_m": family.paper_parameters_m,
        "backbone_m": sizes["default"]["backbone_m"],
        "decoders": {
            label: {"decoder": list(specs[label].decoder), "whole_m": found["whole_m"], "gmac": found["gmac"]}
            for label, found in sizes.items()
        },
        "head_stride": head_stride,
        "stride": family.stride,
        "int8": family.no_int8 is None,
        "no_int8": family.no_int8,
    }


def _cut(spec: StudentSpec) -> StudentSpec:
    """The spec without the decoder stages that lie beyond its head."""
    return replace(spec, decoder=spec.decoder[: len(spec.decoder) - (spec.depth - DEEPEST)])


def _multiply_adds(model: nn.Module, channels: int) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, channels, *TILE))
    return counter.get_total_flops() / 2
