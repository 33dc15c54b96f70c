"""A scale that does not fit what the student computes is named, with its layer."""

from dataclasses import replace

import pytest

from compile.accuracy.scales import ScaleMisfit, misfits
from compile.layers import ROUND_ALL, Floats


def test_the_scales_of_training_fit(make_student, fields):
    assert misfits(make_student("mobilenetv3"), fields, ROUND_ALL) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tensor", "layer", "made"),
    [
        ("input", "encoder.model.conv_stem", False),
        ("decoder.blocks.2.conv1.2:relu", "decoder.blocks.2.conv2.0", False),
        ("decoder.blocks.3:cat", "encoder.model.blocks.0.0.conv_dw", False),  # not the first of its group
        ("segmentation_head.0:conv2d", "segmentation_head.0", True),
    ],
)
def test_one_that_is_40_times_too_large_is_the_only_misfit(sabotaged, fields, tensor, layer, made):
    (found,) = misfits(sabotaged(tensor), fields, ROUND_ALL)
    assert (found.tensor, found.layer, found.made) == (tensor, layer, made)
    assert found.times > 16
    text = str(ScaleMisfit.of("tiny", [found]))
    assert f"layer {layer}: the scale of {tensor}, which it {'makes' if made else 'reads'}," in text


def test_a_tensor_that_is_not_rounded_needs_no_scale(sabotaged, fields):
    student = sabotaged("decoder.blocks.2.conv1.2:relu")
    assert misfits(student, fields, Floats(frozenset(["decoder.blocks.2.conv1.2:relu"]))) == []


def test_weights_that_grew_40_times_overflow_their_scale(make_student, fields):
    student = make_student("mobilenetv3")
    name = "decoder.blocks.2.conv1.0"
    grown = {key: 40 * value if key.startswith(name) else value for key, value in student.weights.items()}
    worst = misfits(replace(student, weights=grown), fields, ROUND_ALL)[0]
    assert worst.times < 1
    assert "times too small for its values" in str(worst)
    assert worst.layer == "decoder.blocks.2.conv2.0"
