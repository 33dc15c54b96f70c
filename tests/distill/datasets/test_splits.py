"""The one definition of the splits, for any names and sizes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from distill.datasets.splits import choose

SIZES = st.sampled_from([(256, 256), (360, 360), (520, 696), (1040, 1388)])
STRATA = st.dictionaries(st.text(max_size=8), SIZES, max_size=60)


@given(STRATA)
def test_train_and_val_are_disjoint_and_complete(strata):
    train, val = choose(strata, "train"), choose(strata, "val")
    assert not set(train) & set(val)
    assert sorted(train + val) == sorted(strata)


@given(STRATA, st.randoms())
def test_the_order_of_files_does_not_matter(strata, random):
    shuffled = list(strata)
    random.shuffle(shuffled)
    assert choose({name: strata[name] for name in shuffled}, "val") == choose(strata, "val")


@given(STRATA)
def test_one_in_five_of_every_size_is_for_validation(strata):
    total, val = Counter(strata.values()), Counter(strata[name] for name in choose(strata, "val"))
    for size, count in total.items():
        assert abs(val[size] - count / 5) <= 1
    assert abs(sum(val.values()) - len(strata) / 5) < 1


@given(STRATA, st.text(max_size=8), SIZES)
def test_one_more_image_moves_hardly_any_other(strata, name, size):
    before, after = set(choose(strata, "val")), set(choose({**strata, name: size}, "val"))
    if name not in strata:
        assert len(before ^ after) <= 2 * len(set(strata.values()) | {size})


@given(STRATA)
def test_all_and_test_are_everything(strata):
    assert choose(strata, "all") == choose(strata, "test") == tuple(sorted(strata))


def test_two_images_are_one_and_one():
    strata = {"a": (8, 8), "b": (9, 9)}
    assert len(choose(strata, "train")) == len(choose(strata, "val")) == 1


def test_the_split_is_pinned():
    """Whoever changes these names changes every published figure."""
    strata = {f"image-{i:02d}": (8, 8) if i % 3 else (9, 9) for i in range(20)}
    assert choose(strata, "val") == ("image-12", "image-14", "image-17", "image-19")
