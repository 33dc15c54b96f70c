"""What can be built, and what is refused with the key that says it."""

from dataclasses import replace

import pytest

from distill.networks.spec import StudentSpec
from distill.student import validation
from runtime.errors import InputError

STOCK = StudentSpec("tiny", "mobilenetv3")
LEAN = StudentSpec("tiny", "plain", decoder=(8, 8, 8), head_stride=2)


@pytest.mark.parametrize(
    "spec",
    [
        STOCK,
        LEAN,
        replace(LEAN, decoder=(8,), encoder=(4, 8)),
        replace(LEAN, decoder=(8,) * 4, encoder=(4,) * 5, separable=True),
        replace(LEAN, head_stride=4, encoder=(4,) * 5),
        replace(LEAN, family="efficientnet_lite0"),
    ],
)
def test_what_can_be_built_passes(spec: StudentSpec):
    validation.check(spec)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (replace(LEAN, head_stride=3), "student.head_stride is 3, but the decoder of plain ends at 2 or 4"),
        (replace(LEAN, head_stride=0), "student.head_stride is 0"),
        (replace(LEAN, head_stride=1, decoder=(8,) * 5), "set student.head_stride = 2."),
        (replace(STOCK, head_stride=3), "the decoder of mobilenetv3 ends at 1 or 2 or 4; set student.head_stride = 1."),
        (
            replace(STOCK, family="swin_tiny", head_stride=2),
            "the decoder of swin_tiny ends at 1; set student.head_stride = 1.",
        ),
        (replace(STOCK, decoder=()), "student.decoder is []; it must be five positive channel counts."),
        (replace(STOCK, decoder=(8, 8, 8, 8, 0)), "must be five positive channel counts"),
        (replace(LEAN, decoder=()), "with head_stride 2 it must be one to four positive channel counts."),
        (replace(LEAN, decoder=(8,) * 5), "student.decoder is [8, 8, 8, 8, 8]; with head_stride 2"),
        (replace(LEAN, decoder=(8, -1)), "student.decoder is [8, -1]"),
        (replace(LEAN, head_stride=4, decoder=(8,) * 4), "with head_stride 4 it must be one to three"),
        (
            replace(LEAN, encoder=(8, 8)),
            "student.encoder is [8, 8]; a decoder of three stages and head_stride 2 need four",
        ),
        (replace(LEAN, encoder=(8, 8, 8, 0)), "need four positive widths"),
        (replace(LEAN, family="efficientnet_lite0", encoder=(8,) * 4), "efficientnet_lite0 is as it is; leave it out."),
        (replace(STOCK, encoder=(8,) * 5), "student.encoder is [8, 8, 8, 8, 8], but the encoder of mobilenetv3"),
        (replace(STOCK, separable=True), "student.separable is true"),
        (replace(STOCK, family="vgg"), "There is no student 'vgg'"),
    ],
)
def test_what_cannot_be_built_is_refused_by_its_key(spec: StudentSpec, said: str):
    with pytest.raises(InputError) as error:
        validation.check(spec)
    assert said in str(error.value)


def test_the_section_is_named_as_it_is_called():
    with pytest.raises(InputError, match=r"^study\.teacher\.decoder is \[8\]"):
        validation.check(replace(STOCK, decoder=(8,)), "study.teacher")
