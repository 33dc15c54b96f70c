"""Where a student comes from: data, licences, versions, command, and which frames it has seen."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from distill import datasets, teachers
from distill.imagenet import SOURCE as IMAGENET
from distill.student import load, weights_digest
from runtime.manifest import DataSource, Lineage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from distill.config import Config
    from distill.datasets import Dataset
    from distill.student import Student

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
    begun = load(config.student.begin_with) if config.student.begin_with else None
    if begun is not None:
        sources += [source for source in begun.lineage.data if source not in sources]
        licences += begun.lineage.licences
        taught_by = _begun(taught_by, begun)
    return Lineage(
        teacher=taught_by,
        weights_sha256=weights_digest(weights),
        data=tuple(sources),
        licences=tuple(dict.fromkeys([*(source.licence for source in sources), *licences])),
        versions=_versions(),
        command="python -m distill fit config.toml",
        trained_on=tuple(sorted(_seen(config, train).union(begun.lineage.trained_on if begun is not None else ()))),
    )


def _begun(taught_by: str | None, begun: Student) -> str:
    """Who taught it, and who taught the student that it begins with."""
    before = f"it begins with {begun.spec.name} (weights {begun.lineage.weights_sha256[:12]})"
    before += f", taught by {begun.lineage.teacher}" if begun.lineage.teacher else ""
    return f"{taught_by}; {before}" if taught_by else before


def _teacher(config: Config) -> tuple[str | None, tuple[str, ...]]:
    """The teacher in words, and its licences."""
    section = config.teacher
    if not section.name:
        return None, ()
    teacher = teachers.load(section.name).open(section)
    described = ", ".join(f"{what} {value}" for what, value in teacher.key().items())
    return f"{section.name} ({described})", tuple(part.strip() for part in teacher.licence.split(";"))


def _seen(config: Config, train: Sequence[Dataset]) -> set[str]:
    """Fingerprints of the training frames, and of the larger frames that they are parts of.

    Of generated frames none, they are as many as one likes; but one fold of a teacher must know which it has seen.
    """
    found: set[str] = set()
    for spec, data in zip(config.data.train, train, strict=True):
        if config.data.fold or not spec.startswith("synthetic:"):
            found.update(datasets.fingerprint(sample) for sample in data)
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
