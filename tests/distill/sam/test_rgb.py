"""Channels as colours: in the order that was said."""

import numpy as np
import pytest

from distill.sam.rgb import Rgb
from runtime.errors import InputError

RNG = np.random.default_rng(0)
PLANES = {"nucleus": RNG.integers(0, 4000, (20, 30), np.uint16), "membrane": RNG.integers(9, 900, (20, 30), np.uint16)}


def picture(*names: str) -> np.ndarray:
    rgb = Rgb.of(names)
    return rgb.picture(np.stack([PLANES[name] for name in rgb.channels]))


def scaled(name: str) -> np.ndarray:
    low, high = np.percentile(PLANES[name], (0.1, 99.8))
    return np.rint(255 * ((PLANES[name] - low) / (high - low)).clip(0, 1).astype(np.float32)).astype(np.uint8)


@pytest.mark.parametrize(
    "names",
    [("blank", "nucleus", "membrane"), ("membrane", "nucleus", "blank"), ("nucleus", "nucleus", "nucleus")],
)
def test_each_colour_is_the_channel_that_was_said(names):
    shown = picture(*names)
    assert shown.dtype == np.uint8
    for place, name in enumerate(names):
        expected = np.zeros((20, 30), np.uint8) if name == "blank" else scaled(name)
        assert np.array_equal(shown[..., place], expected)


def test_grey_is_the_luma_in_all_colours():
    shown = picture("grey")
    luma = np.rint(0.299 * scaled("membrane").astype(float) + 0.587 * scaled("nucleus"))
    assert np.abs(shown[..., 0] - luma).max() <= 1
    assert (shown == shown[..., :1]).all()
    assert np.array_equal(shown, picture("grey", "membrane", "nucleus", "blank"))
    assert not np.array_equal(shown, picture("grey", "nucleus", "membrane", "blank"))


def test_a_channel_that_is_shown_twice_is_asked_for_once():
    assert Rgb.of(("nucleus", "nucleus", "membrane")).channels == ("nucleus", "membrane")
    assert Rgb.of(("grey",)).channels == ("membrane", "nucleus")


def test_a_constant_channel_is_black():
    assert not Rgb.of(("nucleus", "blank", "blank")).picture(np.full((1, 5, 5), 77, np.uint16)).any()


@pytest.mark.parametrize(
    "names",
    [(), ("nucleus",), ("blank",) * 3, ("nucleus", "membrane"), ("nucleus", "grey", "blank"), ("grey", "nucleus")],
)
def test_what_is_no_mapping_is_refused(names):
    with pytest.raises(InputError, match=r"rgb is \["):
        Rgb.of(names)
