"""The scale of a frame: what the user asks for, what pixel sizes say, and the factor that follows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.artifact.manifest import ObjectSize
from runtime.errors import InputError
from runtime.frames.scale import (
    AS_IT_IS,
    AUTO,
    LARGEST_FACTOR,
    SMALLEST_FACTOR,
    DiameterRequest,
    Scale,
    check_pixel_size,
    factor_for,
    known_scale,
    median_diameter,
)

SIZE = ObjectSize(20.0, 12.0, 32.0)
MADE_FOR = 0.5  # um


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ("auto", 0)),
        ("auto", ("auto", 0)),
        ("off", ("off", 0)),
        (24, ("px", 24)),
        (24.5, ("px", 24.5)),
        ("24", ("px", 24)),
        ("24 px", ("px", 24)),
        ("8um", ("um", 8)),
        (" 8.5 UM ", ("um", 8.5)),
        ("8\u00b5m", ("um", 8)),
        ("8\u03bcm", ("um", 8)),
    ],
)
def test_a_diameter_is_read(text, expected):
    request = DiameterRequest.of(text)
    assert (request.kind, request.value) == expected


@pytest.mark.parametrize("text", ["", "big", "0", 0, -3, "nan", "inf", "8mm", "um", True, "8 um um"])
def test_what_is_no_diameter_is_refused_with_the_value(text):
    with pytest.raises(InputError, match=r"The diameter is .*; give auto, off"):
        DiameterRequest.of(text)


def test_off_is_off():
    assert known_scale(DiameterRequest("off"), 0.1, SIZE, MADE_FOR) == AS_IT_IS


def test_a_given_diameter_comes_before_the_pixel_size():
    assert known_scale(DiameterRequest("px", 80), 0.5, SIZE, MADE_FOR) == Scale(0.25, 80, "given")
    assert known_scale(DiameterRequest("um", 8), 0.1, SIZE, MADE_FOR) == Scale(0.25, 80, "given")


def test_micrometres_need_a_pixel_size():
    with pytest.raises(InputError, match="The diameter is 8 um, and the pixel size of the frame is not known"):
        known_scale(DiameterRequest("um", 8), None, SIZE, None)


def test_a_student_that_does_not_know_its_size_takes_no_diameter():
    with pytest.raises(InputError, match="does not say which size of object"):
        known_scale(DiameterRequest("px", 8), None, None, None)


@pytest.mark.parametrize(
    ("pixel_size", "factor"), [(1.0, 2.0), (0.6, 1.0), (0.5, 1.0), (0.1, 0.2), (5.0, 1.0), (0.001, 1.0)]
)
def test_pixel_sizes_decide_where_both_are_known(pixel_size: float, factor: float):
    scale = known_scale(AUTO, pixel_size, None, MADE_FOR)
    assert scale is not None
    assert (scale.factor, scale.source) == (pytest.approx(factor), "pixel_size")


def test_the_size_of_objects_in_micrometres_decides_with_the_pixel_size():
    size = ObjectSize(20.0, 12.0, 32.0, median_um=10.0)
    assert known_scale(AUTO, 0.1, size, None) == Scale(0.2, 100, "pixel_size")


def test_without_a_size_a_frame_stays_as_it_is():
    assert known_scale(AUTO, 1.0, None, None) == AS_IT_IS


def test_otherwise_the_frame_is_to_be_looked_at():
    assert known_scale(AUTO, None, SIZE, None) is None
    assert known_scale(AUTO, 0.3, SIZE, None) is None


@given(st.floats(0.5, 2000))
def test_the_factor_brings_objects_into_the_range_or_to_its_limit(diameter: float):
    factor = factor_for(diameter, SIZE)
    assert SMALLEST_FACTOR <= factor <= LARGEST_FACTOR
    if SMALLEST_FACTOR < factor < LARGEST_FACTOR:
        assert SIZE.low_px <= diameter * factor <= SIZE.high_px
    if SIZE.low_px <= diameter <= SIZE.high_px:
        assert factor == 1.0


def test_the_median_diameter_is_that_of_discs():
    areas = np.array([0, math.pi * 25, 7, math.pi * 100])
    assert median_diameter(areas) == pytest.approx(10)
    assert median_diameter(np.zeros(3)) is None
    assert median_diameter(np.zeros(0)) is None


@pytest.mark.parametrize("size", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_pixel_size_is_refused(size: float):
    with pytest.raises(InputError, match="must be over 0"):
        check_pixel_size(size)


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (Scale(0.18, 109.2, "seen"), "objects of 109 px (seen), resized by 0.18"),
        (Scale(1.0, 20.0, "given"), "objects of 20 px (given), as it is"),
        (Scale(2.0, None, "pixel_size"), "(pixel size), resized by 2"),
        (Scale(1.0, None, "unseen"), "size of the objects not seen, as it is"),
        (AS_IT_IS, "as it is"),
    ],
)
def test_a_scale_can_be_read(scale: Scale, words: str):
    assert str(scale) == words


@pytest.mark.parametrize("values", [(0, 0, 1), (20, 21, 30), (20, 10, 19), (20, 10, math.inf), (math.nan, 1, 2)])
def test_sizes_that_are_none_are_refused(values):
    with pytest.raises(InputError, match="diameters must satisfy"):
        ObjectSize(*values)


@pytest.mark.parametrize("certainty", [-0.1, 1.1, math.nan])
def test_a_certainty_that_is_none_is_refused(certainty: float):
    with pytest.raises(InputError, match=r"certainty is .*; it must be from 0 to 1"):
        ObjectSize(20.0, 12.0, 32.0, certainty=certainty)
