"""verify: replay an artefact's probes here, and compare with what its reference gave."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..artifact.artifact import open_artifact
from ..artifact.probes import replay
from ..errors import BudgetMissed
from ..segmenter import Segmenter
from .options import add_execution, add_trust, execution_of
from .output import write_json

if TYPE_CHECKING:
    import argparse

NAME = "verify"
EXAMPLE = "verify artifacts/nuclei-fast-intel-int8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", type=Path, help="artefact folder or .zip")
    add_trust(parser)
    add_execution(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 0, or BudgetMissed when the replay is outside the tolerance."""
    artifact = open_artifact(args.artifact, args.trust)
    manifest, probes = artifact.manifest, artifact.probes()
    with Segmenter.of(artifact, execution_of(args), probe=False) as segment:
        result = replay(segment.run_tile, probes, manifest.threshold, manifest.channels.index("foreground"))
        found = {"artifact": str(args.artifact), "backend": segment.backend, **segment.description}
    due = manifest.tolerance
    misses = result.misses(due)
    print(f"{manifest.student} for {manifest.target}, {manifest.precision}: {len(probes)} probes")
    print(f"run by     {found['library']} {found['version']} on {found['device']}")
    print(f"reference  {manifest.probes.reference}")
    print(f"max |dp|   {result.probability_max:.6f}   at most  {due.probability_max:.6f}")
    print(f"mean |dp|  {result.probability_mean:.6f}   at most  {due.probability_mean:.6f}")
    print(f"mask Dice  {result.mask_dice:.6f}   at least {due.mask_dice:.6f}")
    tolerance = due.to_dict()
    write_json(args.json, {**found, **asdict(result), "tolerance": tolerance, "passed": not misses})
    if misses:
        msg = f"{args.artifact} does not reproduce its probes here: {'; '.join(misses)}; do not use it here."
        raise BudgetMissed(msg)
    print("passed")
    return 0
