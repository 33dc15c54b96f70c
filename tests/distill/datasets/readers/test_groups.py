"""Images that look alike stay together: the parts are disjoint, of whole groups, and the same for everybody."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from distill.datasets.readers.bbbc038 import groups
from runtime.errors import EdgescopeError

KINDS = 10


def field(kind: int, seed: int, side: int = 64) -> np.ndarray:
    """A frame whose kind tells the size of its grains and its brightness."""
    noise = np.random.default_rng([kind, seed]).normal(size=(side, side))
    grains = ndimage.gaussian_filter(noise, 0.4 + 0.4 * kind, mode="wrap")
    return np.clip(30 + 18 * kind + 10 * grains / grains.std(), 0, 255).astype(np.uint8)


def looks(count: int = 6, kinds: int = KINDS) -> dict[str, tuple[tuple[int, ...], np.ndarray]]:
    """Appearances of ``count`` frames of every experiment, called after it; those of one differ by little."""
    found = {}
    for kind in range(kinds):
        rng = np.random.default_rng(kind)
        middle = rng.normal(size=16)
        found |= {f"{kind}-{seed}": ((48, 48), middle + 0.05 * rng.normal(size=16)) for seed in range(count)}
    return found


@pytest.fixture(scope="module")
def frames() -> dict[str, tuple[tuple[int, ...], np.ndarray]]:
    return looks()


def test_frames_of_one_experiment_are_never_parted(frames):
    train, val = groups.choose(frames, "train"), groups.choose(frames, "val")
    assert not {name[0] for name in train} & {name[0] for name in val}
    assert val


def test_the_parts_are_disjoint_and_make_up_everything(frames):
    train, val = groups.choose(frames, "train"), groups.choose(frames, "val")
    assert not set(train) & set(val)
    assert sorted((*train, *val)) == sorted(frames)
    assert 5 * len(val) <= len(frames)


def test_groups_are_whole(frames):
    val = set(groups.choose(frames, "val"))
    found = groups.groups(frames)
    assert sorted(name for members in found for name in members) == sorted(frames)
    assert all(set(members) <= val or not set(members) & val for members in found)


def test_each_experiment_is_a_group(frames):
    assert groups.groups(frames) == [tuple(f"{kind}-{seed}" for seed in range(6)) for kind in range(KINDS)]


def test_all_and_test_are_everything(frames):
    assert groups.choose(frames, "all") == groups.choose(frames, "test") == tuple(sorted(frames))


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_files_does_not_matter(random):
    frames = looks(count=2)
    names = list(frames)
    random.shuffle(names)
    shuffled = {name: frames[name] for name in names}
    assert groups.groups(shuffled) == groups.groups(frames)
    assert groups.choose(shuffled, "val") == groups.choose(frames, "val")


def test_near_duplicates_are_in_the_group_of_their_original():
    original = field(3, 0)
    alike = {
        "original": original,
        "moved": np.roll(original, (7, 11), (0, 1)),
        "brighter": np.clip(original.astype(int) + 1, 0, 255).astype(np.uint8),
        "turned": original[::-1, ::-1],
    }
    others = {f"other-{kind}": field(kind, 1) for kind in range(KINDS) if abs(kind - 3) > 1}
    frames = {name: (frame.shape, groups.appearance(frame)) for name, frame in {**alike, **others}.items()}
    (home,) = [members for members in groups.groups(frames) if "original" in members]
    assert set(home) == set(alike)


def test_images_of_other_sizes_are_other_groups():
    look = np.arange(16.0)
    assert groups.groups({"a": ((48, 48), look), "b": ((48, 64), look)}) == [("a",), ("b",)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_of_fewer_than_five_images_all_are_for_training(count: int):
    frames = looks(count, kinds=1)
    assert groups.choose(frames, "train") == tuple(sorted(frames))
    assert groups.choose(frames, "val") == ()


def test_a_group_that_is_too_large_stays_in_training():
    frames = {str(number): ((48, 48), np.arange(16.0)) for number in range(20)}
    assert groups.choose(frames, "val") == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2), (3, 400)])
@pytest.mark.parametrize("value", [0, 255])
def test_tiny_and_constant_frames_have_a_finite_appearance(shape: tuple[int, int], value: int):
    assert np.isfinite(groups.appearance(np.full(shape, value, np.uint8))).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_appearance_is_sixteen_finite_numbers(height: int, width: int, seed: int):
    frame = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    found = groups.appearance(frame)
    assert found.shape == (16,)
    assert np.isfinite(found).all()


def test_constant_frames_alone_are_one_group():
    look = groups.appearance(np.full((8, 8), 7, np.uint8))
    assert groups.groups({str(number): ((8, 8), look) for number in range(6)}) == [("0", "1", "2", "3", "4", "5")]


def test_a_missing_scipy_is_said_with_the_extra(frames, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runtime.system.extras.available", lambda module: False)
    with pytest.raises(EdgescopeError, match=r'scipy is not installed; run: pip install "edgescope\[bench\]"'):
        groups.choose(frames, "val")
