"""What a training sees: decoded fields, who labels them, and crops by number."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, DistributedSampler

from distill import datasets
from distill.networks.spec import spec_of
from distill.teaching.online import is_online
from distill.training.crops.device import CropPlan, DeviceCrops, PlanStream
from distill.training.crops.host import CropStream, object_zoom, ready
from distill.training.objective import check_teacher_used, terms_of
from runtime.artifact.manifest import ObjectSize
from runtime.errors import InputError
from runtime.frames.scale import median_diameter_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from distill.config.sections import Config, DataSection, PhaseSection
    from distill.datasets import Dataset, Sample
    from distill.training.crops.host import CropField

log = logging.getLogger(__name__)

REMEDY = "set data.labels"
MEASURED = 200  # crops, for the size of their objects


class TrainingData(lightning.LightningDataModule):
    """The decoded training fields, the validation samples, and crops by number."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.spec = config, spec_of(config)
        self.train = [datasets.open(spec, "train") for spec in config.data.train]
        self.validation = [sample for spec in config.data.validation for sample in datasets.open(spec, "val")]
        self._check()
        self.used: list[Dataset] = []  # of each training set, the images that something is learnt from
        self.soft: list[dict[str, NDArray[np.uint8]]] = []  # of each, what the teacher says, by the image's name
        self.groups, self.share = self._groups()
        self.plan, self.stream = config.float, 0
        self.device_crops: DeviceCrops | None = None

    def for_phase(self, plan: PhaseSection, stream: int) -> TrainingData:
        """Draw from here on the crops of a phase; each phase has a stream of its own."""
        self.plan, self.stream = plan, stream
        self.device_crops = None
        return self

    def train_dataloader(self) -> DataLoader[Any]:
        """The crops of the next interval, counted from the optimiser's steps: a resumed run draws the same ones.

        Several processes share the interval's crops among them, so that a step sees the same crops on two devices
        with half the batch each.
        """
        assert self.trainer is not None
        step = self.plan.batch * self.plan.accumulate * self.trainer.world_size
        on_device = self.config.trainer.crops == "device"
        kind = PlanStream if on_device else CropStream
        crops = self._stream(kind, self.trainer.global_step * step, self.config.trainer.interval * step)
        if on_device and self.device_crops is None:
            self.device_crops = DeviceCrops(crops, self.trainer.strategy.root_device)
        # Lightning's own sampler shuffles: then a step would see other crops on two devices than on one.
        sampler = DistributedSampler(crops, self.trainer.world_size, self.trainer.global_rank, shuffle=False)
        return DataLoader(crops, batch_size=self.plan.batch, sampler=sampler, num_workers=self.config.trainer.workers)

    def object_size(self) -> ObjectSize | None:
        """The size of the objects in the training crops, where they are brought to one size; else None."""
        median = self.config.data.object_diameter
        if not median:
            return None
        crops = self._stream(CropStream, 0, MEASURED, with_instances=True)
        diameters = [median_diameter_of(crops[number].instances.numpy()) for number in range(MEASURED)]
        low, high = np.percentile([each for each in diameters if each is not None] or [median], (5, 95))
        return ObjectSize(median, round(min(median, float(low)), 2), round(max(median, float(high)), 2))

    def first_images(self, count: int) -> torch.Tensor:
        """What the student sees in the first ``count`` crops of this phase, (count, C, crop, crop)."""
        crops = self._stream(CropStream, 0, count)
        return torch.stack([crops[number].image for number in range(count)])

    def _stream(self, kind: type[CropStream], start: int, count: int, with_instances: bool = False) -> CropStream:
        return kind(
            self.groups,
            self.share,
            self.spec.outputs,
            self.config.data.crop,
            self.config.augment,
            seed=2 * self.config.seed + self.stream,
            start=start,
            count=count,
            core=self.config.data.core,
            small_nuclei=self.config.data.small_nuclei,
            with_instances=with_instances or any(loss.needs_instances for loss in terms_of(self.config.loss).values()),
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Crops, where the loader gave plans of them."""
        if isinstance(batch, CropPlan):
            assert self.device_crops is not None
            return self.device_crops.cut(batch)
        return batch

    def val_dataloader(self) -> DataLoader[Any]:
        """Whole samples, one at a time."""
        return DataLoader(self.validation, batch_size=None)

    def _groups(self) -> tuple[list[list[CropField]], list[float]]:
        """The fields with labels, and those that only the teacher labels, as sets with their shares."""
        section, groups, shares = self.config.data, [], []
        for data, share in zip(self.train, section.share or (1.0,) * len(self.train), strict=True):
            labelled, alone = self._divided(data)
            soft = self._soft(data, {sample.name: sample for sample in (*labelled, *alone)})
            if soft:
                soft, alone = self._completed(soft, labelled, alone)
            self.used.append(data.subset([sample.name for sample in (*labelled, *alone)]))
            self.soft.append(soft)
            if labelled:
                groups.append(self._fields(labelled, soft, with_labels=True))
                shares.append(share * (1 - section.taught) if alone else share)
            if alone:
                groups.append(self._fields(alone, soft, with_labels=False))
                shares.append(share * section.taught if labelled else share)
        taught = [field for group in groups for field in group if field.labelled]
        if taught and not self.config.teacher.name and not any(field.labels.any() for field in taught):
            raise no_objects(len(taught), "labelled training images")
        if not groups or (self.config.loss.supervised and not any(group[0].labelled for group in groups)):
            self.train[0][0].labels_of(section.labels, REMEDY)
        return groups, shares

    def _divided(self, data: Dataset) -> tuple[list[Sample], list[Sample]]:
        """The images that are learnt from by their labels, and by the teacher alone: of those that have no labels, too.

        Without a teacher, the latter are left out.
        """
        first, rest = divide(data, self.config.data, self.config.seed)
        samples = [*first]
        labelled = [sample for sample in samples if self.config.data.labels in sample.labels]
        if not self.config.teacher.name:
            return labelled, []
        return labelled, [*(sample for sample in samples if self.config.data.labels not in sample.labels), *rest]

    def _soft(self, data: Dataset, decoded: Mapping[str, Sample]) -> dict[str, NDArray[np.uint8]]:
        """What the teacher says of each image, by name; empty without one.

        Of the whole set, as `label` does, whatever part of it keeps its labels: the planes of "shuffled" are of
        another image of the set.
        """
        if not self.config.teacher.name or is_online(self.config.teacher):
            return {}
        from distill.teaching import soft_labels  # zarr, for those who have a teacher

        samples = [decoded[name] if name in decoded else data.read(name) for name in data.names]
        found = soft_labels.obtain_some(self.config.teacher, samples)
        return {data.names[index]: soft for index, soft in found.items()}

    def _completed(
        self, soft: dict[str, NDArray[np.uint8]], labelled: Sequence[Sample], alone: Sequence[Sample]
    ) -> tuple[dict[str, NDArray[np.uint8]], list[Sample]]:
        """Where the teacher has no answer the labels stand in for it; an image without labels, too, is left out."""
        kind = self.config.data.labels
        own = {one.name: 255 * (one.labels[kind] > 0).astype(np.uint8) for one in labelled if one.name not in soft}
        kept = [one for one in alone if one.name in soft]
        if own or len(kept) < len(alone):
            log.warning(
                "%d images are taught by their labels alone, and %d without labels and teacher are left out",
                len(own), len(alone) - len(kept),
            )  # fmt: skip
        return soft | own, kept

    def _fields(
        self, samples: Sequence[Sample], soft: Mapping[str, NDArray[np.uint8]], *, with_labels: bool
    ) -> list[CropField]:
        how, channels, kind = self.spec.normalization, self.spec.channels, self.config.data.labels
        fields = [ready(s.planes(channels), s.labels[kind] if with_labels else None, how) for s in samples]
        size = self.config.data.object_diameter
        return [
            replace(field, soft=soft.get(s.name), zoom=object_zoom(field.labels, size))
            for field, s in zip(fields, samples, strict=True)
        ]

    def _check(self) -> None:
        for data, spec in zip(self.train, self.config.data.train, strict=True):
            if not len(data):
                msg = f"{spec} holds no training images."
                raise InputError(msg)
        if not self.validation:
            msg = f"{', '.join(self.config.data.validation)} holds no validation images."
            raise InputError(msg)
        for sample in self.validation:
            sample.planes(self.spec.channels)
            sample.labels_of(self.config.data.labels, REMEDY)
        check_objects(self.validation, self.config.data.labels, "validation images")
        check_teacher_used(self.config.teacher.name, terms_of(self.config.loss))


def check_objects(samples: Sequence[Sample], labels: str, what: str) -> None:
    """InputError where not one of the samples holds an object: whoever draws nothing would score Dice 1 on them."""
    if samples and not any(sample.labels[labels].any() for sample in samples):
        raise no_objects(len(samples), what)


def no_objects(count: int, what: str) -> InputError:
    """The error for labels that are all empty."""
    return InputError(f"The {count} {what} hold no object, all labels are 0; give labels that hold objects.")


def divide(data: Dataset, section: DataSection, seed: int) -> tuple[Dataset, Dataset]:
    """The part of a training set whose labels are used, and the rest.

    The labelled parts of a seed lie inside each other: 5 % of the images are among the 10 %. At least one image keeps
    its labels. What section.fold leaves out is in neither part.
    """
    ranked = sorted(data.names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    count = math.ceil(round(section.labelled * len(ranked), 6))  # 7 % of 100 images are 7, whatever floats say
    left_out = set(ranked[section.fold[0] :: section.fold[1]]) if section.fold else set()
    first, rest = set(ranked[:count]) - left_out, set(ranked[count:]) - left_out
    if not first:
        msg = f"data.fold {list(section.fold)} leaves none of the {count} labelled image(s); give fewer folds."
        raise InputError(msg)
    one, other = (data.subset([name for name in data.names if name in part]) for part in (first, rest))
    return one, other
