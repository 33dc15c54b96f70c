"""What holds for every loss, whatever its formula."""

from dataclasses import replace

import pytest
import torch

from distill import losses
from runtime.errors import InputError

MATCHING = ["cwd", "hinton", "mse", "pairwise"]
FROM_LABELS = ["dice_bce", "gradient", "kervadec", "weightmap"]
FOREGROUND_ALONE = sorted({*MATCHING, *FROM_LABELS} - {"dice_bce"})


def value_and_gradient(name, batch):
    """The loss, and its gradient in the logits (zeros where the logits are not asked for)."""
    value = losses.load(name)(batch)
    return value.detach(), torch.autograd.grad(value, batch.logits)[0]


@pytest.mark.parametrize("name", losses.names())
def test_a_loss_is_called_as_its_file(name: str):
    assert losses.load(name).name == name


def test_every_loss_has_its_role():
    assert [losses.names_by_role(role) for role in ("supervised", "matching", "boundary")] == [
        ["dice_bce"],
        MATCHING,
        ["gradient", "kervadec", "weightmap"],
    ]


def test_squared_errors_are_regressions_and_all_else_is_classification():
    assert [name for name in losses.names() if losses.load(name).kind == "regression"] == ["mse", "pairwise"]


@pytest.mark.parametrize("name", losses.names())
def test_a_loss_is_a_positive_float32_scalar(name: str, batch_of):
    value = losses.load(name)(batch_of())
    assert value.dtype == torch.float32
    assert value.shape == ()
    assert float(value.detach()) > 0


@pytest.mark.parametrize("name", losses.names())
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32(name: str, dtype: torch.dtype, batch_of):
    half = batch_of(dtype=dtype)
    value, gradient = value_and_gradient(name, half)
    expected, _ = value_and_gradient(name, replace(half, logits=half.logits.detach().float().requires_grad_()))
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert gradient.dtype == dtype


