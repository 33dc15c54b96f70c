"""Where a student comes from: data, licences, versions, command, and which frames it has seen."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from distill import datasets, teachers
from distill.networks.imagenet import SOURCE as IMAGENET
from distill.student.student import load, weights_digest
from runtime.artifact.manifest import DataSource, Lineage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from distill.config.sections import Config
    from distill.datasets import Dataset
    from distill.student.student import Student

PACKAGES = ("torch", "lightning", "segmentation-models-pytorch", "timm", "numpy", "edgescope")


def lineage(config: Config, train: Sequence[Dataset], weights: Mapping[str, Tensor]) -> Lineage:
    """The lineage of a student trained as ``config`` says on ``train``. No paths: they mean nothing elsewhere.

    A teacher's licence is taken over like that of the data: a student of a non-commercial teacher is non-commercial.
    """
    names = [spec.partition(":")[0] for spec in config.data.train]
    sources = [
        DataSource(name, data.licence, f"{len(data)} training images, {data.description}")
        for name, data in zip(names, train, strict=True)
    ]
    if config.student.encoder_weights:
        sources.append(IMAGENET)
    taught_by, licences = _teacher(config)
    seen = _seen(config, train)
    if config.student.init_from:
        begun = load(config.student.init_from)
        sources += [source for source in begun.lineage.data if source not in sources]
        licences += begun.lineage.licences
        seen.update(begun.lineage.trained_on)
    each = (part.strip() for source in sources for part in source.licence.split(";"))  # a student's are several
    licences = (*each, *licences)
    if config.student.init_from:
        sources.append(_begun(begun))
    return Lineage(
        teacher=taught_by,
        weights_sha256=weights_digest(weights),
        data=tuple(sources),
        licences=tuple(dict.fromkeys(licences)),
        versions=_versions(),
        command="python -m distill fit config.toml",
        trained_on=tuple(sorted(seen)),
    )


def _begun(student: Student) -> DataSource:
    """The student whose weights a training begins with."""
    known = f"the training began with the weights of this student ({student.lineage.weights_sha256[:12]})"
    known += f", whose teacher was {student.lineage.teacher}" if student.lineage.teacher else ""
    return DataSource(student.spec.name, "; ".join(student.lineage.licences), known)


def _teacher(config: Config) -> tuple[str | None, tuple[str, ...]]:
    """The teacher in words, and its licences."""
    section = config.teacher
    if not section.name:
        return None, ()
    teacher = teachers.open_teacher(section)
    described = ", ".join(f"{what} {value}" for what, value in teacher.key().items())
    return f"{section.name} ({described})", tuple(part.strip() for part in teacher.licence.split(";"))


def _seen(config: Config, train: Sequence[Dataset]) -> set[str]:
    """Fingerprints of the training frames, and of the larger frames that they are parts of.

    Of generated frames none, they are as many as one likes; but one fold of a teacher must know which it has seen.
    """
    found: set[str] = set()
    for spec, data in zip(config.data.train, train, strict=True):
        if config.data.fold or not datasets.is_generated(spec):
            found.update(data.fingerprints())
            found.update(datasets.frame_fingerprint(frame) for frame in data.origins(data.names))
    return found


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
