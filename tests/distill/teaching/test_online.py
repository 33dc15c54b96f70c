"""A teacher that sees the student's crops: it speaks of all outputs, and learns nothing."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from distill import losses
from distill.config.sections import TeacherSection
from distill.losses import LossInput
from distill.student.student import load
from distill.teaching.online import OnlineTeacher, online_teacher
from runtime.errors import InputError

SECTION = TeacherSection(name="unet", weights="distill/pretrained/nuclei-fast", options={"looks_at": "crops"})


class Constant(nn.Module):
    """Says the same of every pixel."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(logit))
        self.norm = nn.BatchNorm2d(1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, 1, h, w) -> (N, 2, h, w)."""
        return (0 * self.norm(image) + self.logit).repeat(1, 2, 1, 1)


def test_several_speak_as_the_mean_of_their_probabilities():
    teacher = OnlineTeacher([Constant(-20.0), Constant(0.0), Constant(20.0)])
    said = teacher(torch.rand(2, 1, 8, 8))
    assert said.shape == (2, 2, 8, 8)
    torch.testing.assert_close(said, torch.full_like(said, 0.5))


def test_it_learns_nothing_not_even_statistics():
    teacher = OnlineTeacher([Constant(1.0)]).train()
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    assert not teacher(torch.rand(2, 1, 8, 8)).requires_grad
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_a_student_folder_is_a_teacher():
    spec = load("nuclei-fast").spec
    image = torch.rand(1, 1, 256, 256)
    teacher = online_teacher(SECTION, spec)
    assert teacher is not None
    expected = load("nuclei-fast").graph()(image).sigmoid()
    torch.testing.assert_close(teacher(image), expected, atol=1e-5, rtol=0)


def test_who_looks_at_fields_is_not_online():
    spec = load("nuclei-fast").spec
    assert online_teacher(replace(SECTION, options={**SECTION.options, "looks_at": "fields"}), spec) is None
    assert online_teacher(TeacherSection(), spec) is None


def test_a_teacher_of_other_outputs_is_refused():
    spec = replace(load("nuclei-fast").spec, outputs=("foreground",))
    with pytest.raises(InputError, match="outputs"):
        online_teacher(SECTION, spec)


@pytest.mark.parametrize("name", ["hinton", "mse"])
def test_a_matching_loss_hears_every_output(name: str):
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 8, 8, requires_grad=True)
    labelled = torch.ones(2, dtype=torch.bool)
    said = torch.rand(2, 2, 8, 8)
    loss = losses.load(name)
    of_all = loss(LossInput(logits, torch.zeros(2, 2, 8, 8), labelled, said))
    alone = [loss(LossInput(logits[:, [i]], torch.zeros(2, 1, 8, 8), labelled, said[:, [i]])) for i in range(2)]
    torch.testing.assert_close(of_all, torch.stack(alone).mean())
    of_foreground = loss(LossInput(logits, torch.zeros(2, 2, 8, 8), labelled, said[:, :1]))
    torch.testing.assert_close(of_foreground, alone[0])
