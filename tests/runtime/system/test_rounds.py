"""Taking turns: every subject once a round, each round starting with another one."""

from __future__ import annotations

from runtime.errors import EdgescopeError
from runtime.system.rounds import in_rounds


def test_every_round_starts_with_another_subject():
    turns: list[str] = []
    taken = in_rounds("abc", 4, lambda subject, number: turns.append(f"{subject}{number}"))
    assert turns == ["a0", "b0", "c0", "b1", "c1", "a1", "c2", "a2", "b2", "a3", "b3", "c3"]
    assert [len(results) for results in taken.results] == [4, 4, 4]


def test_a_subject_that_fails_is_given_up_and_keeps_what_it_gave():
    def measure(subject: str, number: int) -> int:
        if subject == "b" and number == 1:
            raise EdgescopeError("out of order")
        return number

    taken = in_rounds("ab", 3, measure)
    assert taken.results == [[0, 1, 2], [0]]
    assert {index: str(error) for index, error in taken.errors.items()} == {1: "out of order"}
