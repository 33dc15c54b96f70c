"""Options that several commands have, each declared once.

--channel, --scene, --z and --pixel-size say what is read of an image; --max-memory, --trust, --diameter, --backend,
--device, --threads and --performance are further down.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..artifact.signature import SIGNATURE, VARIABLE, Signature, trusted
from ..errors import InputError
from ..execution import PERFORMANCE, Execution
from ..images.planes import PlaneChoice, number_or_name
from ..objects.rule import RuleChange
from ..system import memory
from ..system.memory import VARIABLE as MAX_MEMORY

if TYPE_CHECKING:
    import argparse

    from ..artifact.artifact import Artifact


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Declare what is read of an image file."""
    parser.add_argument(
        "--channel",
        metavar="N|NAME",
        help="which channel to read: a number from 0, or a name (default: the channel with a nuclear name)",
    )
    parser.add_argument("--scene", metavar="N|NAME", help="which scene to read: a number from 0, or a name")
    parser.add_argument(
        "--z",
        metavar="N|all|max|mean",
        default="all",
        help="one plane of a stack, all planes, or a projection (default: all)",
    )
    parser.add_argument(
        "--pixel-size", type=float, metavar="UM", help="pixel size in micrometres, instead of the image's own"
    )
    parser.add_argument(
        "--max-memory",
        metavar="SIZE",
        help=f"memory limit for one image, such as 4G (default: ${MAX_MEMORY}, or half of the free memory)",
    )


def reading_of(args: argparse.Namespace) -> PlaneChoice:
    """What those options say; the limit of memory is set for this process and its children."""
    memory.set_limit(args.max_memory)
    channel, scene, z = (number_or_name(text) for text in (args.channel, args.scene, args.z))
    return PlaneChoice(channel, scene, "all" if z is None else z, args.pixel_size)


def add_execution(parser: argparse.ArgumentParser, *, performance: bool = False) -> None:
    """Declare how an artefact is executed; performance : whether this command segments frames of many tiles."""
    parser.add_argument("--backend", metavar="B", help="backend to use (default: the artefact's own)")
    parser.add_argument("--device", metavar="D", help='device to use, e.g. "GPU" (default: the backend\'s first)')
    parser.add_argument("--threads", type=int, metavar="N", help="number of threads (default: the backend chooses)")
    if performance:
        parser.add_argument(
            "--performance",
            choices=PERFORMANCE,
            default=PERFORMANCE[0],
            help="throughput: run several tiles of a frame at once, if the backend can (default: latency)",
        )


def execution_of(args: argparse.Namespace) -> Execution:
    """What those options say."""
    performance = getattr(args, "performance", PERFORMANCE[0])
    return Execution(args.backend, args.device, args.threads, performance=performance)


def add_diameter(parser: argparse.ArgumentParser) -> None:
    """Declare the option. Its value is checked where it is read, so that errors look like those of other bad input."""
    parser.add_argument(
        "--diameter",
        metavar="auto|PX|UMum|off",
        help="size of the objects: pixels such as 24, or micrometres such as 8um; auto: from the pixel size, or found "
        "in the image; off: segment images at their own size (default: auto)",
    )


def add_rule(parser: argparse.ArgumentParser) -> None:
    """Declare how masks and objects are made, in place of the artefact's own rule."""
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="foreground probability above which a pixel is in the mask (default: the artefact's)",
    )
    parser.add_argument(
        "--min-area",
        type=int,
        metavar="PX",
        help="area of the smallest object, in pixels of the image (default: the artefact's)",
    )
    parser.add_argument(
        "--prominence",
        type=float,
        metavar="P",
        help="least contrast between touching objects; a larger value separates fewer (default: the artefact's)",
    )


def rule_of(args: argparse.Namespace) -> RuleChange:
    """What those options say; InputError for a number out of its limits."""
    return RuleChange(args.threshold, args.min_area, args.prominence)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--trust",
        type=Path,
        metavar="PUBKEY",
        help=f"public key: refuse an artefact without its signature (default: ${VARIABLE}, or no check)",
    )


def signed_by(artifact: Artifact, trust: Path | None) -> str:
    """In words: by which key, and whether that was verified when the artefact was opened."""
    if SIGNATURE not in artifact.files:
        return "none"
    try:
        key = Signature.read(artifact.files[SIGNATURE]).key_name
    except InputError as error:
        return str(error)
    key_file = trusted(trust)
    return f"by {key}, not verified: give --trust PUBKEY" if key_file is None else f"by {key}, verified with {key_file}"
