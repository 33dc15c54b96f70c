"""Losses by name: listing imports nothing, what is unknown or impossible is refused with what there is."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from distill import losses, weightings
from runtime.errors import InputError

ROOT = Path(__file__).parents[3]


def test_the_files_are_the_names():
    assert losses.names() == ("cwd", "dice_bce", "gradient", "hinton", "kervadec", "mse", "pairwise", "weightmap")
    assert weightings.names() == ("fixed", "kendall", "liebel")


def test_listing_the_names_imports_none_of_them():
    code = "import sys; from distill import losses, weightings; losses.names(); weightings.names(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"torch", "scipy", "distill.losses.mse", "distill.weightings.fixed"}.isdisjoint(loaded.split())


@pytest.mark.parametrize("load", [losses.load, weightings.load])
def test_an_unknown_name_is_refused_with_the_known_ones(load):
    with pytest.raises(InputError, match=r"'magic'; choose one of .*, "):
        load("magic")


def test_a_package_is_no_loss():
    with pytest.raises(InputError, match="'weighting'"):
        losses.load("weighting")


def test_what_the_weightings_share_is_no_weighting():
    with pytest.raises(InputError, match="'log_variances'"):
        weightings.load("log_variances")


def test_a_loss_of_another_role_is_refused_with_those_of_the_role():
    with pytest.raises(InputError, match="'mse' is matching and not boundary; choose one of gradient, kervadec"):
        losses.load("mse", role="boundary")


def test_options_are_taken():
    assert losses.load("hinton", options={"temperature": 3}).temperature == 3.0  # a whole number will do
    assert losses.load("gradient", options={"bce": True, "kernel": 5}).kernel == 5


def test_options_of_one_load_do_not_stay():
    losses.load("hinton", options={"temperature": 3.0})
    assert losses.load("hinton").temperature == 2.0


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="'gradient' has no option 'width'; its options are kernel, bce"):
        losses.load("gradient", options={"width": 3})


@pytest.mark.parametrize("option", ["temperature", "role"])
def test_what_a_loss_is_is_no_option(option: str):
    with pytest.raises(InputError, match=f"'mse' has no option '{option}'; it has no options"):
        losses.load("mse", options={option: "boundary"})


@pytest.mark.parametrize(("name", "option", "value"), [("hinton", "temperature", "hot"), ("gradient", "kernel", True)])
def test_an_option_of_another_type_is_refused(name: str, option: str, value: object):
    with pytest.raises(InputError, match=f"'{option}' of the loss '{name}' is {value!r}; it must be of type"):
        losses.load(name, options={option: value})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gradient", {"kernel": 4}),
        ("gradient", {"kernel": 1}),
        ("hinton", {"temperature": 0.0}),
        ("cwd", {"temperature": float("nan")}),
        ("pairwise", {"node": 0}),
        ("weightmap", {"sigma": 0.0}),
        ("weightmap", {"border": -1.0}),
    ],
)
def test_an_impossible_option_is_refused(name: str, options: dict[str, object]):
    with pytest.raises(InputError, match=f"'{name}'.*must"):
        losses.load(name, options=options)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target", torch.zeros(2, 1, 13, 10)),
        ("labelled", torch.ones(3, dtype=torch.bool)),
        ("teacher", torch.zeros(2, 13, 10)),
        ("instances", torch.zeros(2, 1, 13, 10, dtype=torch.int64)),
    ],
)
def test_a_shape_that_would_be_broadcast_is_refused(field: str, value: torch.Tensor, batch_of):
    with pytest.raises(InputError, match=f"{field} has shape"):
        batch_of(**{field: value})
