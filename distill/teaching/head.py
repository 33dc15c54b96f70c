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

from distill import datasets, teachers
from distill.networks.devices import choose
from distill.sam import checkpoint
from distill.sam.embeddings import Embeddings
from distill.sam.head import Head, HeadSpec, predict, save
from distill.sam.options import SamOptions
from distill.sam.rgb import Rgb
from distill.store import Store
from distill.teaching.lineage import lineage
from runtime.errors import InputError
from runtime.metrics import dice
from runtime.system.atomic import replacing
from runtime.system.places import check_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from distill.config.sections import Config
    from distill.datasets import Sample
    from distill.sam.network import Encoded

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Example:
    """A field to learn from: where its embedding is stored, and what the head should say, uint8 (4h, 4w), 255 is 1.

    truth : share of foreground; field : share that is no padding
    """

    name: str
    key: str
    truth: NDArray[np.uint8]
    field: NDArray[np.uint8]


def train(config: Config, out: Path, progress: Callable[[int, float], None]) -> HeadSpec:
    """Train as `config` says ([teacher] names SAM, [float] the steps) and leave the head in the folder ``out``.

    progress : called with the step and its loss. The same configuration and seed give the same head on one machine.
    """
    if out.exists():
        msg = f"{out} exists; choose another --out, or remove it to train again."
        raise InputError(msg)
    check_writable(out, "choose another --out")
    embeddings, spec = _set_up(config)
    sets = [datasets.open(spec, "train") for spec in config.data.train]
    examples = [_example(embeddings, sample, spec.labels) for data in sets for sample in data]
    if not examples:
        msg = f"{', '.join(config.data.train)} hold no training images."
        raise InputError(msg)
    torch.manual_seed(config.seed)
    head = Head(spec).to(embeddings.device)
    _optimize(head, embeddings, examples, config, progress)
    spec = replace(spec, validation_dice=_score(head.eval(), embeddings, config, spec.labels))
    weights = {name: value.cpu() for name, value in head.state_dict().items()}
    origin = replace(lineage(config, sets, weights), command="python -m distill head config.toml")
    with replacing(out) as folder:
        folder.mkdir()
        save(head, spec, origin, folder)
    return spec


def _set_up(config: Config) -> tuple[Embeddings, HeadSpec]:
    section = config.teacher
    options = teachers.options_of(section) if section.name else None
    if not isinstance(options, SamOptions):
        msg = f"A head stands on SAM, but teacher.name is {section.name!r}; set it to sam, and teacher.weights."
        raise InputError(msg)
    weights, device = checkpoint.inspect(section.weights, options.size), choose(section.device)
    store = Store(Path(section.store))
    store.check_writable()
    embeddings = Embeddings(weights, Rgb.of(options.rgb), store, device, section.half and device == "cuda")
    spec = HeadSpec(
        size=options.size,
        rgb=options.rgb,
        sam_sha256=weights.sha256,
        sam=section.weights,
        labels=config.data.labels,
        embedding=checkpoint.embedding_channels(weights),
    )
    return embeddings, spec


def _example(embeddings: Embeddings, sample: Sample, labels: str) -> Example:
    truth_labels = sample.labels_of(labels, "set data.labels")
    image = sample.planes(embeddings.rgb.channels)
    (encoded,) = embeddings.of([image], [sample.name])
    truth, field = target(truth_labels, encoded)
    log.info("head: embedding of %s computed", sample.name)
    return Example(sample.name, embeddings.key(embeddings.rgb.picture(image)), quantize(truth), quantize(field))


def _optimize(
    head: Head,
    embeddings: Embeddings,
    examples: Sequence[Example],
    config: Config,
    progress: Callable[[int, float], None],
) -> None:
    plan, rng = config.float, np.random.default_rng(config.seed)
    optimizer = torch.optim.AdamW(head.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.steps)
    for step in range(plan.steps):
        numbers = rng.choice(len(examples), min(plan.batch, len(examples)), replace=False)
        value = loss(*_batch(head, embeddings, [examples[number] for number in numbers]))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        progress(step + 1, value.item())


def _batch(head: Head, embeddings: Embeddings, examples: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """What the head says about examples, what it should say, and where: (N, 4h, 4w) each."""
    values = np.stack([embeddings.stored(one.key, one.name) for one in examples]).astype(np.float32)
    truth = np.stack([one.truth for one in examples]).astype(np.float32) / 255
    field = np.stack([one.field for one in examples]).astype(np.float32) / 255
    shown, truth, field = (torch.from_numpy(part).to(embeddings.device) for part in (values, truth, field))
    return head(shown), truth, field


def loss(logits: Tensor, truth: Tensor, field: Tensor) -> Tensor:
    """Binary cross-entropy + 1 - soft Dice of the pixels that are field; (N, 4h, 4w), truth and field in [0, 1]."""
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability, truth = torch.sigmoid(logits) * field, truth * field
    both = probability.sum((1, 2)) + truth.sum((1, 2))
    overlap = (2 * (probability * truth).sum((1, 2)) + 1) / (both + 1)
    return (entropy * field).sum() / field.sum() + (1 - overlap).mean()


def _score(head: Head, embeddings: Embeddings, config: Config, labels: str) -> float | None:
    """Mean Dice of the whole validation fields at probability one half; None without any."""
    found = []
    for data in (datasets.open(spec, "val") for spec in config.data.validation):
        for sample in data:
            (encoded,) = embeddings.of([sample.planes(embeddings.rgb.channels)], [sample.name])
            found.append(dice(predict(head, encoded) > 0.5, sample.labels_of(labels, "set data.labels") > 0))
    return round(float(np.mean(found)), 4) if found else None


def quantize(share: Tensor) -> NDArray[np.uint8]:
    """Values in [0, 1] as uint8, 255 is 1."""
    return (255 * share).round().to(torch.uint8).numpy()


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
