"""What a configuration takes over from the student that it begins with, where it says nothing else."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from distill.student.description import describe
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILT = ("family", "decoder", "squeeze_excite", "encoder", "head_stride", "separable")  # of one family


def inherited(table: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a configuration, with what student.init_from names filled in where a key is left out.

    [student]: family, decoder, encoder, head_stride, separable, squeeze_excite, outputs and percentiles. [data]: the
    meaning of cores, and the size of objects. A configuration of another family takes over the latter two, outputs and
    percentiles alone. InputError where the student is not there and [student] does not say its family: a file that does
    can be read before that student is trained, and `fit` asks for it.
    """
    result = dict(table)
    student = table.get("student")
    if not isinstance(student, dict) or not isinstance(student.get("init_from", ""), str):
        return result  # an error that is told when the sections are read
    if not student.get("init_from"):
        return result
    try:
        begin = describe(student["init_from"])
    except InputError:
        if "family" in student:
            return result
        raise
    spec = asdict(begin.spec)
    own = {"outputs": list(begin.spec.outputs), "channels": list(begin.spec.channels)}
    own |= {"low_percentile": begin.spec.normalization.low, "high_percentile": begin.spec.normalization.high}
    if student.get("family", begin.spec.family) == begin.spec.family:
        own |= {key: list(spec[key]) if isinstance(spec[key], tuple) else spec[key] for key in BUILT}
    data = table.get("data", {})
    size = begin.spec.object_diameter
    objects = {"core": begin.core, "object_diameter": size.median_px if size else 0.0}
    result["student"] = own | student
    if isinstance(data, dict):
        result["data"] = objects | data
    return result
