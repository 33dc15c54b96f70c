"""info: an artefact's content, accuracy and origin, which backends can run it here, and if it reproduces its probe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .. import backend, metrics
from ..artifact.artifact import open_artifact
from ..errors import EdgescopeError
from ..segmenter import Segmenter
from .options import add_trust, signed_by
from .output import write_json

if TYPE_CHECKING:
    import argparse

    from ..artifact.artifact import Artifact
    from ..artifact.manifest import Manifest

NAME = "info"
EXAMPLE = "info artifacts/nuclei-fast-intel-int8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", type=Path, help="artefact folder or .zip")
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    """Print a summary; --json writes the whole manifest."""
    artifact = open_artifact(args.artifact, args.trust)
    manifest = artifact.manifest
    candidates = sorted({*backend.names(), manifest.backend})
    refusals = {name: backend.refusal(name, manifest) for name in candidates}
    signed = signed_by(artifact, args.trust)
    for name, value in {**_summary(artifact), "signature": signed}.items():
        print(f"{name:<14} {value}")
    own = backend.find(manifest.backend)
    for note in own.notes() if own else ():
        print(f"{'note':<14} {note}")
    print("runs here")
    for name, reason in refusals.items():
        print(f"  {name:<12} {'yes' if reason is None else 'no: ' + reason}")
    probe = _probed(artifact)
    print(f"{'probe':<14} {probe}")
    write_json(
        args.json,
        {
            "artifact": str(args.artifact),
            "size_bytes": artifact.size_bytes,
            "signature": signed,
            "manifest": manifest.to_dict(),
            "backends": refusals,
            "probe": probe,
        },
    )
    return 0


def _probed(artifact: Artifact) -> str:
    """What a probe shows here, in words, whatever it is; nothing that takes minutes is built for it."""
    manifest = artifact.manifest
    if all(backend.refusal(name, manifest) for name in (manifest.backend, backend.reference())):
        return "not replayed: nothing here can run it"
    try:
        if reason := backend.choose(manifest).unprepared(artifact, None):
            return f"not replayed: {reason}"
        with Segmenter.of(artifact) as segment:
            return f"{segment.description['probe']} ({segment.backend}, {segment.description['device']})"
    except EdgescopeError as error:
        return f"not reproduced: {error}"


def _summary(artifact: Artifact) -> dict[str, str]:
    manifest = artifact.manifest
    how, lineage, operators = manifest.normalization, manifest.lineage, manifest.operators
    pixel = "unknown" if manifest.pixel_size_um is None else f"{manifest.pixel_size_um:g} um"
    return {
        "student": manifest.student,
        "target": f"{manifest.target}, {manifest.precision}, run by {manifest.backend}",
        "size": f"{artifact.size_bytes / 1e6:.2f} MB in {len(artifact.files)} files",
        "output": f"{', '.join(manifest.channels)}; mask where foreground > {manifest.threshold:g}",
        "tile": f"{manifest.tile[0]}x{manifest.tile[1]}, overlap {manifest.overlap} pixels",
        "normalised": f"percentiles {how.low:g} to {how.high:g} of the frame",
        "pixel size": pixel,
        **_board(manifest),
        "accuracy": _accuracy(manifest),
        "agreement": ", ".join(f"{peer} {one.mask_dice:.4f}" for peer, one in manifest.agreement.items()) or "none",
        "operators": f"{operators.int8_convolutions} of {operators.convolutions} convolutions in int8 "
        f"({operators.measured})",
        "teacher": lineage.teacher or "none",
        "data": ", ".join(f"{source.name} ({source.licence})" for source in lineage.data) or "unknown",
        "licences": ", ".join(lineage.licences) or "unknown",
        "notes": " ".join(manifest.notes) or "none",
    }


def _board(manifest: Manifest) -> dict[str, str]:
    board = manifest.board
    if board is None:
        return {}
    memory = f"about {board.build_mb} MB to build an engine and {board.run_mb} MB to run it, of {board.memory_gb} GB"
    return {"board": f"{board.name}, SM {board.sm}; {memory}; estimated"}


def _accuracy(manifest: Manifest) -> str:
    accuracy = manifest.accuracy
    if accuracy is None:
        return "not measured"
    means = ", ".join(
        f"{metrics.load(name).title} {score.mean:.{metrics.load(name).decimals}f}"
        for name, score in accuracy.scores.items()
        if name in metrics.names()
    )
    drop = f"{accuracy.drop_points:.2f} Dice points below the fp32 student"
    return f"{means}; {drop}; {accuracy.images} images: {accuracy.data}"
