"""What a user changes of the rule for masks and objects."""

import pytest

from runtime.artifact.manifest import Objects
from runtime.errors import InputError
from runtime.objects.instances import scaled_rule
from runtime.objects.rule import UNCHANGED, RuleChange

OBJECTS = Objects(core_threshold=0.5, min_area=30, core_prominence=0.1, core_smoothing=1.6)


def test_nothing_is_changed_without_a_change():
    assert UNCHANGED.scaled(OBJECTS, 0.5) == scaled_rule(OBJECTS, 0.5)
    assert UNCHANGED.cut(0.625) == 0.625


def test_the_smallest_area_is_in_pixels_of_the_frame():
    assert RuleChange(min_area=7).scaled(OBJECTS, 0.5).min_area == 7
    assert RuleChange(min_area=0).scaled(OBJECTS, 1.0).min_area == 0


def test_prominence_and_threshold_take_the_place_of_the_artefacts():
    change = RuleChange(threshold=0.3, prominence=0.4)
    assert change.cut(0.625) == 0.3
    assert change.scaled(OBJECTS, 1.0).core_prominence == 0.4
    assert change.scaled(OBJECTS, 1.0).min_area == 30


def test_the_later_change_counts():
    assert RuleChange(threshold=0.3).over(RuleChange(0.5, 9)) == RuleChange(0.3, 9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threshold": 1.0}, "threshold is 1"),
        ({"threshold": 0.0}, "threshold is 0"),
        ({"min_area": -1}, "smallest area is -1"),
        ({"prominence": 1.5}, "prominence is 1.5"),
        ({"prominence": float("nan")}, "prominence is nan"),
    ],
)
def test_numbers_out_of_their_limits_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        RuleChange(**change)


def test_an_area_that_the_kernel_cannot_count_is_refused():
    with pytest.raises(InputError, match="min_area is 1000000000000000"):
        RuleChange(min_area=10**30).scaled(OBJECTS, 1.0)
