"""The two phases of a training, each with its own trainer, checkpoint and result: float, then quantisation-aware.

On several devices a phase is one DDP run: every process draws its share of the same crops, gradients are averaged,
and the processes go on with the first one's weights.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import lightning
import safetensors.torch
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from distill import students
from distill.int8.equalize import equalize
from distill.int8.quantize import prepare, stop_observing
from distill.networks import imagenet
from distill.student.student import load
from distill.teaching.online import online_teacher
from distill.training.history import VALIDATION
from distill.training.initialization import init_from
from distill.training.module import Phase
from distill.training.objective import terms_of
from distill.training.progress import progress
from distill.training.quiet import quiet
from runtime.system.atomic import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn
    from torch.fx import GraphModule

    from distill.config.sections import Config, PhaseSection
    from distill.training.data import TrainingData

log = logging.getLogger(__name__)

LOOKED_AT = 32  # crops that tell how large the values of a student are, where that is asked


def float_phase(config: Config, data: TrainingData, work: Path) -> nn.Module:
    """The float student, trained; what an earlier run arrived at is taken up from the folder ``work``."""
    torch.manual_seed(config.seed)
    model = students.load(data.spec.family).build(data.spec).to(memory_format=torch.channels_last)
    if config.student.encoder_weights:
        imagenet.begin(model)
    if config.student.init_from:
        init_from(model, load(config.student.init_from), data.first_images(LOOKED_AT))
    _run("float", model, config.float, config, data.for_phase(config.float, 0), work)
    return model.eval()


def quantized_phase(config: Config, data: TrainingData, graph: GraphModule, work: Path) -> GraphModule:
    """A copy of the flat float student, with equalised channels, trained for int8."""
    data.for_phase(config.qat, 1)
    equalize(graph, data.first_images(LOOKED_AT))
    prepared = prepare(graph)
    _run("qat", prepared, config.qat, config, data, work)
    stop_observing(prepared)
    prepared.eval()
    return prepared


def _run(name: str, model: nn.Module, plan: PhaseSection, config: Config, data: TrainingData, work: Path) -> None:
    """Train ``model`` in place, or load what an earlier run of this phase arrived at."""
    result, checkpoint = work / f"{name}.safetensors", work / f"{name}.ckpt"
    if result.exists():
        model.load_state_dict(safetensors.torch.load_file(result))
        return
    if checkpoint.exists():
        log.info("phase %s continues from %s", name, checkpoint)
    best = None
    if name == "float" and config.trainer.patience:
        best = Best(work / f"{name}.best.safetensors", config.trainer.patience)
    averaged = [Averaged(decay=plan.average)] if plan.average else []
    # The best weights are looked at while the average is in place, and a checkpoint is written when it is not any more.
    callbacks = [Together(), *([best] if best else []), *averaged, WriteCheckpoint(checkpoint)]
    with quiet():
        trainer = _trainer(name, plan, config, work, callbacks)
        try:
            trainer.fit(
                Phase(model, plan, data.spec, config, online_teacher(config.teacher, data.spec)),
                data,
                ckpt_path=checkpoint if checkpoint.exists() else None,
                weights_only=True,
            )
        except SystemExit as error:  # what Lightning makes of an interruption
            raise KeyboardInterrupt from error
    if trainer.is_global_zero:
        write_bytes(result, best.path.read_bytes() if best else _state(model))
    trainer.strategy.barrier()
    if best or not trainer.is_global_zero:
        model.load_state_dict(safetensors.torch.load_file(result))


def _trainer(name: str, plan: PhaseSection, config: Config, work: Path, callbacks: list[Callback]) -> lightning.Trainer:
    section = config.trainer
    together = section.devices * section.nodes > 1
    shown = [progress(name, plan.steps)] if rank_zero_only.rank == 0 else []
    return lightning.Trainer(
        accelerator=section.accelerator,
        devices=section.devices,
        num_nodes=section.nodes,
        strategy="ddp" if together else "auto",
        sync_batchnorm=together and section.accelerator != "cpu",  # torch has none on the CPU
        precision=plan.precision,  # type: ignore[arg-type]
        max_epochs=plan.steps // section.interval,
        accumulate_grad_batches=plan.accumulate,
        check_val_every_n_epoch=min(section.validate, plan.steps // section.interval),
        reload_dataloaders_every_n_epochs=1,
        gradient_clip_val=plan.clip or None,
        deterministic=True,
        logger=[CSVLogger(work / "logs", name), TensorBoardLogger(work / "tensorboard", name)],
        log_every_n_steps=1 if config.teacher.name or len(terms_of(config.loss)) > 1 else min(10, section.interval),
        callbacks=[*callbacks, *shown],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


class Together(Callback):
    """How processes that train together end: an interrupted one as if it were alone, and the others with it.

    Lightning tells all of them of a SIGTERM by a broadcast, which meets whatever they are just sending each other, and
    then none of them ever ends. So the handler that was there before is asked again.
    """

    def __init__(self) -> None:
        self.interrupt = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning's handler is in place by now, and so are the processes that this one started."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.interrupt)
        for process in getattr(trainer.strategy.launcher, "procs", ()):
            atexit.register(process.kill)  # does nothing to those that have ended


class WriteCheckpoint(Callback):
    """Write the whole state at the end of every interval, in one piece."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save beside, then rename; the first process does."""
        partial = self.path.with_suffix(".partial")
        trainer.save_checkpoint(partial, weights_only=False)
        if trainer.is_global_zero:
            os.replace(partial, self.path)  # noqa: PTH105


class Averaged(EMAWeightAveraging):
    """A moving average of the weights takes their place while they are scored, and for good at the end.

    Lightning's own ends its visit before it is known how good the average is, so that the weights of the moment would
    be kept as the best ones.
    """

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Not yet."""

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Give way to the weights that are trained."""
        super().on_validation_epoch_end(trainer, pl_module)


class Best(Callback):
    """Keep the weights of the best validation Dice, and stop after `patience` validations without a better one.

    Checkpoints are written after the validation of their interval, so they hold what is known here.
    """

    def __init__(self, path: Path, patience: int) -> None:
        self.path, self.patience = path, patience
        self.dice, self.waited = -1.0, 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """A run that was killed after the decision to stop, and before its result was written, stops at once."""
        self._stop(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write them where the Dice that was just measured is the best so far."""
        dice = float(trainer.callback_metrics[VALIDATION])
        self.waited += 1
        if dice > self.dice:
            self.dice, self.waited = dice, 0
            if trainer.is_global_zero:
                write_bytes(self.path, _state(pl_module.model))
        self._stop(trainer)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"dice": self.dice, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.dice, self.waited = state_dict["dice"], state_dict["waited"]

    def _stop(self, trainer: lightning.Trainer) -> None:
        if self.waited >= self.patience:
            trainer.should_stop = True


def _state(model: Any) -> bytes:
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    return safetensors.torch.save(state)
