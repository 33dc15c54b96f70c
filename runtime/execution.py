"""How an artefact is executed: one record, handed from the edge (a command, a host) to the backend."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InputError
from .records import Record

PERFORMANCE = ("latency", "throughput")


@dataclass(frozen=True)
class Execution(Record):
    """None leaves a choice to the artefact or to its backend.

    backend : exactly this one; None is the artefact's own, or the reference where that one is not installed
    device : of the backend, e.g. "CPU", "GPU", "CUDA:1"; None is its first
    threads : at least 1
    precision_hint : in place of the manifest's, for backends that have one
    performance : "throughput" runs several tiles of a frame at once, each on fewer cores, for backends that can
    requests : how many tiles at once where performance is "throughput"; None leaves it to the backend
    InputError for fewer than one thread and an unknown performance.
    """

    backend: str | None = None
    device: str | None = None
    threads: int | None = None
    precision_hint: str | None = None
    performance: str = "latency"
    requests: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            msg = f"Threads is {self.threads}; it must be at least 1, or left out."
            raise InputError(msg)
        if self.performance not in PERFORMANCE:
            msg = f"Performance is {self.performance!r}; it must be one of {', '.join(PERFORMANCE)}."
            raise InputError(msg)


DEFAULT = Execution()
