"""A student that begins with another one's weights begins as what that was."""

from dataclasses import replace

import pytest
import torch

from distill import students
from distill.networks.spec import StudentSpec
from distill.student.student import Student, load
from distill.training.initialization import init_from
from runtime.errors import InputError

BUNDLED = ("nuclei-fast", "nuclei-accurate")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(4, 1, 256, 256, generator=torch.Generator().manual_seed(0))


def fresh(spec: StudentSpec) -> torch.nn.Module:
    torch.manual_seed(5)
    return students.load(spec.family).build(spec)


@pytest.mark.parametrize("name", BUNDLED)
def test_the_same_family_begins_as_what_the_student_is(name: str, images):
    student = load(name)
    model = fresh(student.spec)
    init_from(model, student, images)
    with torch.no_grad():
        found, expected = model.eval()(images), student.graph()(images)
        torch.testing.assert_close(found.sigmoid(), expected.sigmoid(), atol=2e-3, rtol=0)
        trained = model.train()(images)  # with the statistics of the batch, which are those that were put in
    torch.testing.assert_close(trained.sigmoid(), expected.sigmoid(), atol=2e-3, rtol=0)


def test_another_decoder_takes_what_is_alike(images):
    student = load("nuclei-accurate")
    spec = replace(student.spec, decoder=(*student.spec.decoder, 32), head_stride=student.spec.head_stride // 2)
    model = fresh(spec)
    before = model.head.weight.clone()
    init_from(model, student, images)
    kept = student.weights["decoder.stages.1.mix.0.weight"]
    assert torch.equal(model.get_submodule("decoder.stages.1.mix.0").weight, kept)
    assert torch.equal(model.head.weight, before)
    with torch.no_grad():
        *_, finer, fine, coarse = model.eval().encoder(images)
        first, second, _ = model.decoder.stages
        features = second(first(coarse, fine), finer)
        whole = fresh(student.spec)
        init_from(whole, student, images)
        expected = whole.eval().decoder(whole.encoder(images))
    torch.testing.assert_close(features, expected, atol=1e-2, rtol=1e-2)


def test_a_student_that_has_nothing_in_common_is_refused(images):
    student: Student = load("nuclei-accurate")
    model = fresh(replace(load("nuclei-fast").spec, family="resnet18", encoder=(), head_stride=1, decoder=(8,) * 5))
    with pytest.raises(InputError, match="no convolution of nuclei-accurate has its like"):
        init_from(model, student, images)
