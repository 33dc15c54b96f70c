"""The networks that people would use in place of ours, one file each, and ours beside them.

A file offers NETWORK. It is opened in a process of its own, by the Python of the environment in which its packages are
(see `benchmarks/rivals.py`), so it imports them only when it is opened, and nothing of ours but this contract. Weights
are untrained: how long a network takes does not depend on them.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from runtime.errors import InputError
from runtime.records import Record

OURS = "edgescope"
WHOLE_FRAME = "whole_frame"  # ours, too: not the network alone, but all that is done with a frame
NOT_NETWORKS = frozenset({"measure"})

Run = Callable[[], Any]


@dataclass(frozen=True)
class Question(Record):
    """One network on one frame: a .npy file of float32 (H, W) in [0, 1], or any other file, whose bytes it is given.

    repeats : timed calls at most; seconds : no further call is begun after that long, but two there are
    memory_mb : more than this is not taken from the system; None sets no limit
    artifact : of ours"""

    network: str
    frame: str
    threads: int
    repeats: int
    seconds: float
    memory_mb: int | None
    artifact: str | None


class Network(Protocol):
    """What a file of this folder offers as NETWORK.

    title, description : for people; what is built, exactly
    requirements : what the environment needs, in pip's notation; empty: this environment has it
    with_torch : the CPU's build of torch will do
    packages : whose versions belong in the report"""

    title: str
    description: str
    requirements: tuple[str, ...]
    with_torch: bool
    packages: tuple[str, ...]

    def open(self, frame: Any, question: Question) -> Run:
        """Build the network; the call runs it on the frame and returns when the result is there.

        frame : float32 (H, W); the bytes of a file for WHOLE_FRAME
        """
        ...


def names() -> tuple[str, ...]:
    """The networks in this folder, ours first; imports none of them."""
    found = {module.name for module in pkgutil.iter_modules(__path__)} - NOT_NETWORKS - {OURS, WHOLE_FRAME}
    return (OURS, *sorted(found))


def load(name: str) -> Network:
    """The network called `name`, or WHOLE_FRAME; InputError when there is none."""
    if name not in (*names(), WHOLE_FRAME):
        msg = f"Network {name!r} is unknown; choose of {', '.join(names()[1:])}."
        raise InputError(msg)
    return import_module(f".{name}", __package__).NETWORK
