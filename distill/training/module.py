"""One phase of training as a Lightning module: the loss, the optimiser and the score on whole frames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import lightning
import torch
from torchmetrics import MeanMetric

from distill.datasets import Sample
from distill.evaluation.predict import seen, segmenting, true_size
from distill.int8.quantize import stop_observing
from distill.losses import LossInput
from distill.training.objective import Objective
from runtime.metrics import dice

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from distill.config.sections import Config, PhaseSection
    from distill.networks.spec import StudentSpec
    from distill.teaching.online import OnlineTeacher
    from distill.training.crops.host import Crop

CALIBRATED = 0.5  # share of the quantisation-aware steps after which the scales stay as they are


class Phase(lightning.LightningModule):
    """Train ``model`` ((N, 1, h, w) to logits (N, C, h, w)) for ``plan.steps`` steps."""

    def __init__(
        self,
        model: nn.Module,
        plan: PhaseSection,
        spec: StudentSpec,
        config: Config,
        teacher: OnlineTeacher | None = None,
    ) -> None:
        super().__init__()
        self.model, self.plan, self.spec = model, plan, spec
        self.labels, self.interval = config.data.labels, config.trainer.interval
        self.objective = Objective(config.loss)
        self.score = MeanMetric()
        self.teachers = (teacher,) if teacher is not None else ()  # no part of what is trained, averaged and saved

    def on_fit_start(self) -> None:
        """The teacher goes where the student is."""
        for teacher in self.teachers:
            teacher.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Freeze the scales half-way; asked of the step, so that a resumed run does the same."""
        late = self.current_epoch * self.interval >= CALIBRATED * self.plan.steps
        if late and isinstance(self.model, torch.fx.GraphModule):
            stop_observing(self.model)

    def training_step(self, crop: Crop) -> Tensor:
        """The objective on one batch of crops; each term and, where there are several, its weight is logged."""
        image = crop.image.contiguous(memory_format=torch.channels_last)
        for teacher in self.teachers:
            crop = crop._replace(teacher=teacher(image))
        logits = self.model(image)
        loss, terms = self.objective(_input(crop, logits, self.global_step / self.plan.steps))
        of_all = {"on_step": True, "sync_dist": True}  # the mean over the processes that train together
        self.log_dict({f"train/{role}": value.detach() for role, value in terms.items()}, **of_all)
        if len(self.objective.terms) > 1:
            self.log_dict({f"train/weight_{role}": value for role, value in self.objective.weighting.weights().items()})
        self.log("train/loss", loss, prog_bar=True, **of_all)
        return loss

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Whole samples stay numpy arrays: the frame path moves their tiles."""
        if isinstance(batch, Sample):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def validation_step(self, sample: Sample) -> None:
        """Foreground Dice of one whole frame at threshold 0.5, through the frame path of deployment."""
        truth = sample.labels[self.labels]
        segment = segmenting(self.model, self.spec, self.device, true_size(truth, self.spec))
        self.score.update(dice(segment(seen(sample, self.spec)).probability > 0.5, truth > 0))

    def on_validation_epoch_end(self) -> None:
        """Log the mean over the frames."""
        self.log("val/dice", self.score.compute(), prog_bar=True)
        self.score.reset()

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with a linear warm-up and a cosine to zero; the weights of the losses are never decayed."""
        groups = [{"params": [*self.model.parameters()], "weight_decay": self.plan.weight_decay}]
        if learnt := [*self.objective.parameters()]:
            groups.append({"params": learnt, "weight_decay": 0.0})
        optimizer = torch.optim.AdamW(groups, self.plan.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _cosine(self.plan))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _input(crop: Crop, logits: Tensor, progress: float) -> LossInput:
    """A batch of crops as the losses take it: what the crops do not carry is None."""
    teacher = crop.teacher if crop.teacher.numel() else None
    instances = crop.instances if crop.instances.numel() else None
    return LossInput(logits, crop.target, crop.labelled, teacher, instances, progress)


def _cosine(plan: PhaseSection) -> Callable[[int], float]:
    warmup = max(1, round(plan.warmup * plan.steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, plan.steps - warmup)))

    return factor
