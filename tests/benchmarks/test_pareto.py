"""The Pareto front holds what nothing dominates, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pareto import front

few = st.integers(0, 6).map(float)  # few values, so that ties are common
points = st.lists(st.tuples(few, few), max_size=12)


def dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(points)
def test_the_front_is_what_no_point_dominates(given_points: list[tuple[float, float]]):
    kept = [i for i, p in enumerate(given_points) if not any(dominates(q, p) for q in given_points)]
    assert sorted(front(given_points)) == kept


@given(points)
def test_the_front_goes_from_cheap_to_dear(given_points: list[tuple[float, float]]):
    costs = [given_points[i][0] for i in front(given_points)]
    assert costs == sorted(costs)
