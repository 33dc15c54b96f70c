"""What may segment, in order: the first link runs, the next one steps in when it fails again and again."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import backend as known
from ..artifact.artifact import open_artifact
from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..artifact.manifest import Manifest

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Link:
    """An artefact and the backend that is to run it."""

    artifact: Path
    backend: str
    manifest: Manifest


def build(artifacts: Sequence[Path], backends: Sequence[str] | None) -> list[Link]:
    """The links that can run here, best first; InputError with every reason when there is none.

    artifacts : usually one; further ones are the same student for other backends
    backends : exactly these, in this order; None is every artefact's own, and then all by their rank
    """
    opened = [(one.path, one.manifest) for one in map(open_artifact, artifacts)]
    if backends is None:
        wanted = [(path, manifest, manifest.backend) for path, manifest in opened]
        others = known.by_rank()
        wanted += [(path, manifest, name) for name in others for path, manifest in opened if name != manifest.backend]
    else:
        wanted = [(path, manifest, name) for name in backends for path, manifest in opened]
    links: list[Link] = []
    reasons: list[str] = []
    for path, manifest, name in wanted:
        if reason := known.refusal(name, manifest):
            reasons.append(f"{name}: {reason}")
        else:
            links.append(Link(path, name, manifest))
    if not links:
        msg = f"Nothing here can run {', '.join(map(str, artifacts))}: {'; '.join(reasons) or 'no backend is named'}."
        raise InputError(msg)
    log.debug("the chain is %s; left out: %s", [link.backend for link in links], reasons)
    return links
