"""What a training sees: decoded fields, who labels them, and crops by number."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lightning
from torch.utils.data import DataLoader

from distill import datasets
from distill.crops import CropStream, ready
from distill.objective import terms_of
from distill.spec import spec_of
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distill.config import Config
    from distill.crops import Field
    from distill.datasets import Dataset, Sample
    from distill.sections import DataSection, PhaseSection


class TrainingData(lightning.LightningDataModule):
    """The decoded training fields, the validation samples, and crops by number."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.spec = config, spec_of(config)
        self.train = [datasets.open(spec, "train") for spec in config.data.train]
        self.validation = [sample for spec in config.data.validation for sample in datasets.open(spec, "val")]
        self._check()
        self.used: list[Dataset] = []  # of each training set, the images that something is learnt from
        self.groups, self.share = self._groups()
        self.plan, self.stream = config.float, 0

    def for_phase(self, plan: PhaseSection, stream: int) -> TrainingData:
        """Draw from here on the crops of a phase; each phase has a stream of its own."""
        self.plan, self.stream = plan, stream
        return self

    def train_dataloader(self) -> DataLoader[Any]:
        """The crops of the next interval, counted from the optimiser's steps: a resumed run draws the same ones.

        Several processes share the interval's crops among them, so that a step sees the same crops on two devices
        with half the batch each.
        """
        assert self.trainer is not None
        step = self.plan.batch * self.plan.accumulate * self.trainer.world_size
        crops = CropStream(
            self.groups,
            self.share,
            self.spec.outputs,
            self.config.data.crop,
            self.config.augment,
            seed=2 * self.config.seed + self.stream,
            start=self.trainer.global_step * step,
            count=self.config.trainer.interval * step,
            with_instances=any(loss.needs_instances for loss in terms_of(self.config.loss).values()),
        )
        return DataLoader(crops, batch_size=self.plan.batch, num_workers=self.config.trainer.workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """Whole samples, one at a time."""
        return DataLoader(self.validation, batch_size=None)

    def _groups(self) -> tuple[list[list[Field]], list[float]]:
        """The fields with labels, and those that a teacher alone speaks for, as sets with their shares."""
        section, groups, shares = self.config.data, [], []
        for data, share in zip(self.train, section.share or (1.0,) * len(self.train), strict=True):
            with_labels, without = divide(data, section, self.config.seed)
            taught = bool(self.config.teacher.name) and len(without) > 0
            self.used.append(data.subset([*with_labels.names, *(without.names if taught else ())]))
            groups.append(self._fields([*with_labels], section.labels))
            shares.append(share * (1 - section.taught) if taught else share)
            if taught:
                groups.append(self._fields([*without], None))
                shares.append(share * section.taught)
        return groups, shares

    def _fields(self, samples: Sequence[Sample], labels: str | None) -> list[Field]:
        how, channels = self.spec.normalization, self.spec.channels
        fields = [ready(s.planes(channels), s.labels[labels] if labels else None, how) for s in samples]
        if not self.config.teacher.name:
            return fields
        from distill import soft_labels  # zarr, for those who have a teacher

        soft = soft_labels.obtain(self.config.teacher, samples)
        return [replace(field, soft=plane) for field, plane in zip(fields, soft, strict=True)]

    def _check(self) -> None:
        for data, spec in zip(self.train, self.config.data.train, strict=True):
            if not len(data):
                msg = f"{spec} holds no training images."
                raise InputError(msg)
        if not self.validation:
            msg = f"{', '.join(self.config.data.validation)} holds no validation images."
            raise InputError(msg)
        wanted = self.config.data.labels
        for sample in [data[0] for data in self.train] + self.validation:
            sample.planes(self.spec.channels)
            if wanted not in sample.labels:
                msg = f"{sample.name} has labels {sorted(sample.labels)}, not {wanted!r}; set data.labels."
                raise InputError(msg)


def divide(data: Dataset, section: DataSection, seed: int) -> tuple[Dataset, Dataset]:
    """The part of a training set whose labels are used, and the rest.

    The labelled parts of a seed lie inside each other: 5 % of the images are among the 10 %. At least one image keeps
    its labels. What section.fold leaves out is in neither part.
    """
    ranked = sorted(data.names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    count = math.ceil(section.labelled * len(ranked))
    left_out = set(ranked[section.fold[0] :: section.fold[1]]) if section.fold else set()
    if left_out.issuperset(ranked[:count]):
        msg = f"data.fold {list(section.fold)} leaves none of the {count} labelled image(s); give fewer folds."
        raise InputError(msg)
    first = [name for name in data.names if name in ranked[:count] and name not in left_out]
    rest = [name for name in data.names if name in ranked[count:] and name not in left_out]
    return data.subset(first), data.subset(rest)
