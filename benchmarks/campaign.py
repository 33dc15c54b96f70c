"""The measuring of several artefacts on one machine: the main flow of `benchmarks run`.

Quality first, one process per row, which also tells what backend runs it. Then times, in rounds: every row
once, and again from the first, so that whatever disturbs a shared machine disturbs all rows alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from runtime import __version__
from runtime.artifact import Artifact
from runtime.errors import EdgescopeError

from .device import Constraint, Device
from .figures import MISMATCH, Energy, Quality, Round, Sustained, Throughput
from .fingerprint import fingerprint
from .machine import Machine
from .measurement import Job, Task, in_fresh_process
from .noise import calibrate, judge
from .pictures import contact_sheet
from .profiles import held_back
from .quality import Score
from .report import SCHEMA_VERSION, Data, Protocol, Report, Row
from .sensors import meter
from .source import Source
from .timing import combine, typical_memory

REASONS = {  # why a figure is missing where everything went well
    "throughput": "not asked for; run with --throughput",
    "sustained": "not asked for; run with --sustain MINUTES",
    "energy": "the machine has no energy counter that this user may read (RAPL, or a Jetson's VDD_IN)",
}


@dataclass(frozen=True)
class Plan:
    """What the caller asked for. threads, backend: None leaves them to the artefact's own choice.

    throughput : batches and requests, too
    sustain_minutes : of a sustained run of each row; None: none
    limits : how the measuring processes are held back
    """

    rounds: int = 3
    repeats: int = 50
    threads: int | None = None
    backend: str | None = None
    also_bf16: bool = False
    pictures: Path | None = None
    throughput: bool = False
    sustain_minutes: float | None = None
    limits: Constraint | None = None


@dataclass(frozen=True)
class Variant:
    """One artefact, run in one way."""

    name: str
    artifact: Artifact
    precision_hint: str | None = None


Step = Callable[[str], None]


def run(artifacts: Sequence[Artifact], source: Source, data: Data, plan: Plan, step: Step) -> Report:
    """Measure every artefact; a measurement that fails leaves its error in its row, and the rest goes on.

    step : told before each measurement what it is, for a progress bar; see `steps`"""
    device = fingerprint()
    before = calibrate()
    variants = list_variants(artifacts, plan, device)
    with TemporaryDirectory(prefix="edgescope-bench-") as folder:
        frame = next(iter(source)).frame
        np.save(Path(folder, "frame.npy"), frame)
        jobs = [_job(variant, source, plan, Path(folder, "frame.npy")) for variant in variants]
        with held_back(plan.limits):
            rows, content = _all_scored(variants, jobs, step)
            rows, reference = _timed(rows, jobs, plan, frame.shape, step)
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
            threads=plan.threads,
            also_bf16=plan.also_bf16,
            throughput=plan.throughput,
            sustain_minutes=plan.sustain_minutes,
            reference=reference,
        ),
        noise=judge(before, calibrate()),
        rows=tuple(rows),
        digest=None,
    ).sealed()


def list_variants(artifacts: Sequence[Artifact], plan: Plan, device: Device) -> list[Variant]:
    """A row for each artefact, and one in bfloat16 for each of OpenVINO's in fp32 where that was asked for."""
    variants: list[Variant] = []
    for artifact in artifacts:
        name = artifact.path.name.removesuffix(".zip")
        variants.append(Variant(name, artifact))
        is_fp32 = (artifact.manifest.backend, artifact.manifest.precision) == ("openvino", "fp32")
        if plan.also_bf16 and device.has_bf16 and is_fp32:
            variants.append(Variant(f"{name}-as-bf16", artifact, "bf16"))
    return _with_unique_names(variants)


def steps(artifacts: Sequence[Artifact], plan: Plan) -> int:
    """How many measurements a campaign has at most."""
    return len(list_variants(artifacts, plan, fingerprint())) * (1 + plan.rounds + len(_extras(plan)))


def _with_unique_names(variants: list[Variant]) -> list[Variant]:
    """Artefacts of the same name from different folders are told apart by a number."""
    taken: dict[str, int] = {}
    unique: list[Variant] = []
    for variant in variants:
        count = taken[variant.name] = taken.get(variant.name, 0) + 1
        unique.append(variant if count == 1 else replace(variant, name=f"{variant.name}-{count}"))
    return unique


