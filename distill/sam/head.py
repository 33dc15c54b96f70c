"""A small head on SAM's frozen embedding: what is an object, without prompts.

Two nearest-neighbour upsamplings with 3x3 convolutions take the embedding (256 x 64 x 64) to one logit at a quarter of
the encoder's resolution (256 x 256), where SAM's own decoder speaks as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from distill.student.student import weights_digest
from runtime.artifact.manifest import Lineage
from runtime.errors import InputError
from runtime.records import Record

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from distill.sam.network import Encoded

SCHEMA_VERSION = 1
WEIGHTS, DESCRIPTION = "head.safetensors", "head.json"


@dataclass(frozen=True)
class HeadSpec(Record):
    """What a head was trained for, and under which SAM it belongs.

    size, rgb : of SAM, as in [teacher]; sam_sha256 : of its checkpoint; sam : where that lay
    embedding : channels of the embedding; width : of the head's first convolution
    labels : cells or nuclei; validation_dice : mean over the validation images, or None without
    """

    size: str
    rgb: tuple[str, ...]
    sam_sha256: str
    sam: str
    labels: str
    embedding: int = 256
    width: int = 64
    validation_dice: float | None = None


class Head(nn.Module):
    """(N, embedding, h, w) to logits (N, 4h, 4w)."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        width = spec.width
        self.layers = nn.Sequential(
            nn.Conv2d(spec.embedding, width, 3, padding=1),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width // 2, width // 4, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width // 4, 1, 1),
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """See the class."""
        return self.layers(embedding)[:, 0]


def save(head: Head, spec: HeadSpec, lineage: Lineage, folder: Path) -> None:
    """Write a head's files into an existing folder (the caller renames it into place)."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in head.state_dict().items()}
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(weights))
    description = {"schema_version": SCHEMA_VERSION, "spec": spec.to_dict(), "lineage": lineage.to_dict()}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Head, HeadSpec, Lineage]:
    """A head from its folder; InputError says what is missing, changed or wrong."""
    spec, lineage = _describe(folder / DESCRIPTION)
    head = Head(spec)
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
        head.load_state_dict(weights)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())[:120]
        msg = f"{folder / WEIGHTS} cannot be loaded ({reason}); train the head again: python -m distill head."
        raise InputError(msg) from error
    if (digest := weights_digest(weights)) != lineage.weights_sha256:
        msg = f"{folder / WEIGHTS} was changed: its digest is {digest[:12]}..., not {lineage.weights_sha256[:12]}..."
        raise InputError(msg)
    return head.eval().requires_grad_(requires_grad=False), spec, lineage


def _describe(path: Path) -> tuple[HeadSpec, Lineage]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        version = description["schema_version"]
        if version != SCHEMA_VERSION:
            msg = f"{path} has schema version {version!r}; this edgescope reads version {SCHEMA_VERSION}."
            raise InputError(msg)
        return HeadSpec.from_dict(description["spec"], "spec"), Lineage.from_dict(description["lineage"], "lineage")
    except OSError as error:
        msg = f"There is no head in {path.parent}: {path.name} is missing; train one: python -m distill head."
        raise InputError(msg) from error
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{path} is no description of a head ({type(error).__name__}: {error}); train it again."
        raise InputError(msg) from error


def predict(head: Head, encoded: Encoded) -> NDArray[np.float32]:
    """Probability (H, W) of a field, upsampled as SAM upsamples its own masks."""
    side = 16 * encoded.embedding.shape[-1]
    with torch.inference_mode():
        small = head(encoded.embedding[None])[:, None]
        full = functional.interpolate(small, (side, side), mode="bilinear", align_corners=False)
        height, width = encoded.input_size
        field = functional.interpolate(full[..., :height, :width], encoded.original_size, mode="bilinear")
        return torch.sigmoid(field[0, 0]).cpu().numpy()
