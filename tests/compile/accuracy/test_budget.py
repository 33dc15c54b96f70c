"""What is refused, and what is said then."""

import pytest

from compile.accuracy.budget import over_budget, remedy
from compile.accuracy.sensitivity import Effect, LayerError, Sensitivity


def found(without: float) -> Sensitivity:
    rows = (
        LayerError("decoder.a", "decoder.x:relu", Effect(0.09, 0.9), Effect(without, 0.99)),
        LayerError("decoder.b", "decoder.y:relu", Effect(0.01, 0.99), Effect(0.1, 0.9)),
    )
    return Sensitivity(Effect(0.1, 0.9), rows, 4)


@pytest.mark.parametrize("drop", [-3.0, 0.0, 0.5])
def test_a_loss_up_to_the_budget_is_allowed(drop):
    assert over_budget({"intel": drop, "jetson": -1.0}, 0.5) is None


def test_without_a_budget_everything_is_allowed():
    assert over_budget({"intel": 80.0}, None) is None


def test_the_target_that_lost_most_is_named():
    said = over_budget({"intel": 0.7, "jetson": 3.456, "microscope": 0.1}, 0.5)
    assert said == "jetson is 3.46 Dice points below the fp32 student, more than the 0.5 allowed"


def test_a_single_culprit_is_to_be_kept_in_float():
    text = remedy(found(0.02))
    assert "enters most at layer decoder.a, which reads decoder.x:relu" in text
    assert text.endswith("keep it in float: --precision auto")


def test_an_error_of_many_layers_is_to_be_trained_away():
    assert "it is no single layer: train the quantised phase longer" in remedy(found(0.07))


def test_a_float_artefact_has_no_layer_to_blame():
    assert "layer" not in remedy(None)
