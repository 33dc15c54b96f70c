"""A folder of images to a student for these images. The main flow.

Everything is in the folder OUT: data/ (what was learnt from), work/ (trainings, resumable), student/, report.md. A
round is one set of images, labels and settings. More labels make a new round, which begins with the same student:
the images that it is scored on are new to it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import shutil
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from distill.adapt import plan as plans
from distill.config import files
from distill.student import description
from runtime.errors import InputError
from runtime.system.atomic import make_folder, replacing, write_bytes
from runtime.system.lock import only_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from distill.adapt.measure import Scores
    from distill.adapt.plan import Validation
    from distill.adapt.survey import Survey
    from distill.config.sections import Config

log = logging.getLogger(__name__)

CONFIG, REPORT, STUDENT, ARTEFACTS, HISTORY = "config.toml", "report.md", "student", "artefacts", "history.json"
ROUND = "round.txt"  # in data/: whose data they are
STEP_SHARE = 0.7  # of --minutes: the rest is for scores, thresholds and artefacts


@dataclass(frozen=True)
class Settings:
    """student : the one to begin with; steps : in float; minutes : in place of steps; name : of the new student"""

    student: str = description.DEFAULT
    steps: int = plans.STEPS
    minutes: float | None = None
    seed: int = 0
    name: str = ""


@dataclass(frozen=True)
class Adapted:
    """What came out.

    scores : on images that were not trained on; best : of measure.CANDIDATES, what is in the student's folder
    seconds : that this call took; drawings : folder of what was drawn on each of those images
    """

    name: str
    survey: Survey
    validation: Validation
    scores: Scores
    best: str
    steps: int
    seconds: float
    folder: Path
    drawings: Path


def adapt(survey: Survey, settings: Settings, out: Path, say: Callable[[str], None] = log.info) -> Adapted:
    """Fine-tune a student on the images of a survey; see distill.adapt.

    Run again with the same `out`, it goes on where it stopped. InputError for too few labels, and for an `out` that
    holds something else; EdgescopeError while another process is at it.
    """
    start = perf_counter()
    survey = with_reference(survey)
    begin = description.describe(settings.student)
    validation = plans.validation_of(len(survey.of("labelled")))
    name = settings.name or name_of(settings.student, out)
    check_place(out)
    with only_run(out):
        work = out / "work" / _round(survey, begin.weights_sha256, settings)
        make_folder(work)
        _take_data(survey, begin, out / "data", work.name)
        steps = _steps(settings, validation, work, begin, out, name, survey)
        scores = _score(begin, settings, out, work, name, survey, validation, steps, say)
        best = scores.best
        if not (work / "done.json").exists():
            config = _finish(begin, settings, out, work, name, survey, validation, scores, steps, say)
            write_bytes(out / CONFIG, _config_text(config, settings.student).encode())
            _note_round(out / HISTORY, survey, scores)
            write_bytes(work / "done.json", b"{}")
            _remove_others(out / "work", work)
        return Adapted(name, survey, validation, scores, best, steps, perf_counter() - start, out, work / "drawings")


def _take_data(survey: Survey, begin: description.Description, folder: Path, number: str) -> None:
    """The images and labels of a round, unless they are there: another round may have put its own in their place."""
    note = folder / ROUND
    if note.exists() and note.read_text(encoding="utf-8") == number:
        return
    from distill.adapt.measure import write_data

    size = begin.spec.object_diameter
    write_data(survey, size.median_px if size else None, folder)
    write_bytes(note, number.encode())  # last: a folder without it is written again


def with_reference(survey: Survey) -> Survey:
    """The survey, or where people labelled too few images, one in which the other segmenter's masks are the labels."""
    labelled, taught = survey.of("labelled"), survey.of("taught")
    if len(labelled) >= plans.FEWEST or len(labelled) + len(taught) < plans.FEWEST:
        return survey
    fields = tuple(replace(one, role="labelled") if one.role == "taught" else one for one in survey.fields)
    warning = (
        "too few images are labelled by a person: the scores below say how far students agree with the masks of the "
        "other segmenter, not how right they are"
    )
    return replace(survey, fields=fields, warnings=(*survey.warnings, warning), reference="masks of another segmenter")


def name_of(student: str, out: Path) -> str:
    """What a student is called that is made in `out`."""
    stem = re.sub(r"[^\w.-]+", "-", out.resolve().name).strip("-.") or "adapted"
    begin = description.describe(student).spec.name
    return stem if begin in stem else f"{begin}-{stem}"


def check_place(out: Path) -> None:
    """InputError where the folder holds something that this command did not write."""
    if not out.exists():
        return
    ours = {CONFIG, REPORT, STUDENT, ARTEFACTS, HISTORY, "data", "work", "before-after.png"}
    others = sorted(path.name for path in out.iterdir() if path.name not in ours and not path.name.startswith("."))
    if not out.is_dir() or others:
        msg = f"{out} holds {others[0]!r}, which adapt did not write; give another --out."
        raise InputError(msg)


def _round(survey: Survey, weights: str, settings: Settings) -> str:
    """Twelve hex digits for everything that a result depends on."""
    known = {**asdict(settings), "weights": weights, "data": survey.digest()}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]


def _part(validation: Validation, number: int, held_out: bool) -> str:
    return f"fold={number}of{validation.folds}&part={'val' if held_out else 'train'}"


