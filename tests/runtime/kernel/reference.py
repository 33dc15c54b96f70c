"""The labelling of the kernel in plain Python: slow, and written from its description, not from its code."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.kernel import Rule

Pixel = tuple[int, int]
Heights = dict[Pixel, int]
FURTHEST = 46340


def label(probability: np.ndarray, core: np.ndarray | None, rule: Rule) -> np.ndarray:
    """What runtime.kernel.label gives for the same arguments."""
    mask = probability > np.float32(rule.threshold)
    objects: list[list[Pixel]] = []
    for part in parts_of(mask):
        heights = distances(part, mask) if core is None else smooth(levels(part, core), rule.core_smoothing)
        objects += [sorted(one) for one in flood(heights, judge(rule, core)) if len(one) >= rule.min_area]
    labels = np.zeros(probability.shape, np.int32)
    for number, pixels in enumerate(sorted(objects), 1):  # by their first pixels
        labels[tuple(np.transpose(pixels))] = number
    return labels


def neighbours(pixel: Pixel) -> Iterator[Pixel]:
    row, col = pixel
    yield from ((row - 1, col), (row, col - 1), (row, col + 1), (row + 1, col))


def parts_of(mask: np.ndarray) -> Iterator[list[Pixel]]:
    """Pixels of the mask that share edges."""
    left = {(int(row), int(col)) for row, col in np.argwhere(mask)}
    while left:
        part = [left.pop()]
        for pixel in part:
            near = left.intersection(neighbours(pixel))
            left -= near
            part += near
        yield sorted(part)


def levels(part: list[Pixel], core: np.ndarray) -> Heights:
    """The core map in 4096 levels, doubled, and one more, so that 0 is free for what is outside."""
    return {pixel: quantize(core[pixel]) for pixel in part}


def quantize(value: float) -> int:
    value = np.float32(0) if not value > 0 else min(np.float32(value), np.float32(1))
    return 2 * int(value * np.float32(4095) + np.float32(0.5)) + 1


def smooth(heights: Heights, deviation: float) -> Heights:
    """Diffusion inside the part: an eighth of each difference flows in a step; rounded half up."""
    for _ in range(max(1, int(4 * deviation**2 + 0.5)) if deviation > 0 else 0):
        heights = {
            pixel: (8 * own + sum(heights[near] - own for near in neighbours(pixel) if near in heights) + 4) // 8
            for pixel, own in heights.items()
        }
    return heights


def distances(part: list[Pixel], mask: np.ndarray) -> Heights:
    """Squared distances to the nearest pixel of the frame that is not in the mask."""
    background = np.argwhere(~mask)
    if not background.size:
        return dict.fromkeys(part, FURTHEST**2)
    return {pixel: min(FURTHEST**2, int(((background - pixel) ** 2).sum(axis=1).min())) for pixel in part}


def judge(rule: Rule, core: np.ndarray | None) -> Callable[[int, int], bool]:
    """Whether a basin with this summit is an object of its own where its water stands at this level."""
    if core is None:
        return lambda summit, level: differ_by_a_neck(summit, level)
    if rule.core_prominence > 0:
        least = max(1, int(8190 * rule.core_prominence + 0.5))
        return lambda summit, level: summit - level >= least
    threshold = quantize(np.float32(rule.core_threshold))
    return lambda summit, level: summit > threshold >= level


def differ_by_a_neck(summit: int, level: int) -> bool:
    """sqrt(summit) - sqrt(level) > 1 and sqrt(level) < 0.9 * sqrt(summit), without roots."""
    rest = summit - level - 1
    return rest > 0 and rest**2 > 4 * level and 100 * level < 81 * summit


def flood(heights: Heights, is_object: Callable[[int, int], bool]) -> list[list[Pixel]]:
    """The pixels of each object of a part."""
    basin_of: dict[Pixel, Pixel] = {}  # a pixel to the summit at which its basin began
    inside: dict[Pixel, Pixel] = {}  # such a summit to that of the basin that took it in

    def outermost(pixel: Pixel) -> Pixel:
        summit = basin_of[pixel]
        while inside[summit] != summit:
            summit = inside[summit]
        return summit

    def spread(queue: deque[Pixel], level: int) -> None:
        while queue:
            pixel = queue.popleft()
            for near in neighbours(pixel):
                if heights.get(near, 0) < level:
                    continue
                if near not in basin_of:
                    basin_of[near] = basin_of[pixel]
                    queue.append(near)
                lower, higher = sorted((outermost(pixel), outermost(near)), key=lambda summit: heights[summit])
                if lower != higher and not is_object(heights[lower], level):
                    inside[lower] = higher

    for level in sorted(set(heights.values()), reverse=True):
        pixels = sorted(pixel for pixel, height in heights.items() if height == level)
        queue: deque[Pixel] = deque()
        for pixel in pixels:
            above = [near for near in neighbours(pixel) if heights.get(near, 0) > level]
            if above:
                basin_of[pixel] = basin_of[max(above, key=lambda near: heights[near])]  # the first of equal ones
                queue.append(pixel)
        spread(queue, level)
        for pixel in pixels:
            if pixel not in basin_of:
                basin_of[pixel] = inside[pixel] = pixel
                spread(deque([pixel]), level)

    objects: dict[Pixel, list[Pixel]] = {}
    for pixel in heights:
        objects.setdefault(outermost(pixel), []).append(pixel)
    return list(objects.values())
