"""The contract of a network that is timed, in a process of its own.

A file of the folder networks/ offers NETWORK. It is opened by the Python of the environment in which its packages are
(see `benchmarks/rivals/flow.py`), so it imports them only when it is opened, and nothing of ours but this contract.
Weights are untrained: how long a network takes does not depend on them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from runtime.records import Record

Run = Callable[[], Any]


@dataclass(frozen=True)
class NetworkJob(Record):
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
    """What a file of networks/ offers as NETWORK.

    title, description : for people; what is built, exactly
    requirements : what the environment needs, in pip's notation; empty: this environment has it
    with_torch : the CPU's build of torch will do
    packages : whose versions belong in the report"""

    @property
    def title(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def requirements(self) -> tuple[str, ...]: ...
    @property
    def with_torch(self) -> bool: ...
    @property
    def packages(self) -> tuple[str, ...]: ...

    def open(self, frame: Any, job: NetworkJob) -> Run:
        """Build the network; the call runs it on the frame and returns when the result is there.

        frame : float32 (H, W); the bytes of a file for a whole frame
        """
        ...
