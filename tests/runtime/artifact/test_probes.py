"""Probes: what passes, what misses, and what is no set of probes."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from runtime import InputError
from runtime.artifact.manifest import Tolerance
from runtime.artifact.probes import ProbeSet, check_one, compare, replay

TOLERANCE = Tolerance(probability_max=0.1, probability_mean=0.05, mask_dice=0.9)


def test_bytes_are_read_back_and_stable(probes: ProbeSet):
    read = ProbeSet.from_bytes(probes.to_bytes())
    np.testing.assert_array_equal(read.outputs, probes.outputs)
    assert read.to_bytes() == probes.to_bytes()
    assert len(read) == 3


def test_a_perfect_replay_passes(probes: ProbeSet):
    answers = iter(probes.outputs)
    result = replay(lambda _: next(answers)[None], probes, 0.5)
    assert (result.probability_max, result.probability_mean, result.mask_dice) == (0, 0, 1)
    assert result.misses(TOLERANCE) == ()


def test_every_miss_is_said_with_its_value_and_its_bound(probes: ProbeSet):
    result = compare(probes.outputs, 1 - probes.outputs, 0.5)
    misses = result.misses(TOLERANCE)
    assert [text.split(" is ")[0] for text in misses] == ["max |dp|", "mean |dp|", "mask Dice"]
    assert "due at most 0.100000" in misses[0]
    assert "due at least 0.900000" in misses[2]


def test_nan_is_a_miss(probes: ProbeSet):
    assert len(compare(probes.outputs, probes.outputs * np.nan, 0.5).misses(TOLERANCE)) == 3


def answering(probes: ProbeSet, outputs: np.ndarray):
    """A model that gives these outputs for the probes."""
    return lambda tile: outputs[[np.array_equal(tile[0], one) for one in probes.inputs].index(True)][None]


def foremost(probes: ProbeSet) -> int:
    """The probe with the most foreground."""
    return int((probes.outputs[:, 0] > 0.5).sum(axis=(1, 2)).argmax())


@pytest.mark.parametrize("rows", [0, 1, 2, 8, 32])
def test_one_probe_misses_what_all_do(probes: ProbeSet, rows: int):
    """A tolerance of all masks together is not asked of one mask alone; what no other probe could make good is."""
    changed = probes.outputs.copy()
    changed[foremost(probes), :, :rows] = 1 - changed[foremost(probes), :, :rows]
    opening = check_one(answering(probes, changed), probes, TOLERANCE, 0.5)
    assert opening.misses == compare(probes.outputs, changed, 0.5).misses(TOLERANCE)
    assert opening.replay.probability_max == compare(probes.outputs, changed, 0.5).probability_max
    assert bool(opening.misses) == (rows > 0)


def test_one_probe_below_the_dice_of_all_is_no_miss(probes: ProbeSet):
    number, changed = foremost(probes), probes.outputs.copy()
    ones = np.flatnonzero(changed[number, 0] > 0.5)
    changed[number, 0].flat[ones[: len(ones) // 8]] = 0.5
    tolerance = Tolerance(probability_max=0.6, probability_mean=0.2, mask_dice=0.95)
    assert compare(probes.outputs[number][None], changed[number][None], 0.5).misses(tolerance)
    opening = check_one(answering(probes, changed), probes, tolerance, 0.5)
    assert opening.replay == compare(probes.outputs, changed, 0.5)
    assert opening.misses == ()


def test_what_is_off_in_each_probe_is_a_miss_although_one_alone_could_be_made_good(probes: ProbeSet):
    changed = probes.outputs.copy()
    for output in changed[:, 0]:
        ones = np.flatnonzero(output > 0.5)
        output.flat[ones[: len(ones) // 8]] = 0.5
    tolerance = Tolerance(probability_max=0.6, probability_mean=0.2, mask_dice=0.95)
    opening = check_one(answering(probes, changed), probes, tolerance, 0.5)
    assert [miss[:9] for miss in opening.misses] == ["mask Dice"]


def test_the_mask_is_that_of_the_chosen_channel():
    reference = np.zeros((1, 2, 2, 2), np.float32)
    other = reference.copy()
    other[:, 1] = 1
    assert compare(reference, other, 0.5, channel=0).mask_dice == 1.0
    assert compare(reference, other, 0.5, channel=1).mask_dice == 0.0


def test_outputs_of_another_shape_are_refused(probes: ProbeSet):
    with pytest.raises(InputError, match=r"\(3, 2, 32, 48\)"):
        compare(probes.outputs, probes.outputs[:, :1], 0.5)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 4, 4), np.float32)),
        (np.zeros((1, 4, 4), np.float32), np.zeros((1, 1, 4, 4), np.float32)),
        (np.zeros((0, 1, 4, 4), np.float32), np.zeros((0, 1, 4, 4), np.float32)),
        (np.full((1, 1, 4, 4), np.nan, np.float32), np.zeros((1, 1, 4, 4), np.float32)),
        (np.zeros((2, 1, 4, 4), np.float32), np.zeros((1, 1, 4, 4), np.float32)),
        (np.zeros((1, 1, 4, 4), np.float32), np.zeros((1, 1, 4, 5), np.float32)),
    ],
)
def test_arrays_that_are_no_probes_are_refused(inputs: np.ndarray, outputs: np.ndarray):
    with pytest.raises(InputError):
        ProbeSet(inputs, outputs)


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04"])
def test_bytes_that_are_no_probes_are_refused(data: bytes):
    with pytest.raises(InputError, match="probes cannot be read"):
        ProbeSet.from_bytes(data)


@pytest.mark.parametrize("shape", [(1 << 20, 1, 1 << 10, 1 << 10), (1 << 60, 1 << 60, 1, 1), (4, 1, 64, 64)])
def test_a_shape_that_is_claimed_and_not_stored_is_refused(shape: tuple[int, ...]):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in ("inputs.npy", "outputs.npy"):
            archive.writestr(name, header.getvalue() + bytes(64))
    with pytest.raises(InputError, match="The probes cannot be read"):
        ProbeSet.from_bytes(data.getvalue())


@pytest.mark.parametrize("seed", range(5))
def test_altered_bytes_are_refused_or_give_probes(probes: ProbeSet, seed: int):
    """127 of 2,500 alterations ended in an error of numpy's or of Python's parser."""
    rng, data = np.random.default_rng(seed), probes.to_bytes()
    for _ in range(100):
        changed = bytearray(data)
        for _ in range(rng.integers(1, 5)):
            changed[rng.integers(len(changed))] = rng.integers(256)
        try:
            ProbeSet.from_bytes(bytes(changed))
        except InputError as error:
            assert str(error)