def _job(variant: Variant, source: Source, plan: Plan, frame: Path) -> Job:
    return Job(
        name=variant.name,
        artifact=str(variant.artifact.path),
        backend=plan.backend,
        precision_hint=variant.precision_hint,
        threads=plan.threads,
        repeats=plan.repeats,
        frame=str(frame),
        source=source,
        pictures=str(plan.pictures) if plan.pictures else None,
        minutes=plan.sustain_minutes or 0.0,
        memory_limit_mb=plan.limits.memory_limit_mb if plan.limits else None,
    )


def _all_scored(variants: list[Variant], jobs: list[Job], step: Step) -> tuple[list[Row], str | None]:
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


def _scored(variant: Variant, job: Job, step: Step) -> tuple[Row, str | None]:
    step(f"{variant.name}: quality")
    manifest = variant.artifact.manifest
    row = Row(
        name=variant.name,
        student=manifest.student,
        target=manifest.target,
        precision=manifest.precision,
        precision_hint=variant.precision_hint,
        threads=job.threads,
        backend=None,
        stand_in=False,
        description={},
        tile=manifest.tile,
        size_bytes=variant.artifact.size_bytes,
        operators=manifest.operators,
        agreement=None,
        quality=None,
        timing=None,
        memory=None,
        throughput=None,
        sustained=None,
        energy=None,
        not_measured={},
        error=None,
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
        quality=_told_apart(score.quality, manifest.accuracy.get("labels")),
    )
    return scored, score.content


def _told_apart(quality: Quality | None, learnt: str | None) -> Quality | None:
    """A student of whole cells that is held against nuclei is not worth what its Dice says: the protocol says so."""
    if quality is None or learnt in (None, quality.labels):
        return quality
    words = f"learnt to find {learnt} and is held against {quality.labels}: its figures say nothing of its worth"
    return replace(quality, protocol={**quality.protocol, MISMATCH: words})


def _timed(
    rows: list[Row], jobs: list[Job], plan: Plan, frame_shape: tuple[int, ...], step: Step
) -> tuple[list[Row], str | None]:
    """Time the rows whose own backend runs here: A B C, A B C, ... The first of them is the reference."""
    rows = list(rows)
    rounds: dict[int, list[Round]] = {i: [] for i, row in enumerate(rows) if row.error is None and not row.stand_in}
    for number in range(plan.rounds):
        for i in list(rounds):
            step(f"{rows[i].name}: time, round {number + 1} of {plan.rounds}")
            try:
                rounds[i].append(in_fresh_process("time", jobs[i], Round))
            except EdgescopeError as error:
                rows[i] = replace(rows[i], error=str(error))
                del rounds[i]
    reference = next(iter(rounds.values()), [])
    for i, measured in rounds.items():
        height, width = frame_shape
        timing = combine(measured, reference, (height, width))
        rows[i] = replace(rows[i], timing=timing, memory=typical_memory(measured))
    return rows, next((rows[i].name for i in rounds), None)


def _more(row: Row, job: Job, plan: Plan, step: Step) -> Row:
    """What is measured once, after the rounds, in a process of its own each: rates, a sustained run, energy."""
    missing = {name: reason for name, reason in REASONS.items() if name not in _extras(plan)}
    if row.stand_in or row.timing is None:
        why = "its own backend does not run here" if row.stand_in else "the row failed"
        return replace(row, not_measured={**row.not_measured, **dict.fromkeys(("timing", "memory", *REASONS), why)})
    row = replace(row, not_measured={**row.not_measured, **missing})
    for name, (task, record) in _extras(plan).items():
        step(f"{row.name}: {task}")
        try:
            row = replace(row, **{name: in_fresh_process(task, job, record)})
        except EdgescopeError as error:
            row = replace(row, error=f"{task}: {error}")
    return row


def _extras(plan: Plan) -> dict[str, tuple[Task, type[Energy] | type[Sustained] | type[Throughput]]]:
    """The row's field, the task, and what it returns, of what was asked for or can be measured here."""
    wanted: dict[str, tuple[Task, type[Energy] | type[Sustained] | type[Throughput]]] = {}
    if plan.throughput:
        wanted["throughput"] = ("throughput", Throughput)
    if meter(Machine()):
        wanted["energy"] = ("energy", Energy)
    if plan.sustain_minutes:
        wanted["sustained"] = ("sustain", Sustained)
    return wanted
