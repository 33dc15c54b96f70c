"""The Pareto front: what nothing else beats in one figure without being beaten in the other."""

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other one dominates, from the cheapest on.

    points : (cost, worth); a point dominates another if it costs no more and is worth no less, and differs. Of equal
        points all are kept."""
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    kept: list[int] = []
    for i in order:
        if not kept or points[i][1] > points[kept[-1]][1] or points[i] == points[kept[-1]]:
            kept.append(i)
    return kept
