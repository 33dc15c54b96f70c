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
    from distill.adapt.plan import ValidationPlan
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
    validation: ValidationPlan
    scores: Scores
    best: str
    steps: int
    seconds: float
    folder: Path
    drawings: Path


@dataclass(frozen=True)
class AdaptRound:
    """One set of images, labels and settings, and the student that they begin with.

    out : the folder of all rounds; name : of the new student
    """

    begin: description.Description
    settings: Settings
    out: Path
    name: str
    survey: Survey
    validation: ValidationPlan

    @property
    def work(self) -> Path:
        """The folder of its trainings, named by twelve hex digits for everything that the result depends on."""
        known = {**asdict(self.settings), "weights": self.begin.weights_sha256, "data": self.survey.digest()}
        return self.out / "work" / hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def data(self) -> Path:
        """The images and labels that are learnt from."""
        return (self.out / "data").absolute()

    def part(self, number: int, *, held_out: bool) -> str:
        """In a data spec: the images that are held out of training `number`, or the others."""
        return f"fold={number}of{self.validation.folds}&part={'val' if held_out else 'train'}"

    def config(self, part: str, steps: int) -> Config:
        """The configuration of one training."""
        counts = len(self.survey.of("labelled")), len(self.survey.of("taught"))
        student, seed = self.settings.student, self.settings.seed
        return plans.config_of(self.begin, student, self.name, self.data, counts, part, steps, seed)


def adapt(survey: Survey, settings: Settings, out: Path, say: Callable[[str], None] = log.info) -> Adapted:
    """Fine-tune a student on the images of a survey; see distill.adapt.

    Run again with the same `out`, it goes on where it stopped. InputError for too few labels, and for an `out` that
    holds something else; EdgescopeError while another process is at it.
    """
    start = perf_counter()
    survey = with_reference(survey)
    begin = description.describe(settings.student)
    validation = plans.validation_of(survey)
    this = AdaptRound(begin, settings, out, settings.name or name_of(settings.student, out), survey, validation)
    check_place(out)
    with only_run(out):
        work = this.work
        make_folder(work)
        _take_data(this)
        steps = steps_of(this)
        scores = _score(this, steps, say)
        if not (work / "done.json").exists():
            config = _finish(this, scores, steps, say)
            write_bytes(out / CONFIG, _config_text(config, settings.student).encode())
            _note_round(out / HISTORY, survey, scores)
            write_bytes(work / "done.json", b"{}")
            _remove_others(out / "work", work)
        seconds = perf_counter() - start
        return Adapted(this.name, survey, validation, scores, scores.best, steps, seconds, out, work / "drawings")


def _take_data(this: AdaptRound) -> None:
    """The images and labels of a round, unless they are there: another round may have put its own in their place."""
    note, number = this.data / ROUND, this.work.name
    if note.exists() and note.read_text(encoding="utf-8") == number:
        return
    from distill.adapt.measure import write_data

    size = this.begin.spec.object_diameter
    write_data(this.survey, size.median_px if size else None, this.data)
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


def steps_of(this: AdaptRound) -> int:
    """As they were given, or as many as the minutes allow on this machine; decided once for a round."""
    note, minutes = this.work / "steps.json", this.settings.minutes
    if minutes is None:
        return plans.check_steps(this.settings.steps)
    if not note.exists():
        from distill.adapt.timing import seconds_per_step

        one = seconds_per_step(this.config(this.part(0, held_out=False), plans.INTERVAL))
        time = 60 * minutes * STEP_SHARE / this.validation.trainings
        whole = time / one / (1 + 1 / plans.INT8_SHARE)
        steps = max(plans.INTERVAL, math.floor(whole / plans.INTERVAL) * plans.INTERVAL)
        write_bytes(note, json.dumps({"steps": steps}).encode())
    return int(json.loads(note.read_text(encoding="utf-8"))["steps"])


def _score(this: AdaptRound, steps: int, say: Callable[[str], None]) -> Scores:
    """Every candidate on images that it was not trained on."""
    from distill.adapt import measure

    rounds: list[Scores] = []
    labels = this.begin.labels
    for number in range(this.validation.rounds):
        note = this.work / f"fold-{number}.json"
        if not note.exists():
            say(
                f"training {number + 1} of {this.validation.trainings}: {steps} steps in float, part {number + 1} is "
                "held out (the Dice of a phase is of images that it is trained on)"
            )
            config = this.config(this.part(number, held_out=False), steps)
            student = measure.trained(config, this.work / f"fold-{number}")
            first = measure.load(this.settings.student)
            spec, _ = measure.tuned(first, config.data.validation[0], labels)
            held_out = f"folder:{this.data}/labelled?labels={labels}&{this.part(number, held_out=True)}"
            scores = measure.score_round(first, spec, student, held_out, labels, this.work / "drawings")
            write_bytes(note, scores.to_json())
        rounds.append(measure.Scores.read(note))
    return measure.Scores.joined(rounds)


def _finish(this: AdaptRound, scores: Scores, steps: int, say: Callable[[str], None]) -> Config:
    """The student's folder, and the configuration that trains it again."""
    from distill.adapt import measure
    from distill.adapt.lineage import adapted_lineage
    from distill.student.student import save
    from distill.training.report import write_report

    validation, labels = this.validation, this.begin.labels
    config = this.config("part=all" if validation.is_crossed else this.part(0, held_out=False), steps)
    if scores.best == measure.TRAINED:
        place = this.work / ("final" if validation.is_crossed else "fold-0")
        if validation.is_crossed:
            say(f"training {validation.trainings} of {validation.trainings}: {steps} steps, all images with labels")
        student, logs = measure.trained(config, place), place.with_name(f"{place.name}.training")
        curves = student.metrics["thresholds"]
    else:
        student, logs = measure.load(this.settings.student), this.work
        curves = student.metrics.get("thresholds", {})
        if scores.best == measure.TUNED:
            spec, curves = measure.tuned(student, config.data.validation[0], labels)
            student = replace(student, spec=spec)
    told = {
        "labels": labels,
        "validation": {"fp32" if student.scheme is None else "int8": scores.evaluation(scores.best)},
        "validated_by": f"{validation}; {scores.best}",
        "thresholds": curves,
    }
    lineage = adapted_lineage(student, this.survey, scores.best)
    student = replace(student, spec=replace(student.spec, name=this.name), metrics=told, lineage=lineage)
    with replacing(this.out / STUDENT) as folder:
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
