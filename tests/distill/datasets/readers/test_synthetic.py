"""Synthetic fields: exact labels, plausible images, and the same ones whatever was made before."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu
from skimage.measure import label as label_equal_values

from distill import datasets
from distill.datasets.readers.synthetic.render import Tissue, render
from runtime.errors import InputError
from runtime.metrics import dice

SEEDS = st.integers(0, 2**32)
FEW = settings(max_examples=25)


def field(seed, **options):
    return render(np.random.default_rng(seed), Tissue(**{"size": (96, 128), **options}))


@FEW
@given(SEEDS, st.floats(0, 1))
def test_every_nucleus_lies_within_exactly_its_cell(seed, density):
    made = field(seed, density=(density, density))
    inside = made.nuclei > 0
    np.testing.assert_array_equal(made.cells[inside], made.nuclei[inside])


@FEW
@given(SEEDS)
def test_labels_are_numbered_without_gaps(seed):
    made = field(seed)
    for labels in (made.nuclei, made.cells):
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(np.unique(labels[labels > 0]), np.arange(1, labels.max() + 1))
    assert made.cells.max() >= made.nuclei.max()


@FEW
@given(SEEDS)
def test_objects_away_from_the_border_are_in_one_piece(seed):
    made = field(seed)
    for labels in (made.nuclei, made.cells):
        pieces = label_equal_values(labels, background=0, connectivity=2)
        cut = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        owners = [labels[pieces == piece][0] for piece in range(1, pieces.max() + 1)]
        whole = [owner for owner in owners if owner not in cut]
        assert len(whole) == len(set(whole))


@FEW
@given(SEEDS)
def test_images_are_two_planes_of_uint16_with_contrast(seed):
    made = field(seed)
    assert made.image.dtype == np.uint16
    assert made.image.shape == (2, 96, 128)
    assert all(len(np.unique(plane)) > 8 for plane in made.image)


@FEW
@given(SEEDS)
def test_nuclei_are_brighter_than_what_lies_around(seed):
    made = field(seed, density=(0.3, 1), empty=0)
    inside = made.nuclei > 0
    if inside.sum() > 200:
        assert np.median(made.image[0][inside]) >= np.median(made.image[0][~inside])


@FEW
@given(SEEDS, st.integers(0, 50))
def test_a_field_depends_on_its_seed_and_number_alone(seed, index):
    short = datasets.open(f"synthetic:{index + 1}@{seed}?size=48")
    long = datasets.open(f"synthetic:60@{seed}?size=48")
    one, other = short[index], long[index]
    assert one.name == other.name
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.labels["cells"], other.labels["cells"])


def test_fields_and_seeds_differ():
    prints = {datasets.fingerprint(s) for seed in range(3) for s in datasets.open(f"synthetic:4@{seed}?size=48")}
    assert len(prints) == 12


def test_the_nuclei_of_a_field_have_the_size_asked_for():
    for diameter in (9.0, 20.0, 38.0):
        areas = np.concatenate(
            [
                np.bincount(
                    field(seed, size=(256, 256), nucleus_px=(diameter, diameter), density=(0.2, 0.5)).nuclei.ravel()
                )[1:]
                for seed in range(4)
            ]
        )
        assert 0.75 * diameter < np.median(np.sqrt(4 * areas / np.pi)) < 1.2 * diameter


def test_an_empty_field_has_no_labels_and_a_picture():
    made = field(1, empty=1.0)
    assert made.cells.max() == made.nuclei.max() == 0
    assert made.image.std() > 0


def test_density_runs_from_culture_to_epithelium():
    def covered(density):
        return np.mean([field(s, size=(128, 128), density=(density,) * 2, empty=0).cells > 0 for s in range(12)])

    assert covered(0.0) < 0.35
    assert covered(1.0) > 0.65


def test_a_threshold_does_not_solve_it_and_is_not_useless():
    scores = []
    for sample in datasets.open("synthetic:40@11"):
        if sample.labels["nuclei"].any():
            scores.append(dice(sample.frame > threshold_otsu(sample.frame), sample.labels["nuclei"] > 0))
    assert 0.6 < np.mean(scores) < 0.9


def test_a_sample_has_both_channels_and_both_labels():
    sample = datasets.open("synthetic:1")[0]
    assert sample.channels == ("nucleus", "membrane")
    assert sample.image.shape == (2, 256, 256)
    assert set(sample.labels) == {"nuclei", "cells"}
    assert sample.pixel_size_um == 0.5


def test_sizes_and_splits():
    data = datasets.open("synthetic:10@3?size=40x56", "val")
    assert len(data) == 2
    assert data[0].frame.shape == (40, 56)
    assert len(datasets.open("synthetic:10", "train")) == 8


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("many", "'many' is not N, N@SEED"),
        ("-3", "'-3' is not N"),
        ("3@", "'3@' is not N"),
        ("3@-1", "is not N"),
        ("1.5", "is not N"),
        ("3?size=", "is not N"),
        ("3?colour=red", "is not N"),
        ("٣", "is not N"),
        ("0", "number of fields is 0; choose 1 to"),
        ("9" * 30, "number of fields is 999"),
        ("3@" + "9" * 30, "seed is 999"),
        ("3?size=8", "height is 8; choose 16 to"),
        ("3?size=64x99999", "width is 99999"),
    ],
)
def test_a_wrong_argument_is_refused_with_its_value(argument, said):
    with pytest.raises(InputError, match=re.escape(said)):
        datasets.open(f"synthetic:{argument}")
