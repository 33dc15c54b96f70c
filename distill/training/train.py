"""Training a student: float phase, quantisation-aware phase, thresholds, student folder.

Everything lives in a working folder beside the result until the end, so that a killed run leaves no half student
and the same command goes on where it stopped, to the same weights.
"""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities import rank_zero_only

from distill import students
from distill.config.files import portable
from distill.evaluation.evaluate import score
from distill.evaluation.predict import segmenting
from distill.evaluation.thresholds import choose
from distill.int8.quantize import scheme_of
from distill.networks.spec import spec_of
from distill.student.student import Student, flat, graph_weights, load, save
from distill.teaching.headroom import headroom
from distill.teaching.lineage import lineage
from distill.teaching.online import is_online, members_of
from distill.training.calibration import calibrate
from distill.training.data import TrainingData
from distill.training.initialization import fitting
from distill.training.phases import float_phase, quantized_phase
from distill.training.preflight import check_trainer
from distill.training.probes import choose_probes
from distill.training.report import write_report
from runtime.errors import InputError
from runtime.system.atomic import make_folder, replacing, sweep_folder, write_bytes
from runtime.system.lock import only_run, tidy
from runtime.system.places import check_writable

if TYPE_CHECKING:
    from pathlib import Path

    from torch.fx import GraphModule

    from distill.config.sections import Config
    from distill.training.probes import Probes

log = logging.getLogger(__name__)

NOTE = "config.json"  # in the working folder: whose work it is


def fit(config: Config, out: Path) -> Student | None:
    """Train as ``config`` says and leave the student in the folder ``out``.

    A run that was interrupted is resumed from ``out``.training; InputError when that belongs to another
    configuration, or when ``out`` exists already; EdgescopeError when another process is at it. Where several
    processes train together, the first one writes the student and returns it, and the others return None; all of
    them need to see the same folder.
    """
    work = _check_place(config, out)
    check_trainer(config.trainer)
    set_up(config)
    members_of(config.teacher, spec_of(config))  # a name that is wrong is said before the images are opened
    if config.student.init_from:  # said before the images are opened, too
        fitting(students.load(config.student.family).build(spec_of(config)), load(config.student.init_from))
    probes = choose_probes(config)  # before the hours of training, which a wrong data.record would cost
    data = TrainingData(config)
    with only_run(out) if rank_zero_only.rank == 0 else nullcontext():  # the first speaks for those that train along
        if rank_zero_only.rank == 0:
            sweep_folder(out.parent)
            sweep_folder(work)
        make_folder(work)
        write_bytes(work / NOTE, _note(config).encode())  # whose work it is
        if config.teacher.name and not is_online(config.teacher) and rank_zero_only.rank == 0:
            room = headroom(config, data.validation)
            log.info("%s", room.sentence() if room else "headroom: the teacher has no answer about held-out images")
        model = float_phase(config, data, work)
        graph = flat(model, data.spec)
        prepared = quantized_phase(config, data, graph, work) if config.qat.steps else None
        if rank_zero_only.rank != 0:
            return None
        student = _finish(config, data, graph, prepared, probes)
        with replacing(out) as folder:
            folder.mkdir()
            save(student, folder)
            write_report(student, config, work, folder)
        return student


def _finish(
    config: Config, data: TrainingData, graph: GraphModule, prepared: GraphModule | None, probes: Probes
) -> Student:
    """Calibrate the student on validation images, choose its thresholds, and score it in every precision."""
    size = data.object_size()
    spec = replace(data.spec, object_diameter=size)
    log.info("choosing thresholds and scoring on %d validation images", len(data.validation))
    deployed = graph if prepared is None else prepared
    calibration = calibrate(deployed, spec, data.validation, config.data.labels)
    # Whole cells cannot be measured by their nuclei: on every level the network sees some of about the right size.
    certainty = 1.0 if config.data.labels == "cells" else calibration.certainty
    spec = replace(spec, object_diameter=size and replace(size, certainty=certainty))
    spec, curves = choose(deployed, spec, data.validation, config.data.labels)
    weights = graph_weights(deployed)
    graph.load_state_dict(weights, strict=False)  # the float graph, with the weights that both now share
    models = {"fp32": graph} if prepared is None else {"int8": prepared, "fp32": graph}
    metrics = {
        "labels": config.data.labels,
        "validation": {
            precision: score(segmenting(model, spec), spec, data.validation, config.data.labels).to_dict()
            for precision, model in models.items()
        },
        "data": {portable(spec): len(part) for spec, part in zip(config.data.train, data.used, strict=True)},
        "calibration": asdict(calibration),
        "thresholds": curves,
    }
    scheme = None if prepared is None else scheme_of(prepared)
    return Student(spec, weights, scheme, lineage(config, data.used, weights), metrics, probes)


def set_up(config: Config) -> None:
    """Threads and determinism, for this process."""
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)


def _check_place(config: Config, out: Path) -> Path:
    """The folder of the running work, next to ``out``; refused if it belongs to another run. Nothing is written yet."""
    work = out.with_name(f"{out.name}.training")
    if out.exists():
        tidy(out)
        msg = f"{out} exists; choose another --out, or remove it and {work.name} to train again."
        raise InputError(msg)
    note = work / NOTE
    if note.exists() and note.read_text(encoding="utf-8") != _note(config):
        msg = f"{work} holds the unfinished work of another configuration; remove it or choose another --out."
        raise InputError(msg)
    check_writable(work, "choose another --out")
    return work


def _note(config: Config) -> str:
    return json.dumps(asdict(config), indent=2, sort_keys=True)