def _config(
    begin: description.Description, settings: Settings, out: Path, name: str, survey: Survey, part: str, steps: int
) -> Config:
    counts = len(survey.of("labelled")), len(survey.of("taught"))
    data = (out / "data").absolute()
    return plans.config_of(begin, settings.student, name, data, counts, part, steps, settings.seed)


def _steps(
    settings: Settings,
    validation: Validation,
    work: Path,
    begin: description.Description,
    out: Path,
    name: str,
    survey: Survey,
) -> int:
    """As they were given, or as many as the minutes allow on this machine; decided once for a round."""
    note = work / "steps.json"
    if settings.minutes is None:
        return plans.check_steps(settings.steps)
    if not note.exists():
        from distill.adapt.timing import seconds_per_step

        part = _part(validation, 0, held_out=False)
        one = seconds_per_step(_config(begin, settings, out, name, survey, part, plans.INTERVAL))
        time = 60 * settings.minutes * STEP_SHARE / validation.trainings
        whole = time / one / (1 + 1 / plans.INT8_SHARE)
        steps = max(plans.INTERVAL, math.floor(whole / plans.INTERVAL) * plans.INTERVAL)
        write_bytes(note, json.dumps({"steps": steps}).encode())
    return int(json.loads(note.read_text(encoding="utf-8"))["steps"])


def _score(
    begin: description.Description,
    settings: Settings,
    out: Path,
    work: Path,
    name: str,
    survey: Survey,
    validation: Validation,
    steps: int,
    say: Callable[[str], None],
) -> Scores:
    """Every candidate on images that it was not trained on."""
    from distill.adapt import measure

    rounds: list[Scores] = []
    for number in range(validation.rounds):
        note = work / f"fold-{number}.json"
        if not note.exists():
            say(
                f"training {number + 1} of {validation.trainings}: {steps} steps in float, part {number + 1} is held "
                "out (the Dice of a phase is of images that it is trained on)"
            )
            config = _config(begin, settings, out, name, survey, _part(validation, number, held_out=False), steps)
            student = measure.trained(config, work / f"fold-{number}")
            first = measure.load(settings.student)
            spec, _ = measure.tuned(first, config.data.validation[0], begin.labels)
            held_out = f"folder:{(out / 'data').absolute()}/labelled?labels={begin.labels}&"
            held_out += _part(validation, number, held_out=True)
            scores = measure.score_round(first, spec, student, held_out, begin.labels, work / "drawings")
            measure.write_scores(note, scores)
        rounds.append(measure.Scores.read(note))
    return measure.Scores.joined(rounds)


def _finish(
    begin: description.Description,
    settings: Settings,
    out: Path,
    work: Path,
    name: str,
    survey: Survey,
    validation: Validation,
    scores: Scores,
    steps: int,
    say: Callable[[str], None],
) -> Config:
    """The student's folder, and the configuration that trains it again."""
    from distill.adapt import measure
    from distill.adapt.lineage import adapted_lineage
    from distill.student.student import save
    from distill.training.report import write_report

    part = "part=all" if validation.is_crossed else _part(validation, 0, held_out=False)
    config = _config(begin, settings, out, name, survey, part, steps)
    if scores.best == measure.TRAINED:
        place = work / ("final" if validation.is_crossed else "fold-0")
        if validation.is_crossed:
            say(f"training {validation.trainings} of {validation.trainings}: {steps} steps, all images with labels")
        student, logs = measure.trained(config, place), place.with_name(f"{place.name}.training")
        curves = student.metrics["thresholds"]
    else:
        student, logs = measure.load(settings.student), work
        curves = student.metrics.get("thresholds", {})
        if scores.best == measure.TUNED:
            spec, curves = measure.tuned(student, config.data.validation[0], begin.labels)
            student = replace(student, spec=spec)
    told = {
        "labels": begin.labels,
        "validation": {"fp32" if student.scheme is None else "int8": scores.evaluation(scores.best)},
        "validated_by": f"{validation}; {scores.best}",
        "thresholds": curves,
    }
    student = replace(
        measure.renamed(student, name), metrics=told, lineage=adapted_lineage(student, survey, scores.best)
    )
    with replacing(out / STUDENT) as folder:
        folder.mkdir()
        save(student, folder)
        write_report(student, config, logs, folder)
    return config


def _config_text(config: Config, student: str) -> str:
    head = (
        f"# The configuration that fine-tuned {student}, every default written out. To go on by hand:\n"
        "#   python -m distill fit THIS_FILE --out DIR\n"
        "# data/ in this folder holds what was learnt from. Set data.validation to images that data.train lacks.\n\n"
    )
    return head + files.write(config, whole_paths=True)


def _note_round(path: Path, survey: Survey, scores: Scores) -> None:
    """One line for each round, for the report: how it went with more labels."""
    from runtime.metrics import HEADLINES

    history = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    row: dict[str, Any] = {"labelled": len(survey.of("labelled")), "taught": len(survey.of("taught"))}
    row |= {"best": scores.best, **{metric: scores.mean(scores.best, metric) for metric in HEADLINES}}
    write_bytes(path, (json.dumps([*history, row], indent=2) + "\n").encode())


def _remove_others(folder: Path, keep: Path) -> None:
    """The trainings of earlier rounds."""
    for path in folder.iterdir():
        if path != keep and path.is_dir():
            shutil.rmtree(path)
