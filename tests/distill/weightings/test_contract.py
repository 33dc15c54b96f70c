"""What holds for every weighting."""

import copy

import pytest
import torch

from distill import weightings
from runtime.errors import InputError

TERMS = {"dice_bce": "classification", "mse": "regression", "gradient": "classification"}
LEARNT = ["kendall", "liebel"]


def values(*numbers: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(number, requires_grad=True) for name, number in zip(TERMS, numbers, strict=True)}


@pytest.mark.parametrize("name", weightings.names())
def test_a_weighting_is_called_as_its_file(name: str):
    assert weightings.load(name).name == name


@pytest.mark.parametrize("name", weightings.names())
def test_all_start_with_the_factor_one(name: str):
    assert weightings.load(name).build(TERMS).weights() == pytest.approx(dict.fromkeys(TERMS, 1.0))


@pytest.mark.parametrize("name", weightings.names())
def test_given_factors_are_the_start(name: str):
    module = weightings.load(name).build(TERMS, {"mse": 5.0, "gradient": 0.25})
    assert module.weights() == pytest.approx({"dice_bce": 1.0, "mse": 5.0, "gradient": 0.25})


@pytest.mark.parametrize("name", weightings.names())
def test_the_weights_told_are_the_weights_used(name: str):
    module = weightings.load(name).build(TERMS, {"mse": 5.0})
    losses = values(0.7, 0.01, 0.4)
    module(losses).backward()
    assert {term: float(loss.grad) for term, loss in losses.items()} == pytest.approx(module.weights())


@pytest.mark.parametrize("name", weightings.names())
def test_the_total_is_a_float32_scalar(name: str):
    total = weightings.load(name).build(TERMS)(values(0.7, 0.01, 0.4))
    assert total.dtype == torch.float32
    assert total.shape == ()


@pytest.mark.parametrize("name", weightings.names())
def test_the_order_of_the_losses_is_of_no_account(name: str):
    module = weightings.load(name).build(TERMS, {"mse": 5.0})
    losses = values(0.7, 0.01, 0.4)
    expected = float(module(losses).detach())
    assert float(module(dict(reversed(losses.items()))).detach()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", weightings.names())
def test_a_term_that_is_left_out_does_not_count(name: str):
    module = weightings.load(name).build(TERMS, {"mse": 5.0})
    losses = values(0.7, 0.01, 0.4)
    del losses["dice_bce"]
    alone = weightings.load(name).build({term: TERMS[term] for term in losses}, {"mse": 5.0})
    assert float(module(losses).detach()) == pytest.approx(float(alone(losses).detach()))


@pytest.mark.parametrize("name", LEARNT)
def test_a_term_that_is_left_out_keeps_its_weight(name: str):
    module = weightings.load(name).build(TERMS)
    losses = values(0.7, 0.01, 0.4)
    del losses["dice_bce"]
    module(losses).backward()
    (parameter,) = module.parameters()
    assert parameter.grad is not None
    assert [bool(slope) for slope in parameter.grad] == [False, True, True]


@pytest.mark.parametrize("name", weightings.names())
def test_a_step_without_losses_is_refused(name: str):
    with pytest.raises(InputError, match="no loss to learn from; give at least one of dice_bce, mse, gradient"):
        weightings.load(name).build(TERMS)({})


@pytest.mark.parametrize("name", weightings.names())
def test_an_unknown_term_is_refused(name: str):
    with pytest.raises(InputError, match="is called cwd; there are dice_bce, mse, gradient"):
        weightings.load(name).build(TERMS)({"cwd": torch.tensor(1.0)})


@pytest.mark.parametrize("name", weightings.names())
def test_a_weight_for_an_unknown_term_is_refused(name: str):
    with pytest.raises(InputError, match="is called cwd; there are dice_bce, mse, gradient"):
        weightings.load(name).build(TERMS, {"cwd": 1.0})


@pytest.mark.parametrize("name", weightings.names())
@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_weight_is_refused(name: str, weight: float):
    with pytest.raises(InputError, match=r"'mse' is .*; it must be a finite number, at least 0"):
        weightings.load(name).build(TERMS, {"mse": weight})


@pytest.mark.parametrize("name", weightings.names())
def test_without_terms_there_is_nothing_to_build(name: str):
    with pytest.raises(InputError, match="no loss to weight"):
        weightings.load(name).build({})


@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("weight", [0.0, 0.001, 100.0])
def test_a_weight_out_of_the_range_cannot_be_learnt(name: str, weight: float):
    with pytest.raises(InputError, match=r"'mse' cannot start with .* between 0.00916 and 27.3"):
        weightings.load(name).build(TERMS, {"mse": weight})


@pytest.mark.parametrize("name", LEARNT)
def test_the_weights_travel_in_the_state(name: str):
    module, other = (weightings.load(name).build(TERMS, {"mse": weight}) for weight in (1.0, 5.0))
    module.load_state_dict(other.state_dict())
    assert module.weights() == pytest.approx(other.weights())


@pytest.mark.parametrize("name", weightings.names())
def test_a_module_can_be_copied(name: str):
    module = weightings.load(name).build(TERMS, {"mse": 5.0})
    assert copy.deepcopy(module).weights() == module.weights()


@pytest.mark.parametrize("name", LEARNT)
def test_two_losses_can_be_weighted_before_one_is_followed(name: str):
    """Keeping s in its range must not spoil an earlier graph, as in gradient accumulation over a sum."""
    module = weightings.load(name).build(TERMS)
    (module(values(0.7, 0.01, 0.4)) + module(values(0.6, 0.02, 0.3))).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in module.parameters())


@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize(("size", "back"), [(0.0, 50.0), (400.0, 1e-3)], ids=["heaviest", "lightest"])
def test_a_weight_comes_back_from_the_border_of_its_range(name: str, size: float, back: float):
    module = weightings.load(name).build({"mse": "regression"})
    optimizer = torch.optim.SGD(module.parameters(), 0.5)

    def train(loss: float, steps: int) -> float:
        for _ in range(steps):
            optimizer.zero_grad()
            module({"mse": torch.tensor(loss)}).backward()
            optimizer.step()
        return module.weights()["mse"]

    border = train(size, 200)
    assert border == pytest.approx(27.3 if size == 0 else 0.00916, rel=0.01)
    returned = train(back, 200)
    assert returned < 0.9 * border if size == 0 else returned > 1.1 * border


@pytest.mark.parametrize("name", LEARNT)
def test_the_gradient_of_the_variances_is_right(name: str):
    module = weightings.load(name).build(TERMS, {"mse": 5.0}).double()
    (parameter,) = module.parameters()
    losses = {term: loss.detach().double() for term, loss in values(0.7, 0.01, 0.4).items()}

    def total(variances: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, {"log_variance": variances}, (losses,))

    point = parameter.detach().clone()
    slopes = torch.autograd.grad(module(losses), parameter)[0]
    for index in range(len(point)):
        step = torch.zeros_like(point)
        step[index] = 1e-6
        found = (total(point + step) - total(point - step)) / 2e-6
        assert float(slopes[index]) == pytest.approx(float(found.detach()), rel=1e-5, abs=1e-8)
