"""Measure several things in turns, so that whatever disturbs a shared machine disturbs all of them alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ..errors import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True)
class Rounds(Generic[T]):
    """What each subject gave, in the order of the subjects; errors: why a subject was given up, by its index."""

    results: list[list[T]]
    errors: dict[int, EdgescopeError]


def in_rounds(
    subjects: Sequence[S],
    rounds: int,
    measure: Callable[[S, int], T],
    begin: Callable[[int], None] = lambda number: None,
) -> Rounds[T]:
    """Every subject once, then every subject again, each round starting with another one: A B C, B C A, C A B.

    measure : gets the subject and the number of the round, from 0; a subject whose measurement raises EdgescopeError is
        given up, and keeps what it gave before.
    begin : told the number of each round
    """
    taken = Rounds[T]([[] for _ in subjects], {})
    for number in range(rounds):
        begin(number)
        for place in range(len(subjects)):
            index = (place + number) % len(subjects)
            if index in taken.errors:
                continue
            try:
                taken.results[index].append(measure(subjects[index], number))
            except EdgescopeError as error:
                taken.errors[index] = error
    return taken
