"""How far a long work is, for whoever waits for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """what : is being done; fraction : 0 to 1, where it is known; expected_s : seconds in all, where that is known."""

    what: str
    fraction: float | None
    elapsed_s: float
    expected_s: float | None

    def __str__(self) -> str:
        part = "" if self.fraction is None else f", {100 * self.fraction:.0f} %"
        due = "in all not known yet" if self.expected_s is None else f"about {self.expected_s:.0f} s in all"
        return f"{self.what}{part}, {self.elapsed_s:.0f} s ({due})"
