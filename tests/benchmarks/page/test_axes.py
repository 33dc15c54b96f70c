"""Axes place what they show within the chart, and name round values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.page.axes import ChartAxis, from_zero, linear, logarithmic

values = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=8)


@given(values)
@pytest.mark.parametrize("make", [linear, logarithmic, from_zero])
def test_every_value_and_tick_lies_within_the_chart(make, shown: list[float]):
    axis = make(shown)
    assert all(0 <= axis.place(value) <= 100 for value in shown)
    assert 2 <= len(axis.ticks) <= 8
    assert all(0 <= tick.place <= 100 for tick in axis.ticks)


@given(values)
@pytest.mark.parametrize("make", [linear, logarithmic, from_zero])
def test_places_are_in_the_order_of_the_values(make, shown: list[float]):
    axis = make(shown)
    places = [axis.place(value) for value in sorted(shown)]
    assert places == sorted(places)


def test_ticks_are_round():
    assert [tick.text for tick in ChartAxis(0.83, 0.97).ticks] == ["0.85", "0.9", "0.95"]
    assert [tick.text for tick in ChartAxis(3, 70, log=True).ticks] == ["5", "10", "20", "50"]


def test_an_axis_ends_where_values_must():
    assert linear([0.9, 1.0], floor=0.0, ceiling=1.0).high == 1.0
