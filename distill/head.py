"""Training a head on SAM's frozen embedding, for `python -m distill head`.

The encoder runs once an image, whatever the steps: its embeddings come from the store of the soft labels. The head
learns at its own resolution, from the share of each of its pixels that is foreground; the padding is left out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from distill import datasets
from distill.devices import choose
from distill.lineage import lineage
from distill.sam import checkpoint
from distill.sam.embeddings import Embeddings
from distill.sam.head import Head, HeadSpec, save
from distill.sam.rgb import Rgb
from distill.store import Store
from distill.views import labels_of
from runtime.atomic import replacing
from runtime.errors import InputError
from runtime.overlap import dice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from distill.config import Config
    from distill.datasets import Dataset, Sample
    from distill.sam.network import Encoded

log = logging.getLogger(__name__)


@dataclass
class Trainer:
    """What training and scoring share."""

    embeddings: Embeddings
    head: Head
    labels: str

    def encode(self, samples: Sequence[Sample]) -> list[Encoded]:
        """From the store, or computed."""
        planes = [sample.planes(self.embeddings.rgb.channels) for sample in samples]
        return self.embeddings.of(planes, [sample.name for sample in samples])

    def loss(self, samples: Sequence[Sample]) -> Tensor:
        """Binary cross-entropy plus 1 - soft Dice, over the pixels that are field."""
        encoded = self.encode(samples)
        logits = self.head(torch.stack([one.embedding for one in encoded]))
        pairs = [target(labels_of(sample, self.labels), one) for sample, one in zip(samples, encoded, strict=True)]
        truth, field = (torch.stack(part).to(logits.device) for part in zip(*pairs, strict=True))
        each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        entropy = (each * field).sum() / field.sum()
        probability = torch.sigmoid(logits) * field
        overlap = 2 * (probability * truth).sum((1, 2)) + 1
        return entropy + (1 - overlap / (probability.sum((1, 2)) + (truth * field).sum((1, 2)) + 1)).mean()

    def score(self, samples: Dataset) -> float | None:
        """Mean Dice of whole fields at probability one half; None without images."""
        found = []
        for sample in samples:
            (encoded,) = self.encode([sample])
            found.append(dice(predict(self.head, encoded) > 0.5, labels_of(sample, self.labels) > 0))
        return float(np.mean(found)) if found else None


def train(config: Config, out: Path, progress: Callable[[int, float], None]) -> HeadSpec:
    """Train as `config` says ([teacher] names SAM, [float] the steps) and leave the head in the folder ``out``.

    progress : called with the step and its loss. The same configuration and seed give the same head on one machine.
    """
    if out.exists():
        msg = f"{out} exists; choose another --out, or remove it to train again."
        raise InputError(msg)
    sets = [datasets.open(spec, "train") for spec in config.data.train]
    trainer, spec = _trainer(config)
    samples = [(data, index) for data in sets for index in range(len(data))]
    if not samples:
        msg = f"{', '.join(config.data.train)} hold no training images."
        raise InputError(msg)
    plan, rng = config.float, np.random.default_rng(config.seed)
    optimizer = torch.optim.AdamW(trainer.head.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.steps)
    for step in range(plan.steps):
        chosen = rng.choice(len(samples), min(plan.batch, len(samples)), replace=False)
        loss = trainer.loss([samples[number][0][samples[number][1]] for number in chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress(step + 1, loss.item())
    trainer.head.eval()
    scores = [trainer.score(datasets.open(spec, "val")) for spec in config.data.validation]
    known = [score for score in scores if score is not None]
    spec = replace(spec, validation_dice=round(float(np.mean(known)), 4) if known else None)
    weights = {name: value.cpu() for name, value in trainer.head.state_dict().items()}
    origin = replace(lineage(config, sets, weights), command="python -m distill head config.toml")
    with replacing(out) as folder:
        folder.mkdir()
        save(trainer.head, spec, origin, folder)
    return spec


def target(labels: NDArray[np.int32], encoded: Encoded) -> tuple[Tensor, Tensor]:
    """What the head learns of a field: foreground share and whether a pixel is field, both float32 (4h, 4w)."""
    small = tuple(4 * side for side in encoded.embedding.shape[-2:])
    side = 16 * encoded.embedding.shape[-1]
    mask = torch.from_numpy((labels > 0).astype(np.float32))[None, None]
    scaled = functional.interpolate(mask, encoded.input_size, mode="bilinear", antialias=True)[0, 0]
    height, width = encoded.input_size
    padding = (0, side - width, 0, side - height)
    both = torch.stack([functional.pad(plane, padding) for plane in (scaled, torch.ones_like(scaled))])
    truth, field = functional.interpolate(both[None], small, mode="area")[0]
    return (truth / field.clamp(min=1e-6)).clamp(0, 1), field


def predict(head: Head, encoded: Encoded) -> NDArray[np.float32]:
    """Probability (H, W) of a field, upsampled as SAM upsamples its own masks."""
    side = 16 * encoded.embedding.shape[-1]
    with torch.inference_mode():
        small = head(encoded.embedding[None])[:, None]
        full = functional.interpolate(small, (side, side), mode="bilinear", align_corners=False)
        height, width = encoded.input_size
        field = functional.interpolate(full[..., :height, :width], encoded.original_size, mode="bilinear")
        return torch.sigmoid(field[0, 0]).cpu().numpy()


def _trainer(config: Config) -> tuple[Trainer, HeadSpec]:
    section = config.teacher
    if section.name != "sam":
        msg = f"A head stands on SAM, but teacher.name is {section.name!r}; set it to sam, and teacher.weights."
        raise InputError(msg)
    weights, rgb = checkpoint.inspect(section.weights, section.size), Rgb.of(section.rgb)
    device = choose(section.device)
    store = Store(Path(section.store))
    store.check_writable()
    embeddings = Embeddings(weights, rgb, store, device, section.half and device == "cuda")
    spec = HeadSpec(
        size=section.size,
        rgb=section.rgb,
        sam_sha256=weights.sha256,
        sam=section.weights,
        labels=config.data.labels,
        embedding=checkpoint.embedding_channels(weights),
    )
    torch.manual_seed(config.seed)
    return Trainer(embeddings, Head(spec).to(device), config.data.labels), spec
