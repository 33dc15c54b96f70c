"""One job of a study: train, score on held-out data, and leave a result that is never trained again."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from distill import datasets, teachers
from distill.evaluation.predict import predictor, seen
from distill.student.inventory import size
from distill.studies import score, trivial
from distill.studies.plan import TEACHERS, differing, digest
from distill.teaching import soft_labels
from distill.teaching.headroom import HALF
from distill.training.data import TrainingData, divide
from distill.training.phases import float_phase
from distill.training.train import fit, set_up
from runtime.errors import InputError
from runtime.system.atomic import make_folder, remove, write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from distill.config.sections import Config, TeacherSection
    from distill.datasets import Dataset, Sample
    from distill.studies.plan import StudyJob

SCHEMA_VERSION = 1
RESULTS = "rows"


def run(job: StudyJob, study: Config, out: Path) -> dict[str, Any]:
    """The job's result: trained and scored now, or what an earlier run left; `done` says how long it took."""
    if job.kind == "teacher":
        return _teacher(job, out)
    if (known := read(job.name, job.key(), out)) is not None:
        return known
    started = time.monotonic()
    set_up(job.config)
    data = TrainingData(job.config)
    work = out / "work" / f"{job.name}-{job.key()}"
    make_folder(work)
    model = float_phase(job.config, data, work)
    predict = predictor(model, data.spec)

    def foreground(sample: Sample) -> NDArray[np.float32]:
        return predict(seen(sample, data.spec))[0]

    threshold = score.choose_threshold(foreground, spoken_for(job.config, data), job.config.data.labels)
    scores = {held.name: score.score(foreground, held, threshold, study.study.block) for held in score.held_out(study)}
    result = _described(job) | {"threshold": threshold, "size": size(data.spec), "scores": scores}
    write(result | {"seconds": round(time.monotonic() - started, 1)}, out)
    remove(work)
    return result


def ask_teacher(job: StudyJob, study: Config, out: Path) -> dict[str, Any]:
    """How good the teacher of a student's job is on the held-out data, at probability one half."""
    section = job.config.teacher
    kind, share = job.taught_by or (section.name, 1.0)
    row = f"teacher-{kind}" if share == 1 else f"teacher-{kind}-{100 * share:g}"
    described = {
        "schema_version": SCHEMA_VERSION,
        "key": digest([differing(section), study.data.validation, study.study.test, study.study.block]),
        "name": f"{row}-s{job.seed}",
        "kind": "teacher",
        "row": row,
        "labelled": share,
        "seed": job.seed,
    }
    if (known := read(described["name"], described["key"], out)) is not None:
        return known
    scores = {}
    for held in score.held_out(study):
        if held.name != score.VALIDATION and not _can_answer(section, held.samples):
            continue
        soft = soft_labels.obtain(section, held.samples)
        said = dict(zip(held.samples, soft, strict=True))  # by sample: several sets may call theirs alike
        scores[held.name] = score.score(lambda s, said=said: said[s] / 255, held, 0.5, study.study.block)
    result = described | {"threshold": 0.5, "scores": scores}
    write(result, out)
    return result


def run_trivial(study: Config) -> dict[str, Any]:
    """Threshold and dilate, by the radius that is best on the training images."""
    samples = _labelled(study, [datasets.open(spec, "train") for spec in study.data.train])
    radius = trivial.best_radius([*samples], study.data.labels, study.study.radii)
    scores = {
        held.name: score.score(
            lambda sample: trivial.threshold_and_dilate(sample, radius), held, 0.5, study.study.block
        )
        for held in score.held_out(study)
    }
    return {"row": "threshold", "kind": "trivial", "seed": None, "radius": radius, "scores": scores}


def read(name: str, key: str, out: Path) -> dict[str, Any] | None:
    """A result that is there; InputError when it belongs to another configuration."""
    path = out / RESULTS / f"{name}.json"
    return _read(path, key, path) if path.exists() else None


def _read(path: Path, key: str, stale: Path) -> dict[str, Any]:
    """stale : what to remove where the file is of another configuration"""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        belongs = found["key"] == key and found["schema_version"] == SCHEMA_VERSION
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} cannot be read as a row of a study ({error!r}); remove it, and it is trained again."
        raise InputError(msg) from error
    if not belongs:
        msg = f"{path} is of another configuration; choose another --out, or remove {stale} to train it again."
        raise InputError(msg)
    return found


def write(result: dict[str, Any], out: Path) -> None:
    """Write a result as a whole."""
    text = json.dumps(result, indent=1, allow_nan=False)
    write_bytes(out / RESULTS / f"{result['name']}.json", (text + "\n").encode())


def _labelled(config: Config, train: Sequence[Dataset]) -> Iterator[Sample]:
    """The training images whose labels are used."""
    for data in train:
        for sample in divide(data, config.data, config.seed)[0]:
            if config.data.labels in sample.labels:
                yield sample


def spoken_for(config: Config, data: TrainingData) -> Iterator[Sample]:
    """The training images, each with what the student has learnt from: its labels, or else the teacher's mask.

    A threshold that is chosen on a few labelled images alone is that of these few: on synthetic tissue it cost a
    taught student 4 points of Dice.
    """
    kind = config.data.labels
    for images, soft in zip(data.train, data.soft, strict=True):
        yield from _labelled(config, [images])
        for sample in divide(images, config.data, config.seed)[1]:
            if sample.name in soft:
                yield replace(sample, labels={kind: (soft[sample.name] > HALF).astype(np.int32)})


def _can_answer(section: TeacherSection, samples: Sequence[Sample]) -> bool:
    """Whether the images hold what the teacher wants: those of another collection may be of the nucleus alone."""
    teacher = teachers.open_teacher(section)
    try:
        for sample in samples:
            sample.planes(teacher.channels)
            teacher.reference(sample)
    except InputError:
        return False
    return True


def is_trained(job: StudyJob, out: Path) -> bool:
    """Whether a teacher is there; InputError when it is of another configuration."""
    folder = out / TEACHERS / job.name
    if not folder.exists():
        return False
    if (note := _note(folder)).exists():
        _read(note, job.key(), stale=out)  # what it taught is stale, too
    return True


def _teacher(job: StudyJob, out: Path) -> dict[str, Any]:
    folder, described = out / TEACHERS / job.name, _described(job)
    if not is_trained(job, out):
        fit(job.config, folder)
        write_bytes(_note(folder), (json.dumps(described, indent=1) + "\n").encode())
    return described


def _note(folder: Path) -> Path:
    """The study's record of a teacher that it trained, in a file next to the teacher's folder."""
    return folder.with_name(f"{folder.name}.json")


def _described(job: StudyJob) -> dict[str, Any]:
    what = {key: value for key, value in asdict(job).items() if key not in ("config", "taught_by")}
    return {"schema_version": SCHEMA_VERSION, "key": job.key(), "name": job.name, **what}
