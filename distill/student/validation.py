"""Whether a student can be built as its spec says: asked of a configuration, and of a student's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill import students
from runtime.errors import InputError

if TYPE_CHECKING:
    from distill.networks.spec import StudentSpec

DEEPEST = 5  # halvings that an encoder can make: its stride is then 32
COUNTS = ("no", "one", "two", "three", "four", "five")


def check(spec: StudentSpec, where: str = "student") -> None:
    """InputError names the key of the section ``where`` that the family of ``spec`` cannot be built by."""
    family = students.load(spec.family)
    if spec.head_stride not in family.head_strides:
        known = " or ".join(map(str, family.head_strides))
        msg = (
            f"{where}.head_stride is {spec.head_stride}, but the decoder of {spec.family} ends at {known}; "
            f"set {where}.head_stride = {family.head_strides[0]}."
        )
        raise InputError(msg)
    _check_decoder(spec, where)
    _check_encoder(spec, where, family.encoder_from)
    if spec.separable and spec.head_stride == 1:
        msg = f"{where}.separable is true, but the decoder of {spec.family} has plain convolutions alone; leave it out."
        raise InputError(msg)


def _check_decoder(spec: StudentSpec, where: str) -> None:
    most = DEEPEST - (spec.depth - len(spec.decoder))
    least = DEEPEST if spec.head_stride == 1 else 1
    if least <= len(spec.decoder) <= most and min(spec.decoder) >= 1:
        return
    wanted = COUNTS[most] if least == most else f"{COUNTS[least]} to {COUNTS[most]}"
    how = "" if spec.head_stride == 1 else f"with head_stride {spec.head_stride} "
    msg = f"{where}.decoder is {list(spec.decoder)}; {how}it must be {wanted} positive channel counts."
    raise InputError(msg)


def _check_encoder(spec: StudentSpec, where: str, begins: int | None) -> None:
    if not spec.encoder:
        return
    if begins is None:
        msg = f"{where}.encoder is {list(spec.encoder)}, but the encoder of {spec.family} is as it is; leave it out."
        raise InputError(msg)
    count = spec.depth - begins.bit_length() + 2
    if len(spec.encoder) != count or min(spec.encoder) < 1:
        msg = (
            f"{where}.encoder is {list(spec.encoder)}; a decoder of {COUNTS[len(spec.decoder)]} stages and "
            f"head_stride {spec.head_stride} need {COUNTS[count]} positive widths."
        )
        raise InputError(msg)