@pytest.mark.parametrize("name", losses.names())
def test_autocast_changes_nothing(name: str, batch_of):
    batch = batch_of()
    value, gradient = value_and_gradient(name, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, slope = value_and_gradient(name, batch)
    assert torch.equal(found, value)
    assert torch.equal(slope, gradient)


@pytest.mark.parametrize("name", losses.names())
def test_height_and_width_are_alike(name: str, batch_of):
    batch = batch_of()
    turned = replace(
        batch,
        logits=batch.logits.detach().mT.requires_grad_(),
        target=batch.target.mT,
        teacher=batch.teacher.mT,
        instances=batch.instances.mT,
    )
    value, gradient = value_and_gradient(name, batch)
    found, slope = value_and_gradient(name, turned)
    assert float(found) == pytest.approx(float(value), rel=1e-5)
    torch.testing.assert_close(slope.mT, gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", losses.names())
def test_the_memory_format_is_of_no_account(name: str, batch_of):
    batch = batch_of()
    logits = batch.logits.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    value, gradient = value_and_gradient(name, batch)
    found, slope = value_and_gradient(name, replace(batch, logits=logits))
    assert float(found) == pytest.approx(float(value), rel=1e-6)
    torch.testing.assert_close(slope, gradient)


@pytest.mark.parametrize("name", losses.names())
def test_it_is_the_mean_over_the_crops(name: str, batch_of):
    parts = [batch_of(count=1, seed=seed) for seed in (0, 1)]
    fields = ("logits", "target", "labelled", "teacher", "instances")
    both = replace(parts[0], **{field: torch.cat([getattr(part, field) for part in parts]) for field in fields})
    expected = sum(float(losses.load(name)(part).detach()) for part in parts) / 2
    assert float(losses.load(name)(both).detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", losses.names())
@pytest.mark.parametrize("mask", [0.0, 1.0], ids=["empty", "full"])
@pytest.mark.parametrize("logit", [-200.0, 0.0, 200.0])
def test_empty_and_full_crops_are_finite_even_at_extreme_logits(name: str, mask: float, logit: float, batch_of):
    batch = batch_of()
    batch = replace(
        batch,
        logits=torch.full_like(batch.logits, logit).requires_grad_(),
        target=torch.full_like(batch.target, mask),
        teacher=torch.full_like(batch.teacher, mask),
        instances=torch.full_like(batch.instances, int(mask)),
    )
    value, gradient = value_and_gradient(name, batch)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", FROM_LABELS)
@pytest.mark.parametrize("mask", ["objects", "empty", "full"])
def test_the_right_answer_costs_nothing(name: str, mask: str, batch_of):
    batch = batch_of()
    if mask != "objects":
        batch = replace(
            batch,
            target=torch.full_like(batch.target, float(mask == "full")),
            instances=torch.full_like(batch.instances, int(mask == "full")),
        )
    value = losses.load(name)(replace(batch, teacher=None, logits=60 * batch.target - 30))
    assert float(value) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", MATCHING)
def test_the_teachers_answer_costs_nothing(name: str, batch_of):
    batch = batch_of()
    value = losses.load(name)(replace(batch, logits=batch.teacher.logit(1 / 510).expand(-1, 2, -1, -1)))
    assert float(value) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", FROM_LABELS)
def test_crops_without_labels_change_nothing(name: str, batch_of):
    batch = batch_of(count=3, teacher=None)
    target = batch.target.clone()
    target[1] = float("nan")
    unlabelled = replace(batch, target=target, labelled=torch.tensor([True, False, True]))
    kept = torch.tensor([0, 2])
    others = replace(
        batch,
        logits=batch.logits.detach()[kept].requires_grad_(),
        target=batch.target[kept],
        labelled=batch.labelled[kept],
        instances=batch.instances[kept],
    )
    value, gradient = value_and_gradient(name, unlabelled)
    expected, slope = value_and_gradient(name, others)
    assert torch.equal(value, expected)
    assert torch.equal(gradient[kept], slope)
    assert not gradient[1].any()


@pytest.mark.parametrize("name", FROM_LABELS)
def test_without_any_label_the_loss_and_its_gradient_are_zero(name: str, batch_of):
    batch = batch_of(teacher=None, labelled=torch.zeros(2, dtype=torch.bool))
    logits = batch.logits.detach()
    logits[0, 0, 0, 0] = float("inf")
    value, gradient = value_and_gradient(name, replace(batch, logits=logits.requires_grad_()))
    assert float(value) == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", MATCHING)
def test_matching_asks_for_no_label(name: str, batch_of):
    batch = batch_of()
    nothing = torch.full_like(batch.target, float("nan"))
    value, gradient = value_and_gradient(name, batch)
    found, slope = value_and_gradient(name, replace(batch, target=nothing, labelled=~batch.labelled))
    assert torch.equal(found, value)
    assert torch.equal(slope, gradient)


@pytest.mark.parametrize("name", FOREGROUND_ALONE)
def test_matching_and_boundary_are_about_the_foreground_alone(name: str, batch_of):
    _, gradient = value_and_gradient(name, batch_of())
    assert gradient[:, 0].any()
    assert not gradient[:, 1].any()


@pytest.mark.parametrize("name", losses.names())
@pytest.mark.parametrize("seed", [0, 5])
def test_the_gradient_is_right(name: str, seed: int, batch_of):
    batch = batch_of(seed=seed, dtype=torch.float64)
    loss = losses.load(name)
    assert torch.autograd.gradcheck(lambda logits: loss(replace(batch, logits=logits)), batch.logits)


@pytest.mark.parametrize("name", losses.names())
def test_descending_the_gradient_lowers_the_loss(name: str, batch_of):
    batch = batch_of()
    logits = batch.logits.detach().requires_grad_()
    optimizer = torch.optim.Adam([logits], 0.3)
    loss = losses.load(name)
    start = float(loss(batch).detach())
    for _ in range(60):
        optimizer.zero_grad()
        loss(replace(batch, logits=logits)).backward()
        optimizer.step()
    assert float(loss(replace(batch, logits=logits)).detach()) < start / 2


@pytest.mark.parametrize("name", MATCHING)
def test_without_a_teacher_the_error_names_the_loss(name: str, batch_of):
    with pytest.raises(InputError, match=rf"'{name}'.*teacher"):
        losses.load(name)(batch_of(teacher=None))


def test_the_weight_map_alone_needs_instances():
    assert [name for name in losses.names() if losses.load(name).needs_instances] == ["weightmap"]


@pytest.mark.parametrize("name", [name for name in losses.names() if losses.load(name).needs_instances])
def test_without_instances_the_error_names_the_loss_and_another(name: str, batch_of):
    with pytest.raises(InputError, match=rf"'{name}' needs instance labels.*'gradient'"):
        losses.load(name)(batch_of(instances=None))


@pytest.mark.parametrize("name", [name for name in losses.names() if not losses.load(name).needs_instances])
def test_the_others_do_without_instances(name: str, batch_of):
    assert torch.isfinite(losses.load(name)(batch_of(instances=None)))
