"""Training a student: float phase, quantisation-aware phase, thresholds, student folder.

Everything lives in a working folder beside the result until the end, so that a killed run leaves no half student
and the same command goes on where it stopped, to the same weights.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import lightning
import safetensors.torch
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from distill import datasets, students
from distill.crops import CropStream, Field, load_fields
from distill.evaluate import evaluate
from distill.graph import flatten
from distill.lineage import lineage
from distill.module import Phase
from distill.predict import predictor
from distill.probes import choose_probes
from distill.progress import progress
from distill.quantize import prepare, scheme_of, stop_observing
from distill.quiet import quiet
from distill.report import write_report
from distill.spec import StudentSpec
from distill.student import Student, graph_weights, save
from distill.thresholds import choose
from distill.toml import portable
from runtime.atomic import replacing, write_bytes
from runtime.errors import InputError
from runtime.manifest import Normalization, Objects

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from distill.config import Config
    from distill.sections import PhaseSection

log = logging.getLogger(__name__)

NOTE = "config.json"  # in the working folder: whose work it is


def fit(config: Config, out: Path) -> Student:
    """Train as ``config`` says and leave the student in the folder ``out``.

    A run that was interrupted is resumed from ``out``.training; InputError when that belongs to another
    configuration, or when ``out`` exists already.
    """
    work = _check_place(config, out)
    _set_up(config)
    data = TrainingData(config)
    _begin(config, work)
    model = _float_phase(config, data, work)
    graph = flatten(model, _spec(config).tile)
    prepared = _quantized_phase(config, data, graph, work)
    student = _finish(config, data, graph, prepared)
    with replacing(out) as folder:
        folder.mkdir()
        save(student, folder)
        write_report(student, config, work, folder)
    return student


class TrainingData(lightning.LightningDataModule):
    """The decoded training fields, the validation samples, and crops by number."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.spec = config, _spec(config)
        self.train = [datasets.open(spec, "train") for spec in config.data.train]
        self.validation = [sample for spec in config.data.validation for sample in datasets.open(spec, "val")]
        self._check()
        self.fields: list[list[Field]] = [
            load_fields(data, config.data.labels, self.spec.normalization) for data in self.train
        ]
        self.plan, self.stream = config.float, 0

    def for_phase(self, plan: PhaseSection, stream: int) -> TrainingData:
        """Draw from here on the crops of a phase; each phase has a stream of its own."""
        self.plan, self.stream = plan, stream
        return self

    def train_dataloader(self) -> DataLoader[Any]:
        """The crops of the next interval, counted from the optimiser's steps: a resumed run draws the same ones."""
        assert self.trainer is not None
        crops = CropStream(
            self.fields,
            self.config.data.share or (1.0,) * len(self.fields),
            self.spec.outputs,
            self.config.data.crop,
            self.config.augment,
            seed=2 * self.config.seed + self.stream,
            start=self.trainer.global_step * self.plan.batch,
            count=self.config.trainer.interval * self.plan.batch,
        )
        return DataLoader(crops, batch_size=self.plan.batch, num_workers=self.config.trainer.workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """Whole samples, one at a time."""
        return DataLoader(self.validation, batch_size=None)

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
            if wanted not in sample.labels:
                msg = f"{sample.name} has labels {sorted(sample.labels)}, not {wanted!r}; set data.labels."
                raise InputError(msg)


class Checkpoint(Callback):
    """Write the whole state at the end of every interval, in one piece."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save beside, then rename."""
        partial = self.path.with_suffix(".partial")
        trainer.save_checkpoint(partial, weights_only=False)
        os.replace(partial, self.path)  # noqa: PTH105


def _float_phase(config: Config, data: TrainingData, work: Path) -> nn.Module:
    torch.manual_seed(config.seed)
    spec = _spec(config)
    model = students.load(spec.family).build(spec).to(memory_format=torch.channels_last)
    _run_phase("float", model, config.float, config, data.for_phase(config.float, 0), work)
    return model.eval()


def _quantized_phase(config: Config, data: TrainingData, graph: torch.fx.GraphModule, work: Path) -> nn.Module:
    prepared = prepare(graph)
    _run_phase("qat", prepared, config.qat, config, data.for_phase(config.qat, 1), work)
    stop_observing(prepared)
    return prepared.eval()


def _run_phase(name: str, model: nn.Module, plan: PhaseSection, config: Config, data: TrainingData, work: Path) -> None:
    """Train ``model`` in place, or load what an earlier run of this phase arrived at."""
    result, checkpoint = work / f"{name}.safetensors", work / f"{name}.ckpt"
    if result.exists():
        model.load_state_dict(safetensors.torch.load_file(result))
        return
    phase = Phase(model, plan, _spec(config), config.data.labels, config.trainer.interval)
    if checkpoint.exists():
        log.info("phase %s goes on from %s", name, checkpoint)
    with quiet():
        trainer = _trainer(name, plan, config, work, checkpoint)
        try:
            trainer.fit(phase, data, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
        except SystemExit as error:  # what Lightning makes of an interruption
            raise KeyboardInterrupt from error
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    write_bytes(result, safetensors.torch.save(state))


def _trainer(name: str, plan: PhaseSection, config: Config, work: Path, checkpoint: Path) -> lightning.Trainer:
    interval = config.trainer.interval
    loggers = [CSVLogger(work / "logs", name), TensorBoardLogger(work / "tensorboard", name)]
    return lightning.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1 if config.trainer.accelerator == "cpu" else "auto",
        precision=plan.precision,  # type: ignore[arg-type]
        max_epochs=plan.steps // interval,
        check_val_every_n_epoch=min(config.trainer.validate, plan.steps // interval),
        reload_dataloaders_every_n_epochs=1,
        gradient_clip_val=plan.clip or None,
        deterministic=True,
        logger=loggers,
        log_every_n_steps=min(10, interval),
        callbacks=[Checkpoint(checkpoint), progress(name, plan.steps)],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _finish(config: Config, data: TrainingData, graph: torch.fx.GraphModule, prepared: nn.Module) -> Student:
    """Choose thresholds with the quantised student, and score both on the validation images."""
    assert isinstance(prepared, torch.fx.GraphModule)
    log.info("choosing thresholds and scoring on %d validation images", len(data.validation))
    spec, curves = choose(prepared, _spec(config), data.validation, config.data.labels)
    scheme = scheme_of(prepared)
    weights = graph_weights(prepared)
    graph.load_state_dict(weights, strict=False)  # the float graph, with the weights that both now share
    metrics = {
        "labels": config.data.labels,
        "validation": {
            "int8": evaluate(predictor(prepared, spec), spec, data.validation, config.data.labels),
            "fp32": evaluate(predictor(graph, spec), spec, data.validation, config.data.labels),
        },
        "data": {portable(spec): len(part) for spec, part in zip(config.data.train, data.train, strict=True)},
        "thresholds": curves,
    }
    return Student(spec, weights, scheme, lineage(config, data.train, weights), metrics, choose_probes(config))


def _spec(config: Config) -> StudentSpec:
    section = config.student
    return StudentSpec(
        name=section.name,
        family=section.family,
        decoder=section.decoder,
        squeeze_excite=section.squeeze_excite,
        outputs=section.outputs,
        tile=(config.data.crop, config.data.crop),
        normalization=Normalization(low=section.low_percentile, high=section.high_percentile),
        objects=Objects(core_threshold=0.5, min_area=config.data.min_area),
    )


def _set_up(config: Config) -> None:
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)


def _check_place(config: Config, out: Path) -> Path:
    """The folder of the running work, beside ``out``; refused where it is another's. Nothing is written yet."""
    work = out.with_name(f"{out.name}.training")
    if out.exists():
        msg = f"{out} exists; choose another --out, or remove it and {work.name} to train again."
        raise InputError(msg)
    note = work / NOTE
    if note.exists() and note.read_text(encoding="utf-8") != _note(config):
        msg = f"{work} holds the unfinished work of another configuration; remove it or choose another --out."
        raise InputError(msg)
    ground = next(folder for folder in (work, *work.absolute().parents) if folder.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        msg = f"{work} cannot be written: {ground} is no folder that can be written to; choose another --out."
        raise InputError(msg)
    return work


def _begin(config: Config, work: Path) -> None:
    """Make the working folder; it remembers its configuration."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        write_bytes(work / NOTE, _note(config).encode())
    except OSError as error:
        msg = f"{work} cannot be written: {error.strerror or error}; choose another --out."
        raise InputError(msg) from error


def _note(config: Config) -> str:
    return json.dumps(asdict(config), indent=2, sort_keys=True)
