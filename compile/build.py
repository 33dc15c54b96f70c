"""student + target -> artefact. The whole flow: export, lower, prove, write."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compile import boards, npu, serving, targets
from compile.auto import walk
from compile.budget import MAX_DROP, OverBudget, over_budget, remedy
from compile.card import write_card
from compile.export import QuantizedGraph, export, export_mixed
from compile.lint import lint
from compile.rdf import write_rdf
from compile.scales import ScaleMisfit, misfits
from compile.sensitivity import Sensor, sensitivity
from compile.verify import REFERENCE, TOLERANCES, Validation, agreement, make_probes, recorded, replay, replay_typed
from compile.zoo import zoo_model
from distill.predict import OVERLAP
from runtime.artifact import check_place, write_artifact
from runtime.errors import EdgescopeError, InputError
from runtime.manifest import SCHEMA_VERSION, Manifest, Probes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from compile.auto import Step
    from compile.lowered import Lowered
    from compile.zoo import ZooModel
    from distill.student import Student
    from runtime.artifact import Artifact
    from runtime.probes import ProbeSet


@dataclass(frozen=True)
class Request:
    """What to build.

    tile : (h, w); max_drop : Dice points below the fp32 student, or None for no budget
    npu : full names of the NPUs that the microscope artefact gets a file for, as compile.npu.check gives them
    layout : a server that gets a folder of its own, see compile.serving; sign : see runtime.artifact.write_artifact
    device : the Jetson board, or None; see compile.boards
    """

    targets: tuple[str, ...]
    precision: str
    tile: tuple[int, int]
    validate: str | None = None
    max_drop: float | None = MAX_DROP
    npu: tuple[str, ...] = ()
    layout: str | None = None
    sign: Callable[[bytes], bytes] | None = None
    device: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What was written. matrix : agreement of all that ran on the probes; steps : what --precision auto tried."""

    artifacts: list[Artifact]
    matrix: dict[str, dict[str, Any]]
    steps: Sequence[Step] = ()


def build(
    student: Student, request: Request, out: Path, step: Callable[[str], None] = lambda what: None
) -> list[Artifact]:
    """Compile ``student`` for the targets of ``request`` into ``out``/STUDENT-TARGET-PRECISION.

    All or nothing: BudgetMissed when a target is less accurate than allowed or disagrees with the others,
    InputError when it cannot be lowered; then no artefact is written.
    step : called with what is being done
    """
    return run(student, request, out, step).artifacts


def run(student: Student, request: Request, out: Path, step: Callable[[str], None] = lambda what: None) -> Outcome:
    """``build``, and what a person wants to see of it; precision "auto" takes the first that holds the budget."""
    validation = Validation(student, request.validate)

    def sensor() -> Sensor:
        return Sensor(student, [frame for frame, _ in recorded(student)], student.spec.threshold)

    def attempt(precision: str, layers: Sequence[str] = (), say: Callable[[str], None] = step) -> Trial:
        places = {name: out / _name(student.spec.name, name, precision) for name in request.targets}
        for place in places.values():
            check_place(place)
        serving.check(request.layout, places)
        return try_out(student, replace(request, precision=precision), layers, validation, say)

    if request.precision == "auto":
        trial, steps = walk(student, request.max_drop, attempt, sensor, step)
        return Outcome(trial.write(out, request, step), trial.matrix, steps)
    try:
        trial = attempt(request.precision)
    except ScaleMisfit as misfit:
        raise OverBudget(str(misfit), {}, sensitivity(sensor(), step)) from misfit
    if missed := over_budget(trial.drops, request.max_drop):
        found = sensitivity(sensor(), step) if trial.graph.quantized else None
        msg = f"{missed}; {remedy(found)}. Nothing was written."
        raise OverBudget(msg, trial.accuracy, found)
    return Outcome(trial.write(out, request, step), trial.matrix)


def try_out(
    student: Student, request: Request, layers: Sequence[str], validation: Validation, step: Callable[[str], None]
) -> Trial:
    """Compile for every target, and measure; nothing is written for good.

    layers : convolutions that are kept in float, for the precision "mixed" alone
    """
    chosen = [targets.load(name) for name in request.targets]
    step("export")
    tile, precision = request.tile, request.precision
    graph = export_mixed(student, tile, layers) if precision == "mixed" else export(student, tile, precision)
    lint(graph)
    probes = make_probes(graph)
    step("measure the fp32 student")
    unfit = misfits(student, probes.inputs, graph.floats) if graph.quantized else []
    if reason := validation.untrained():
        raise EdgescopeError(f"{reason} Besides, its scheme does not fit: {unfit[0]}." if unfit else reason)
    if unfit:
        raise ScaleMisfit.of(student.spec.name, unfit)
    drafts: list[Draft] = []
    with tempfile.TemporaryDirectory(prefix="edgescope-") as folder:
        for target in chosen:
            if reason := target.refuses(graph):
                msg = f"Target {target.name} refuses {student.spec.name}: {reason}"
                raise InputError(msg)
            step(f"lower to {target.name}")
            lowered = target.lower(graph)
            if request.npu and target.name == npu.TARGET:
                step("compile for the NPU")
                lowered = npu.add(lowered, request.npu)
            drafts.append(Draft.of(graph, target.name, lowered, probes, Path(folder)))
        step("replay the probes")
        outputs = {draft.target: draft.outputs for draft in drafts}
        typed = {f"{d.target} fp16": found for d in drafts if (found := replay_typed(d.artifact, probes)) is not None}
        matrix = agreement({**outputs, **typed}, probes, student, precision)
        intensity = validation.intensity()
        for draft in drafts:
            step(f"measure the accuracy of {draft.target}")
            accuracy = {**validation.accuracy(draft.artifact), "max_drop_points": request.max_drop}
            draft.manifest = replace(draft.manifest, accuracy=accuracy, intensity=intensity)
        validation.add_agreement(matrix)
    return Trial(graph, drafts, matrix)


