"""student + target -> artefact. The whole flow: export, lower, prove, write."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compile import boards, npu, targets
from compile.card import write_card
from compile.export import QuantizedGraph, export
from compile.lint import lint
from compile.rdf import write_rdf
from compile.verify import REFERENCE, TOLERANCES, Validation, agreement, make_probes, replay
from distill.predict import OVERLAP
from runtime.artifact import check_place, write_artifact
from runtime.errors import BudgetMissed, InputError
from runtime.manifest import SCHEMA_VERSION, Manifest, Probes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from compile.lowered import Lowered
    from distill.student import Student
    from runtime.artifact import Artifact
    from runtime.probes import ProbeSet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to build.

    tile : (h, w); max_drop : Dice points below the fp32 student, or None for no budget
    npu : full names of the NPUs that the microscope artefact gets a file for, as compile.npu.check gives them
    device : the Jetson board, or None; see compile.boards
    """

    targets: tuple[str, ...]
    precision: str
    tile: tuple[int, int]
    validate: str | None = None
    max_drop: float | None = None
    npu: tuple[str, ...] = ()
    device: str | None = None


def build(
    student: Student, request: Request, out: Path, step: Callable[[str], None] = lambda what: None
) -> list[Artifact]:
    """Compile ``student`` for the targets of ``request`` into ``out``/STUDENT-TARGET-PRECISION.

    All or nothing: BudgetMissed when a target is less accurate than allowed or disagrees with the others,
    InputError when it cannot be lowered; then no artefact is written.
    step : called with what is being done
    """
    chosen = [targets.load(name) for name in request.targets]
    for name in request.targets:
        check_place(out / _name(student.spec.name, name, request.precision))
    step("export")
    graph = export(student, request.tile, request.precision)
    lint(graph)
    probes = make_probes(graph)
    step("measure the fp32 student")
    validation = Validation(student, request.validate)
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
        matrix = agreement({draft.target: draft.outputs for draft in drafts}, probes, student, request.precision)
        step("measure accuracy")
        for draft in drafts:
            accuracy = validation.accuracy(draft.artifact)
            _hold_budget(draft.target, accuracy["drop_points"], request.max_drop)
            draft.manifest = replace(draft.manifest, accuracy=accuracy, intensity=validation.intensity())
        validation.add_agreement(matrix)
    for draft in drafts:
        draft.manifest = replace(draft.manifest, agreement=matrix[draft.target])
        draft.manifest = boards.expect(draft.manifest, draft.files, graph, request.device)
        draft.describe()
    step("write")
    return [write_artifact(out / draft.name, draft.manifest, draft.files) for draft in drafts]


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

    def describe(self) -> None:
        """Add the card and the description, now that the manifest is complete."""
        texts = {"CARD.md": write_card(self.manifest, self.name), "rdf.yaml": write_rdf(self.manifest, self.name)}
        self.files |= {file: text.encode() for file, text in texts.items()}


def _name(student: str, target: str, precision: str) -> str:
    return f"{student}-{target}-{precision}"


def _hold_budget(target: str, drop: float, allowed: float | None) -> None:
    if allowed is not None and drop > allowed:
        msg = (
            f"{target} is {drop:.2f} Dice points below the fp32 student, more than the {allowed:g} allowed; "
            "try --precision fp16, or train the quantised phase longer. Nothing was written."
        )
        raise BudgetMissed(msg)


def _manifest(graph: QuantizedGraph, target: str, lowered: Lowered, probes: int) -> Manifest:
    spec = graph.student.spec
    image, result = lowered.tensors(graph)
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
        scheme=graph.student.scheme if graph.quantized else None,
        probes=Probes("probes.npz", probes, REFERENCE.format("int8 Q/DQ" if graph.quantized else "fp32")),
        tolerance=TOLERANCES[graph.precision],
        payload=lowered.payload,
        files={},
        accuracy={},
        agreement={},
        operators=lowered.operators,
        hints=lowered.hints,
        notes=lowered.notes,
        pixel_size_um=spec.pixel_size_um,
        lineage=graph.student.lineage,
    )


def auto(
    student: Student, request: Request, out: Path, step: Callable[[str], None] = lambda what: None
) -> list[Artifact]:
    """Build in int8 if the student holds the budget there, else in fp16, else in fp32."""
    order: Sequence[str] = ("int8", "fp16", "fp32") if student.scheme else ("fp16", "fp32")
    for precision in order[:-1]:
        try:
            return build(student, replace(request, precision=precision), out, step)
        except BudgetMissed as error:
            log.warning("%s: %s", precision, error)
    return build(student, replace(request, precision=order[-1]), out, step)
