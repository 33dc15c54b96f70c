"""Where a student comes from: data, licences, versions, command, and which frames it has seen."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from distill import datasets
from distill.student import weights_digest
from runtime.manifest import DataSource, Lineage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from distill.config import Config
    from distill.datasets import Dataset

PACKAGES = ("torch", "lightning", "segmentation-models-pytorch", "timm", "numpy", "edgescope")


def lineage(config: Config, train: Sequence[Dataset], weights: Mapping[str, Tensor]) -> Lineage:
    """The lineage of a student trained as ``config`` says on ``train``. No paths: they mean nothing elsewhere."""
    names = [spec.partition(":")[0] for spec in config.data.train]
    sources = tuple(
        DataSource(name, data.licence, f"{len(data)} training images, {data.description}")
        for name, data in zip(names, train, strict=True)
    )
    seen = sorted(
        {
            datasets.fingerprint(sample)
            for name, data in zip(names, train, strict=True)
            if name != "synthetic"
            for sample in data
        }
    )
    return Lineage(
        teacher=None,
        weights_sha256=weights_digest(weights),
        data=sources,
        licences=tuple(dict.fromkeys(source.licence for source in sources)),
        versions=_versions(),
        command="python -m distill fit config.toml",
        trained_on=tuple(seen),
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
