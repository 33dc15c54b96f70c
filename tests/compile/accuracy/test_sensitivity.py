"""The error of int8 is found at the layer where it enters."""

import numpy as np
import pytest
import torch

from compile.accuracy.sensitivity import Sensor, sensitivity
from compile.accuracy.verify import recorded
from compile.layers import ROUND_ALL, Floats, kept_in_float

CULPRIT, LAYER = "decoder.blocks.2.conv1.2:relu", "decoder.blocks.2.conv2.0"


@pytest.fixture(scope="module")
def sensor(make_student):
    return sensor_of(make_student("mobilenetv3"))


def sensor_of(student):
    return Sensor(student, [frame for frame, _ in recorded(student)], student.spec.threshold)


@pytest.mark.slow
def test_with_everything_rounded_it_is_the_fake_quantised_student(sensor, make_student):
    student = make_student("mobilenetv3")
    with torch.no_grad():
        rounded, plain = (torch.sigmoid(graph.eval()(sensor.crops)) for graph in (student.quantized(), student.graph()))
    assert sensor.effect(ROUND_ALL).difference == pytest.approx(float((rounded - plain).abs().mean()), rel=1e-4)


@pytest.mark.slow
def test_with_nothing_rounded_it_is_the_float_student(sensor):
    layers = sensor.layers
    everything = Floats(
        frozenset(tensor for layer in layers for tensor in layer.tensors), frozenset(layer.name for layer in layers)
    )
    assert sensor.effect(everything).difference < 1e-6
    assert sensor.effect(everything).mask_dice == 1.0


@pytest.mark.slow
def test_a_layer_whose_scale_is_40_times_too_large_comes_first(sabotaged):
    eye, told = sensor_of(sabotaged(CULPRIT)), []
    found = sensitivity(eye, told.append)
    assert (found.rows[0].layer, found.rows[0].reads) == (LAYER, CULPRIT)
    assert found.rows[0].without.difference < 0.5 * found.whole.difference
    assert found.rows[0].without == eye.effect(kept_in_float(eye.layers, [LAYER]))
    assert len(found.rows) == len(eye.layers) == len(told)
    assert [row.alone.difference for row in found.rows] == sorted(
        (r.alone.difference for r in found.rows), reverse=True
    )


@pytest.mark.slow
def test_frames_smaller_than_a_crop_are_mirrored(make_student):
    rng = np.random.default_rng(0)
    student = make_student("mobilenetv3")
    eye = Sensor(student, [rng.integers(0, 60000, (50, 20)).astype(np.uint16)], 0.5)
    assert eye.crops.shape == (1, 1, 32, 32)
