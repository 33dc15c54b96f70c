"""A student compiled for every target of a request and measured, before anything is written for good."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compile import lint, targets
from compile.accuracy.scales import ScaleMisfit, misfits
from compile.accuracy.verify import REFERENCE, TOLERANCES, agreement, make_probes, replay, replay_role
from compile.bundle.card import write_card
from compile.bundle.rdf import write_rdf
from compile.export import QuantizedGraph, export, export_mixed
from distill.evaluation.predict import OVERLAP
from runtime.artifact.artifact import write_artifact
from runtime.artifact.manifest import SCHEMA_VERSION, Manifest, Probes
from runtime.errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from compile.accuracy.verify import Matrix, Validation
    from compile.bundle.zoo import ZooModel
    from compile.request import Request
    from compile.target import Lowered, Target
    from distill.student.student import Student
    from runtime.artifact.artifact import Artifact
    from runtime.artifact.manifest import Accuracy, Agreement
    from runtime.artifact.probes import ProbeSet


def try_out(
    student: Student, request: Request, layers: Sequence[str], validation: Validation, step: Callable[[str], None]
) -> Trial:
    """Compile for every target, and measure; nothing is written for good.

    layers : convolutions that are kept in float, for the precision "mixed" alone
    """
    step("export")
    tile, precision = request.tile or student.spec.tile, request.precision
    graph = export_mixed(student, tile, layers) if precision == "mixed" else export(student, tile, precision)
    lint.check(graph.reference, lint.EVERY, f"the graph of {student.spec.name}")
    probes = make_probes(graph)
    step("measure the fp32 student")
    unfit = misfits(student, probes.inputs, graph.floats) if graph.quantized else []
    if reason := validation.untrained():
        raise EdgescopeError(f"{reason} Besides, its scheme does not fit: {unfit[0]}." if unfit else reason)
    if unfit:
        raise ScaleMisfit.of(student.spec.name, unfit)
    with tempfile.TemporaryDirectory(prefix="edgescope-") as folder:
        drafts = [_draft(graph, targets.load(name), request, probes, Path(folder), step) for name in request.targets]
        step("replay the probes")
        outputs = {draft.target.name: draft.outputs for draft in drafts}
        variants = {variant: found for draft in drafts for variant, found in draft.replayed_variants(probes)}
        matrix = agreement({**outputs, **variants}, probes, student, precision)
        intensity = validation.intensity()
        for draft in drafts:
            step(f"measure the accuracy of {draft.target.name}")
            accuracy = validation.accuracy(draft.artifact, request.max_drop)
            draft.manifest = replace(draft.manifest, accuracy=accuracy, intensity=intensity)
        validation.add_agreement(matrix)
    return Trial(graph, drafts, matrix)


def _draft(
    graph: QuantizedGraph,
    target: Target,
    request: Request,
    probes: ProbeSet,
    folder: Path,
    step: Callable[[str], None],
) -> Draft:
    """Lower the graph, write a first version of the artefact, and run it on the probes."""
    if reason := target.refuses(graph):
        msg = f"Target {target.name} refuses {graph.student.spec.name}: {reason}"
        raise InputError(msg)
    step(f"lower to {target.name}")
    return Draft.of(graph, target, target.lower(graph, request.options.get(target.name, {})), probes, folder)


@dataclass
class Trial:
    """A student compiled for every target and measured. matrix : as `agreement` gives it."""

    graph: QuantizedGraph
    drafts: list[Draft]
    matrix: Matrix

    @property
    def accuracy(self) -> dict[str, Accuracy]:
        """By target."""
        return {draft.target.name: draft.manifest.accuracy for draft in self.drafts if draft.manifest.accuracy}

    @property
    def drops(self) -> dict[str, float]:
        """Dice points below the fp32 student by target."""
        return {target: accuracy.drop_points for target, accuracy in self.accuracy.items()}

    def describe(self, zoo: ZooModel) -> None:
        """Add agreement, card and description, now that all is measured."""
        names = [draft.target.name for draft in self.drafts]
        for draft in self.drafts:
            draft.manifest = replace(draft.manifest, agreement=self._row(draft, names))
            draft.describe(zoo)

    def _row(self, draft: Draft, names: Sequence[str]) -> dict[str, Agreement]:
        """A target's row of the matrix: the reference and the other targets, and each of its variants against these."""
        name, peers = draft.target.name, (*names, "reference")
        row = {peer: one for peer, one in self.matrix[name].items() if peer in peers}
        for variant in draft.variants:
            others = self.matrix.get(_variant_name(name, variant), {})
            row |= {f"{variant}_file: {peer}": one for peer, one in others.items() if peer in peers and peer != name}
        return row


@dataclass
class Draft:
    """An artefact on trial: written to a temporary folder, measured there, and written for good at the end."""

    target: Target
    manifest: Manifest
    files: dict[str, bytes]
    artifact: Artifact
    outputs: NDArray[np.float32]
    variants: Mapping[str, str]

    @classmethod
    def of(cls, graph: QuantizedGraph, target: Target, lowered: Lowered, probes: ProbeSet, folder: Path) -> Draft:
        """Write a first version and run it on the probes."""
        files = {**lowered.files, "probes.npz": probes.to_bytes()}
        manifest = manifest_of(graph, target.name, lowered, len(probes))
        artifact = write_artifact(folder / target.name, manifest, files)
        return cls(target, manifest, files, artifact, replay(artifact, probes), lowered.variants)

    @property
    def name(self) -> str:
        """What the artefact's folder is called."""
        return artifact_name(self.manifest.student, self.target.name, self.manifest.precision)

    def replayed_variants(self, probes: ProbeSet) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The outputs of the target's further files, each under the name that the agreement gives it."""
        for variant, role in self.variants.items():
            yield _variant_name(self.target.name, variant), replay_role(self.artifact, role, probes)

    def describe(self, zoo: ZooModel) -> None:
        """Add the card and the description, now that the manifest is complete."""
        self.files |= {**zoo.files, "CARD.md": write_card(self.manifest, self.name, self.target).encode()}
        self.files["rdf.yaml"] = write_rdf(self.manifest, self.name, zoo, self.files).encode()


def artifact_name(student: str, target: str, precision: str) -> str:
    """What an artefact's folder is called."""
    return f"{student}-{target}-{precision}"


def _variant_name(target: str, variant: str) -> str:
    return f"{target} {variant}"


def manifest_of(graph: QuantizedGraph, target: str, lowered: Lowered, probes: int) -> Manifest:
    """The manifest of what was lowered, before anything of it was measured. probes : how many there are"""
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
        accuracy=None,
        agreement={},
        operators=replace(lowered.operators, float_layers=tuple(floats)),
        hints=lowered.hints,
        notes=(*lowered.notes, *([f"{len(floats)} layers are kept in float: {', '.join(floats)}."] if floats else [])),
        pixel_size_um=spec.pixel_size_um,
        object_diameter=spec.object_diameter,
        lineage=graph.student.lineage,
        board=lowered.board,
    )