@dataclass
class Trial:
    """A student compiled for every target and measured. matrix : as `agreement` gives it."""

    graph: QuantizedGraph
    drafts: list[Draft]
    matrix: dict[str, dict[str, Any]]

    @property
    def accuracy(self) -> dict[str, dict[str, Any]]:
        """Figures by target."""
        return {draft.target: dict(draft.manifest.accuracy) for draft in self.drafts}

    @property
    def drops(self) -> dict[str, float]:
        """Dice points below the fp32 student by target."""
        return {target: found["drop_points"] for target, found in self.accuracy.items()}

    def write(self, out: Path, request: Request, step: Callable[[str], None]) -> list[Artifact]:
        """Write all artefacts for good."""
        step("describe")
        zoo, names = zoo_model(self.graph), [draft.target for draft in self.drafts]
        for draft in self.drafts:
            draft.manifest = replace(draft.manifest, agreement=_of_targets(self.matrix, draft.target, names))
            draft.manifest = boards.expect(draft.manifest, draft.files, self.graph, request.device)
            draft.describe(zoo)
        step("write")
        made = [
            write_artifact(out / draft.name, draft.manifest, draft.files, sign=request.sign) for draft in self.drafts
        ]
        serving.write(request.layout, made)
        return made


@dataclass
class Draft:
    """An artefact on trial: written to a temporary folder, measured there, and written for good at the end."""

    target: str
    manifest: Manifest
    files: dict[str, bytes]
    artifact: Artifact
    outputs: NDArray[np.float32]

    @classmethod
    def of(cls, graph: QuantizedGraph, target: str, lowered: Lowered, probes: ProbeSet, folder: Path) -> Draft:
        """Write a first version and run it on the probes."""
        files = {**lowered.files, "probes.npz": probes.to_bytes()}
        manifest = _manifest(graph, target, lowered, len(probes))
        artifact = write_artifact(folder / target, manifest, files)
        return cls(target, manifest, files, artifact, replay(artifact, probes))

    @property
    def name(self) -> str:
        """What the artefact's folder is called."""
        return _name(self.manifest.student, self.target, self.manifest.precision)

    def describe(self, zoo: ZooModel) -> None:
        """Add the card and the description, now that the manifest is complete."""
        self.files |= {**zoo.files, "CARD.md": write_card(self.manifest, self.name).encode()}
        self.files["rdf.yaml"] = write_rdf(self.manifest, self.name, zoo, self.files).encode()


def _name(student: str, target: str, precision: str) -> str:
    return f"{student}-{target}-{precision}"


def _of_targets(matrix: dict[str, dict[str, Any]], target: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A target's row of the matrix: the reference and the other targets, and where it has a file typed in fp16, that
    file's own figures against each of them under "fp16_file".
    """
    peers = {peer: dict(found) for peer, found in matrix[target].items() if peer in (*names, "reference")}
    for peer, found in matrix.get(f"{target} fp16", {}).items():
        if peer in peers:
            peers[peer]["fp16_file"] = found
    return peers


def _manifest(graph: QuantizedGraph, target: str, lowered: Lowered, probes: int) -> Manifest:
    spec = graph.student.spec
    image, result = lowered.tensors(graph)
    floats = sorted(graph.floats.convolutions)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        student=spec.name,
        target=target,
        backend=lowered.backend,
        precision=graph.precision,
        inputs=(image,),
        outputs=(result,),
        normalization=spec.normalization,
        tile=graph.tile,
        overlap=min(OVERLAP, min(graph.tile) // 2),
        threshold=spec.threshold,
        objects=spec.objects,
        scheme=graph.scheme,
        probes=Probes("probes.npz", probes, REFERENCE.format(f"{graph.precision} Q/DQ" if graph.quantized else "fp32")),
        tolerance=TOLERANCES[graph.precision],
        payload=lowered.payload,
        files={},
        accuracy={},
        agreement={},
        operators={**lowered.operators, **({"float_layers": floats} if floats else {})},
        hints=lowered.hints,
        notes=(*lowered.notes, *([f"{len(floats)} layers are kept in float: {', '.join(floats)}."] if floats else [])),
        pixel_size_um=spec.pixel_size_um,
        lineage=graph.student.lineage,
    )
