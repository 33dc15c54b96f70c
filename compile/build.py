"""student + targets -> artefacts: the whole flow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compile import request as requests
from compile import targets
from compile.accuracy.budget import MAX_DROP, OverBudget, over_budget, remedy
from compile.accuracy.scales import ScaleMisfit
from compile.accuracy.sensitivity import Sensor, sensitivity
from compile.accuracy.verify import Validation, recorded
from compile.auto import walk
from compile.bundle import serving
from compile.bundle.zoo import zoo_model
from compile.request import AUTO, LAYOUT, Request
from compile.trial import Trial, artifact_name, try_out
from distill.student import student as students
from runtime.artifact.artifact import check_place, write_artifact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from compile.accuracy.verify import Matrix
    from compile.auto import Step
    from distill.student.student import Student
    from runtime.artifact.artifact import Artifact

    Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What was written.

    matrix : agreement on the probes, between every two artefacts; steps : the steps of precision "auto"
    folders : what was written beside the artefacts
    """

    artifacts: list[Artifact]
    matrix: Matrix
    steps: Sequence[Step] = ()
    folders: Sequence[Path] = ()


def compile_student(
    student: Student | str | Path = students.DEFAULT,
    target: str | Sequence[str] = requests.ALL,
    precision: str = "int8",
    *,
    tile: tuple[int, int] | None = None,
    validate: str | None = None,
    max_drop: float | None = MAX_DROP,
    options: Mapping[str, Sequence[str]] | None = None,
    out: str | Path = "artifacts",
    sign: Callable[[bytes], bytes] | None = None,
    step: Say = lambda what: None,
) -> Outcome:
    """Compile a student into ``out``/STUDENT-TARGET-PRECISION, and prove that it still is what was trained.

    student : one that is loaded, a bundled one's name, or a folder
    target : one of compile.targets.names(), several of them, or "all"
    precision : "int8", "fp16", "fp32", or "auto": the first of int8, mixed, fp16 and fp32 that holds the budget
    tile : (h, w) in pixels, multiples of the student's stride; None for the student's own
    validate : labelled data, NAME:PATH; None for the frames that travel with the student
    max_drop : largest loss against the fp32 student in Dice points; None for no limit
    options : options of targets by name, such as {"npu": ["ethos-u55"]}
    sign : gives the signature of bytes; see runtime.artifact.signature.signer
    step : called with what is being done

    All or nothing. InputError for a wrong request, or a student that a target refuses; BudgetMissed (OverBudget where
    it is the accuracy) when a target loses more than allowed or disagrees with the others. Then nothing is written.
    """
    request = requests.checked(target, precision, max_drop, options, tile=tile, validate=validate, sign=sign)
    return run(student if isinstance(student, students.Student) else students.load(student), request, Path(out), step)


def run(student: Student, request: Request, out: Path, step: Say = lambda what: None) -> Outcome:
    """``compile_student`` for a request that is checked already."""
    request = replace(request, tile=request.tile or student.spec.tile)
    validation = Validation(student, request.validate)

    def sensor() -> Sensor:
        return Sensor(student, [frame for frame, _ in recorded(student)], student.spec.threshold)

    def attempt(precision: str, layers: Sequence[str] = (), say: Say = step) -> Trial:
        for name in request.targets:
            place = out / artifact_name(student.spec.name, name, precision)
            check_place(place)
            for layout in request.options.get(name, {}).get(LAYOUT, ()):
                serving.check(layout, place)
        return try_out(student, replace(request, precision=precision), layers, validation, say)

    if request.precision == AUTO:
        trial, steps = walk(student, request.max_drop, attempt, sensor, step)
        return _write(trial, out, request, step, steps)
    try:
        trial = attempt(request.precision)
    except ScaleMisfit as misfit:
        raise OverBudget(str(misfit), {}, sensitivity(sensor(), step)) from misfit
    if missed := over_budget(trial.drops, request.max_drop):
        where = sensitivity(sensor(), step) if trial.graph.quantized else None
        msg = f"{missed}; {remedy(where)}. Nothing was written."
        raise OverBudget(msg, trial.accuracy, where)
    return _write(trial, out, request, step)


def _write(trial: Trial, out: Path, request: Request, step: Say, steps: Sequence[Step] = ()) -> Outcome:
    """All artefacts, for good."""
    step("describe")
    trial.describe(zoo_model(trial.graph))
    step("write")
    artifacts = [
        write_artifact(out / draft.name, draft.manifest, draft.files, sign=request.sign) for draft in trial.drafts
    ]
    return Outcome(artifacts, trial.matrix, steps, list(_folders(artifacts, request)))


def _folders(artifacts: Sequence[Artifact], request: Request) -> Iterator[Path]:
    for artifact in artifacts:
        name = artifact.manifest.target
        for layout in request.options.get(name, {}).get(LAYOUT, ()):
            yield serving.write(layout, artifact, targets.load(name).served[layout])
