"""Outlines of objects along the edges of their pixels: what a polygon must be to hold exactly these pixels."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Point = tuple[int, int]  # (x, y) of a pixel's corner; pixel (row, col) spans x col..col+1 and y row..row+1
Ring: TypeAlias = "list[Point]"  # closed: the last point is the first
Polygon: TypeAlias = "list[Ring]"  # the outline, then the holes

# Directions, each the clockwise neighbour of the one before (y grows downwards).
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def outline(mask: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> list[Polygon]:
    """The polygons of one object, as a rule one; several when its pixels do not all share edges.

    mask : bool (h, w), the object; origin : (row, column) of the mask's corner in the frame
    Outlines run clockwise on the screen, holes the other way. Only corners are listed. Rings are simple (none crosses
    or touches itself), so that the polygons are valid for JTS, which QuPath stands on; a hole may touch its outline.
    """
    row, col = origin
    return [
        [[(x + col, y + row) for x, y in _corners(ring)] for ring in polygon]
        for part in _parts(mask)
        for polygon in _polygons(_trace(_edges(part)))
    ]


def _parts(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The mask, or where pixels meet at a corner its parts that hang together by edges."""
    if not _meets_at_a_corner(mask):
        return [mask]
    left = set(map(tuple, np.argwhere(mask).tolist()))
    parts: list[NDArray[np.bool_]] = []
    while left:
        part, ahead = np.zeros_like(mask), [left.pop()]
        while ahead:
            row, col = ahead.pop()
            part[row, col] = True
            beside = {(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)} & left
            left -= beside
            ahead += beside
        parts.append(part)
    return parts


def _meets_at_a_corner(mask: NDArray[np.bool_]) -> bool:
    a, b, c, d = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1], mask[1:, 1:]
    return bool(((a & d & ~b & ~c) | (b & c & ~a & ~d)).any())


def _polygons(rings: list[Ring]) -> list[Polygon]:
    """Give each hole to its outline."""
    shells = [ring for ring in rings if _area(ring) > 0]
    polygons: list[Polygon] = [[shell] for shell in shells]
    for hole in (ring for ring in rings if _area(ring) < 0):
        polygons[_shell_of(hole, shells)].append(hole)
    return polygons


def _trace(edges: dict[Point, list[int]]) -> list[Ring]:
    """Follow the edges with the object on the right hand; where two ways go on, the left one keeps rings simple."""
    rings: list[Ring] = []
    while edges:
        start = next(iter(edges))
        ring, direction = [start], edges[start][0]
        while len(ring) == 1 or ring[-1] != start:
            ways = edges[ring[-1]]
            direction = (direction - 1) % 4 if len(ways) == 2 and len(ring) > 1 else ways[0]
            ways.remove(direction)
            if not ways:
                del edges[ring[-1]]
            ring.append((ring[-1][0] + STEPS[direction][0], ring[-1][1] + STEPS[direction][1]))
        rings.append(ring)
    return rings


def _edges(mask: NDArray[np.bool_]) -> dict[Point, list[int]]:
    """For each corner, the directions in which an edge leaves it, with the object on its right hand."""
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1]
    sides = (
        (padded[:-2, 1:-1], 0, (0, 0)),  # over the pixel: along its top, from its top left corner
        (padded[1:-1, 2:], 1, (1, 0)),  # right of it: down, from its top right corner
        (padded[2:, 1:-1], 2, (1, 1)),  # under it: back, from its bottom right corner
        (padded[1:-1, :-2], 3, (0, 1)),  # left of it: up, from its bottom left corner
    )
    edges: dict[Point, list[int]] = {}
    for beside, direction, (dx, dy) in sides:
        for row, col in np.argwhere(inner & ~beside).tolist():
            edges.setdefault((col + dx, row + dy), []).append(direction)
    return edges


def _corners(ring: Ring) -> Ring:
    """Leave out the points on straight lines, and close the ring again."""
    before = ring[-2:-1] + ring[:-2]
    kept = [b for a, b, c in zip(before, ring[:-1], ring[1:], strict=True) if _turns(a, b, c)]
    return [*kept, kept[0]]


def _turns(a: Point, b: Point, c: Point) -> bool:
    return (b[0] - a[0]) * (c[1] - b[1]) != (b[1] - a[1]) * (c[0] - b[0])


def _area(ring: Ring) -> float:
    """Signed area by the shoelace formula: over 0 for an outline, under 0 for a hole."""
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring)) / 2


def _shell_of(hole: Ring, shells: list[Ring]) -> int:
    """Index of the smallest shell around a hole."""
    if len(shells) == 1:
        return 0
    (x, y), (next_x, next_y) = hole[0], hole[1]
    dx, dy = np.sign(next_x - x), np.sign(next_y - y)
    # The centre of the pixel on the right of the hole's first edge: it is one of the object's.
    inside = x + dx / 2 - dy / 2, y + dy / 2 + dx / 2
    around = [i for i, shell in enumerate(shells) if _contains(shell, inside)]
    return min(around, key=lambda i: _area(shells[i]))


def _contains(ring: Ring, point: tuple[float, float]) -> bool:
    """Whether a point that lies on no edge is inside: a ray to the left crosses an odd number of upright edges."""
    x, y = point
    crossed = [a[0] < x and min(a[1], b[1]) < y < max(a[1], b[1]) for a, b in itertools.pairwise(ring)]
    return sum(crossed) % 2 == 1
