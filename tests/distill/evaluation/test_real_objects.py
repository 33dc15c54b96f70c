"""Objects of real nuclei: the maps of the bundled students on BBBC038, by the kernel and by the plain reference."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime import kernel
from tests.runtime.kernel import reference

if TYPE_CHECKING:
    from pathlib import Path


FIELDS = ("core_threshold", "core_prominence", "core_smoothing", "min_area")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nuclei-fast", "nuclei-accurate"])
def test_objects_of_real_nuclei_are_those_of_the_reference(name: str, shared_data: Path):
    from distill import datasets
    from distill.evaluation.predict import predictor
    from distill.student.student import load

    student = load(name)
    spec, predict = student.spec, predictor(student.quantized(), student.spec)
    rule = kernel.Rule(spec.threshold, *(getattr(spec.objects, field) for field in FIELDS))
    samples = datasets.open(f"bbbc038:{shared_data}/bbbc038/stage1_train.zip?split=groups", "val")
    found = 0
    for sample in islice((one for one in samples if one.frame.size <= 256 * 256), 8):
        probability, core = predict(sample.frame)
        for seeds in (core, None):
            labels, count = kernel.label(probability, seeds, rule)
            np.testing.assert_array_equal(labels, reference.label(probability, seeds, rule))
            found += count
    assert found > 100
