"""The objective: one loss of each role, added up; what has no labels is not learnt from as if it had."""

import pytest
import torch

from distill import losses
from distill.config.sections import LossSection
from distill.losses import LossInput
from distill.training.objective import Objective, check_teacher_used, terms_of
from runtime.errors import InputError

ALL = LossSection(matching="mse", boundary="gradient", weighting="kendall")


def batch(labelled: tuple[bool, ...] = (True, True), teacher: bool = True) -> LossInput:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 16, 16, generator=generator, requires_grad=True)
    target = (torch.rand(2, 2, 16, 16, generator=generator) > 0.5).float()
    soft = torch.rand(2, 1, 16, 16, generator=generator) if teacher else None
    return LossInput(logits, target, torch.tensor(labelled), soft)


def values(found: tuple[torch.Tensor, dict[str, torch.Tensor]]) -> tuple[float, dict[str, float]]:
    """The total and the terms as numbers."""
    total, terms = found
    return total.item(), {role: term.item() for role, term in terms.items()}


def test_fixed_weights_add_the_terms_up():
    section = LossSection(matching="mse", boundary="gradient", matching_weight=3.0, boundary_weight=0.5)
    total, terms = values(Objective(section)(batch()))
    assert list(terms) == ["supervised", "matching", "boundary"]
    assert total == pytest.approx(terms["supervised"] + 3 * terms["matching"] + 0.5 * terms["boundary"])


def test_each_term_is_its_loss():
    _, terms = values(Objective(ALL)(batch()))
    for role, name in (("supervised", "dice_bce"), ("matching", "mse"), ("boundary", "gradient")):
        assert terms[role] == pytest.approx(losses.load(name)(batch()).item())


def test_weights_start_as_they_are_given():
    section = LossSection(matching="mse", weighting="kendall", matching_weight=2.0)
    assert Objective(section).weighting.weights() == pytest.approx({"supervised": 1.0, "matching": 2.0})


def test_learnt_weights_are_parameters_and_fixed_ones_are_not():
    assert [*Objective(ALL).parameters()]
    assert not [*Objective(LossSection(matching="mse")).parameters()]


def test_where_no_crop_has_labels_terms_that_need_them_are_left_out():
    _, terms = Objective(LossSection(matching="mse", boundary="weightmap"))(batch((False, False)))
    assert list(terms) == ["matching"]


def test_the_weight_of_a_term_that_was_left_out_does_not_move():
    objective = Objective(ALL)
    total, _ = objective(batch((False, False)))
    total.backward()
    gradient = next(objective.parameters()).grad
    assert gradient is not None  # DDP waits for every parameter
    assert float(gradient[0]) == 0.0
    assert float(gradient[1]) != 0.0


def test_one_labelled_crop_is_enough():
    _, terms = Objective(ALL)(batch((True, False)))
    assert "supervised" in terms


def test_unlabelled_crops_do_not_teach_their_labels():
    one = batch((True, False))
    changed = LossInput(one.logits, one.target.clone(), one.labelled, one.teacher)
    changed.target[1] = 1 - changed.target[1]
    assert torch.equal(Objective(ALL)(one)[0], Objective(ALL)(changed)[0])


def test_a_batch_that_nothing_can_be_learnt_from_has_no_gradient():
    given = batch((False, False), teacher=False)
    total, terms = Objective(LossSection())(given)
    total.backward()
    assert not terms
    assert total.detach() == 0.0
    assert given.logits.grad is not None
    assert not given.logits.grad.any()


def test_the_teacher_alone_can_teach():
    _, terms = Objective(LossSection(supervised="", matching="mse"))(batch((False, False)))
    assert list(terms) == ["matching"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (LossSection(matching="gradient"), "'gradient' is boundary and not matching"),
        (LossSection(boundary="sobel"), "There is no loss 'sobel'"),
        (LossSection(matching="hinton", matching_options={"heat": 4.0}), "has no option 'heat'"),
        (LossSection(weighting="dynamic"), "There is no weighting 'dynamic'"),
    ],
)
def test_what_there_is_not_is_refused(section: LossSection, said: str):
    with pytest.raises(InputError) as error:
        Objective(section)
    assert said in str(error.value)


def test_a_teacher_must_be_heard():
    with pytest.raises(InputError, match="No loss listens to the teacher 'sam'"):
        check_teacher_used("sam", terms_of(LossSection(boundary="weightmap")))
    check_teacher_used("sam", terms_of(LossSection(matching="cwd")))
    check_teacher_used("", terms_of(LossSection()))
