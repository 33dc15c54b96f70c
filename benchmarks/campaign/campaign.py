"""Measure several artefacts on one machine: the main flow of `benchmarks run`.

Quality first, one process per row, which also tells what backend runs it. Then times, in rounds over all rows, so that
whatever disturbs a shared machine disturbs all rows alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.host.calibration import calibrate, judge
from benchmarks.host.device import Constraint, Device
from benchmarks.host.fingerprint import fingerprint
from benchmarks.host.machine import Machine
from benchmarks.host.power_file import PowerFile
from benchmarks.host.profiles import held_back
from benchmarks.host.sensors import meter
from benchmarks.inputs.artifacts import name_of, open_artifacts, unique_names
from benchmarks.inputs.pictures import contact_sheet
from benchmarks.inputs.source import Data, ImageSource, Selection
from benchmarks.inputs.stream import CameraStream, draw_frame
from benchmarks.measures.figures import OBJECTS, Energy, Quality, Round, Sustained, Throughput, check_until
from benchmarks.measures.job import MeasureJob, Task
from benchmarks.measures.process import in_fresh_process
from benchmarks.measures.quality import Score
from benchmarks.measures.timing import combine, typical_memory
from benchmarks.report.report import SCHEMA_VERSION, Protocol, Report, Row
from runtime import __version__
from runtime import backend as backends
from runtime.artifact.artifact import Artifact
from runtime.errors import EdgescopeError, InputError
from runtime.execution import DEFAULT, Execution
from runtime.frames.scale import DiameterRequest
from runtime.system.rounds import in_rounds

REASONS = {  # why a figure is missing where everything went well
    "throughput": "not asked for; run with --throughput",
    "sustained": "not asked for; run with --sustain MINUTES",
    "energy": "the machine has no energy counter that this user may read (RAPL, or a Jetson's VDD_IN); a meter's file "
    "can take its place: --power-csv",
}

MOST_SECONDS = 86_400.0
SEED = 2026  # of a drawn frame
DRAWN = Selection("synthetic:3@2026")  # for the accuracy, where no labelled images are given

Step = Callable[[str], None]


@dataclass(frozen=True)
class RunPlan:
    """How to measure.

    execution : by which backend, on how many threads; what is None is left to the artefact and its backend
    rounds : fresh processes per artefact; repeats : timed frames and tiles in each
    also_bf16 : run fp32 artefacts in bfloat16, too, where their backend and this processor can
    pictures : a folder for masks and overlays as PNG
    throughput : batches and requests, too
    sustain_minutes : of a sustained run of each row; None: none
    limits : how the measuring processes are held back; see host.profiles.constraint
    until : where a timed frame ends: "network", "mask", "labels" or "objects"
    diameter : of the objects, as `runtime predict --diameter` takes it; None is "auto"
    least_s : of each row's frames, over all rounds; pace : frames a second, as beside a camera; None: back to back
    every_device : a row for each device that the artefact's backend finds on this machine
    camera : a drawn frame of its size is timed instead of the first image, at its pace; None: neither
    label : what the machine is called in tables; None: by its board or processor
    power_csv : the file of a power meter, for the energy; see host.power_file. None: the machine's own counter
    """

    rounds: int = 3
    repeats: int = 50
    execution: Execution = DEFAULT
    also_bf16: bool = False
    pictures: Path | None = None
    throughput: bool = False
    sustain_minutes: float | None = None
    limits: Constraint | None = None
    until: str = OBJECTS
    diameter: str | None = None
    label: str | None = None
    least_s: float = 0.0
    pace: float | None = None
    every_device: bool = False
    camera: CameraStream | None = None
    power_csv: Path | None = None

    def __post_init__(self) -> None:
        if self.power_csv is not None:
            PowerFile(self.power_csv).readings()  # refuses what is no meter's file
        for name, value in (("The least time of frames", self.least_s), ("The camera's pace", self.pace)):
            if value is not None and not 0 <= value < MOST_SECONDS:
                msg = f"{name} is {value:g}; it must be a number from 0 to {MOST_SECONDS:g}."
                raise InputError(msg)
        check_until(self.until)
        DiameterRequest.of(self.diameter)

    @property
    def rate(self) -> float | None:
        """Frames a second that frames begin at; None: back to back."""
        return self.camera.rate if self.camera else self.pace or None


@dataclass(frozen=True)
class Variant:
    """One artefact, run in one way."""

    name: str
    artifact: Artifact
    precision_hint: str | None = None
    device: str | None = None


def run(
    artifacts: Sequence[str | Path | Artifact],
    selection: Selection,
    plan: RunPlan | None = None,
    step: Step = lambda what: None,
) -> Report:
    """Measure artefacts on this machine: time, memory, quality.

    artifacts : folders or .zip files, or folders of artefacts
    selection : the images
    plan : how; None: RunPlan()
    step : told before each measurement what it is, for a progress bar; see `steps`
    Returns the report, sealed; a measurement that fails leaves its error in its row, and the rest goes on.
    InputError for a damaged artefact, a backend that cannot run one, and images of no use: before anything is measured.
    """
    plan = plan or RunPlan()
    opened = open_artifacts(artifacts)
    if plan.execution.backend:
        for artifact in opened:
            backends.choose(artifact.manifest, plan.execution.backend)
    return measure(opened, *selection.open(opened), plan, step)


def devices(
    artifacts: Sequence[str | Path | Artifact],
    camera: CameraStream,
    selection: Selection = DRAWN,
    plan: RunPlan | None = None,
    step: Step = lambda what: None,
) -> Report:
    """Time every device that the artefacts' backends find on this machine, with a camera's frames at its pace.

    `choose` with Limits(camera=...) says of the report which device to use. The other arguments and errors are run's.
    """
    return run(artifacts, selection, device_plan(camera, plan), step)


def device_plan(camera: CameraStream, plan: RunPlan | None = None) -> RunPlan:
    """How `devices` measures."""
    return replace(plan or RunPlan(repeats=20), every_device=True, camera=camera)


def steps(artifacts: Sequence[Artifact], plan: RunPlan) -> int:
    """How many measurements a run has at most."""
    return len(list_variants(artifacts, plan, fingerprint())) * (1 + plan.rounds + len(_extras(plan)))


def measure(artifacts: Sequence[Artifact], source: ImageSource, data: Data, plan: RunPlan, step: Step) -> Report:
    """The same, of opened artefacts on chosen images."""
    device = fingerprint()
    before = calibrate()
    variants = list_variants(artifacts, plan, device)
    with TemporaryDirectory(prefix="edgescope-bench-") as folder:
        camera = plan.camera
        frame = draw_frame(camera.shape, camera.bits, SEED) if camera else next(iter(source)).frame
        np.save(Path(folder, "frame.npy"), frame)
        jobs = [_job(variant, source, plan, Path(folder, "frame.npy")) for variant in variants]
        with held_back(plan.limits):
            rows, content = _all_scored(variants, jobs, step)
            rows, reference = time_rows(rows, jobs, plan, frame.shape, step)
            rows = [_more(row, job, plan, step) for row, job in zip(rows, jobs, strict=True)]
    if plan.pictures:
        contact_sheet(plan.pictures, source, tuple(row.name for row in rows if row.agreement))
    return Report(
        schema_version=SCHEMA_VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edgescope=__version__,
        device=device,
        constrained=plan.limits,
        data=replace(data, content=content),
        protocol=Protocol(
            rounds=plan.rounds,
            repeats=plan.repeats,
            threads=plan.execution.threads,
            also_bf16=plan.also_bf16,
            throughput=plan.throughput,
            sustain_minutes=plan.sustain_minutes,
            reference=reference,
            least_s=plan.least_s,
            pace=plan.rate,
        ),
        noise=judge(before, calibrate()),
        rows=tuple(rows),
        digest=None,
        label=plan.label,
    ).sealed()


def list_variants(artifacts: Sequence[Artifact], plan: RunPlan, device: Device) -> list[Variant]:
    """A row for each artefact, and one in bfloat16 where that was asked for, and backend and processor can."""
    variants: list[Variant] = []
    for artifact in artifacts:
        name, manifest = name_of(artifact), artifact.manifest
        own = backends.find(manifest.backend)
        found = own.devices() if plan.every_device and own and own.library() and not own.refuses(manifest) else {}
        first, *others = found or (None,)
        variants.append(Variant(name, artifact, device=first))
        variants += [Variant(f"{name}-on-{device}", artifact, device=device) for device in others]
        if plan.also_bf16 and device.has_bf16 and manifest.precision == "fp32" and own and "bf16" in own.hints:
            variants.append(Variant(f"{name}-as-bf16", artifact, "bf16"))
    names = unique_names(variant.name for variant in variants)
    return [replace(variant, name=name) for variant, name in zip(variants, names, strict=True)]


def _job(variant: Variant, source: ImageSource, plan: RunPlan, frame: Path) -> MeasureJob:
    return MeasureJob(
        name=variant.name,
        artifact=str(variant.artifact.path),
        execution=replace(plan.execution, precision_hint=variant.precision_hint, device=variant.device),
        repeats=plan.repeats,
        frame=str(frame),
        source=source,
        pictures=str(plan.pictures) if plan.pictures else None,
        until=plan.until,
        diameter=plan.diameter,
        minutes=plan.sustain_minutes or 0.0,
        memory_limit_mb=plan.limits.memory_limit_mb if plan.limits else None,
        least_s=plan.least_s / plan.rounds,
        pace=plan.rate,
        power_csv=None if plan.power_csv is None else str(plan.power_csv.resolve()),
    )


def _all_scored(variants: list[Variant], jobs: list[MeasureJob], step: Step) -> tuple[list[Row], str | None]:
    """The rows with their quality, and what all of them were measured on; a row that read other images is an error."""
    rows: list[Row] = []
    contents: list[str] = []
    for variant, job in zip(variants, jobs, strict=True):
        row, content = _scored(variant, job, step)
        if content and contents and content != contents[0]:
            row = replace(row, quality=None, error="the images changed while they were measured; run it again")
        contents += [content] if content else []
        rows.append(row)
    return rows, next(iter(contents), None)


def _scored(variant: Variant, job: MeasureJob, step: Step) -> tuple[Row, str | None]:
    step(f"{variant.name}: quality")
    manifest = variant.artifact.manifest
    row = Row(
        name=variant.name,
        student=manifest.student,
        target=manifest.target,
        precision=manifest.precision,
        precision_hint=variant.precision_hint,
        threads=job.execution.threads,
        backend=None,
        stand_in=None,
        description={},
        tile=manifest.tile,
        size_bytes=variant.artifact.size_bytes,
        operators=manifest.operators,
        accuracy=manifest.accuracy,
        agreement=None,
        quality=None,
        timing=None,
        memory=None,
        throughput=None,
        sustained=None,
        energy=None,
        not_measured={},
        error=None,
        until=job.until,
    )
    try:
        score = in_fresh_process("score", job, Score)
    except EdgescopeError as error:
        return replace(row, error=str(error)), None
    scored = replace(
        row,
        backend=score.backend,
        stand_in=score.stand_in,
        description=score.description,
        agreement=score.agreement,
        gmac=score.gmac,
        weights=score.weights,
        quality=_with_mismatch(score.quality, manifest.accuracy and manifest.accuracy.labels),
    )
    return scored, score.content


def _with_mismatch(quality: Quality | None, learnt: str | None) -> Quality | None:
    """The Dice of a student of whole cells against labels of nuclei means little: the report says so."""
    if quality is None or learnt in (None, quality.labels):
        return quality
    words = f"trained to find {learnt}, scored on {quality.labels}: its accuracy cannot be judged here"
    return replace(quality, mismatch=words)


def time_rows(
    rows: list[Row], jobs: list[MeasureJob], plan: RunPlan, frame_shape: tuple[int, ...], step: Step
) -> tuple[list[Row], str | None]:
    """Time the rows whose own backend runs here. The first of them is the reference."""
    rows = list(rows)
    indices = [i for i, row in enumerate(rows) if row.error is None and not row.stand_in]

    def time(i: int, number: int) -> Round:
        step(f"{rows[i].name}: time, round {number + 1} of {plan.rounds}")
        return in_fresh_process("time", jobs[i], Round)

    taken = in_rounds(indices, plan.rounds, time)
    for place, error in taken.errors.items():
        rows[indices[place]] = replace(rows[indices[place]], error=str(error))
    finished = [(i, taken.results[place]) for place, i in enumerate(indices) if place not in taken.errors]
    height, width = frame_shape
    for i, measured in finished:
        timing = combine(measured, finished[0][1], (height, width))
        rows[i] = replace(rows[i], timing=timing, memory=typical_memory(measured))
    return rows, rows[finished[0][0]].name if finished else None


def _more(row: Row, job: MeasureJob, plan: RunPlan, step: Step) -> Row:
    """What is measured once, after the rounds, in a process of its own each: rates, a sustained run, energy."""
    missing = {name: reason for name, reason in REASONS.items() if name not in _extras(plan)}
    if row.stand_in or row.timing is None:
        why = f"its own backend does not run here: {row.stand_in}" if row.stand_in else "the row failed"
        return replace(row, not_measured={**row.not_measured, **dict.fromkeys(("timing", "memory", *REASONS), why)})
    row = replace(row, not_measured={**row.not_measured, **missing})
    for name, (task, record) in _extras(plan).items():
        step(f"{row.name}: {task}")
        try:
            row = replace(row, **{name: in_fresh_process(task, job, record)})
        except EdgescopeError as error:
            row = replace(row, error=f"{task}: {error}")
    return row


def _extras(plan: RunPlan) -> dict[str, tuple[Task, type[Energy] | type[Sustained] | type[Throughput]]]:
    """The row's field, the task, and what it returns, of what was asked for or can be measured here."""
    extras: dict[str, tuple[Task, type[Energy] | type[Sustained] | type[Throughput]]] = {}
    if plan.throughput:
        extras["throughput"] = ("throughput", Throughput)
    if plan.power_csv is not None or meter(Machine()):
        extras["energy"] = ("energy", Energy)
    if plan.sustain_minutes:
        extras["sustained"] = ("sustain", Sustained)
    return extras
