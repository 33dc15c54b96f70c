"""The size of objects is seen from coarse to fine, with a network that fails as networks do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from runtime.artifact.manifest import Objects, ObjectSize
from runtime.frames.resize import resize
from runtime.segmentation.seeing import Look, Seen, certainty, see

SIZE = ObjectSize(20.0, 12.0, 32.0)
TILE = (128, 128)
LIMITS = (0.0, 1.0)


def discs(shape: tuple[int, int], diameter: float, spacing: float | None = None) -> np.ndarray:
    """Bright discs on a grid."""
    spacing = spacing or 2 * diameter
    rows, cols = np.indices(shape)
    away = np.hypot(rows % spacing - spacing / 2, cols % spacing - spacing / 2)
    return (away < diameter / 2).astype(np.float32)


class Network:
    """Sure of what is wider than 7 pixels, faint below; takes things over 45 pixels for the texture inside them."""

    def __init__(self) -> None:
        self.pixels = 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        self.pixels += image.size
        bright = image > 0.5
        clear, wide = (_parts_that_hold(bright, side) for side in (5, 32))
        rows, cols = np.indices(image.shape)
        texture = wide & ((rows // 6 + cols // 6) % 2 == 0)
        foreground = np.where(clear & ~texture, 0.95, np.where(bright & ~wide, 0.6, 0.02))
        return np.stack([foreground, foreground]).astype(np.float32)


def _parts_that_hold(bright: np.ndarray, side: int) -> np.ndarray:
    """The connected parts that a square of that side fits into."""
    parts, _ = ndimage.label(bright)
    fitting = np.unique(parts[ndimage.binary_opening(bright, np.ones((side, side)))])
    return np.isin(parts, fitting[fitting > 0])


def look(network: Network, frame: np.ndarray) -> tuple[Seen | None, bool]:
    return see(frame, LIMITS, Look(network, TILE, 0, 1, 0.5, Objects(0.5, 4), SIZE))


@pytest.mark.parametrize("diameter", [11, 16, 24, 40, 70, 110, 160])
def test_the_diameter_is_seen_within_a_tenth(diameter: int):
    frame = discs((640, 640), diameter)
    seen, is_anything = look(Network(), frame)
    assert is_anything
    assert seen is not None
    assert seen.diameter_px == pytest.approx(diameter, rel=0.12)


def test_objects_of_a_tenfold_magnification_are_seen():
    seen, _ = look(Network(), discs((1920, 1920), 350))
    assert seen is not None
    assert seen.diameter_px == pytest.approx(350, rel=0.12)


def test_large_objects_are_seen_on_a_coarse_level_alone():
    frame = discs((640, 640), 110)
    network = Network()
    seen, _ = look(network, frame)
    assert seen is not None
    assert network.pixels == 80 * 80


def test_fine_levels_are_looked_at_in_windows():
    frame = discs((1024, 1024), 11)
    network = Network()
    seen, _ = look(network, frame)
    assert seen is not None
    assert network.pixels <= 64**2 + 128**2 + 256**2 + 3 * 2 * 128**2


def test_nothing_is_seen_in_an_empty_frame():
    assert look(Network(), np.zeros((256, 256), np.float32)) == (None, False)


def test_one_object_that_fills_the_frame_is_not_believed():
    frame = np.ones((256, 256), np.float32)
    seen, _ = look(Network(), frame)
    assert seen is None


def test_faint_objects_are_no_answer():
    frame = discs((640, 640), 24)

    def faint(image: np.ndarray) -> np.ndarray:
        return np.stack([np.where(image > 0.5, 0.65, 0.05)] * 2).astype(np.float32)

    assert see(frame, LIMITS, Look(faint, TILE, 0, 1, 0.5, Objects(0.5, 4), SIZE)) == (None, True)


def test_the_same_frame_gives_the_same_answer_whatever_its_type():
    frame = discs((640, 640), 40)
    whole = (frame * 4000 + 100).astype(np.uint16)

    def maps(image: np.ndarray) -> np.ndarray:
        return np.stack([np.clip((image - 100) / 4000, 0.02, 0.98)] * 2).astype(np.float32)

    one, other = (
        see(each, (100.0, 4100.0), Look(maps, TILE, 0, 1, 0.5, Objects(0.5, 4), SIZE))
        for each in (whole, whole.astype(np.float32))
    )
    assert one == other
    assert one[0] is not None
    assert one[0].diameter_px == pytest.approx(40, rel=0.12)
    assert resize(whole, (80, 80)).dtype == np.float32


class Milder(Network):
    """The same network with its probabilities nearer to one half: 0.86 where the other says 0.95."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        maps = super().__call__(image)
        return np.where(maps > 0.9, 0.86, maps).astype(np.float32)


def test_a_student_that_is_never_surer_is_believed_where_it_says_so():
    frame, mild = discs((640, 640), 40), Milder()
    assert look(mild, frame)[0] is None
    told = ObjectSize(20.0, 12.0, 32.0, certainty=0.72)
    seen, _ = see(frame, LIMITS, Look(mild, TILE, 0, 1, 0.5, Objects(0.5, 4), told))
    assert seen is not None
    assert seen.diameter_px == pytest.approx(40, rel=0.12)
    unsure = ObjectSize(20.0, 12.0, 32.0, certainty=0.8)
    assert see(frame, LIMITS, Look(mild, TILE, 0, 1, 0.5, Objects(0.5, 4), unsure))[0] is None


def test_a_student_that_cannot_see_the_size_is_not_asked():
    network, blind = Network(), ObjectSize(20.0, 12.0, 32.0, certainty=1.0)
    assert see(discs((640, 640), 40), LIMITS, Look(network, TILE, 0, 1, 0.5, Objects(0.5, 4), blind)) == (None, True)
    assert network.pixels == 0


def test_certainty_is_the_distance_from_one_half():
    assert certainty(np.array([0.5, 1.0, 0.75], np.float32)) == pytest.approx(0.5)
    assert certainty(np.zeros(0, np.float32)) == 0.0
