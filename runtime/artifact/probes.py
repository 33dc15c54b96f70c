"""Probes: real input tiles with the output that the reference gave, carried by an artefact so that it proves itself.

compile, runtime and benchmarks replay the same probes with the same comparison.
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..metrics import confusion, dice_of
from ..system import memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .manifest import Tolerance

    Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class ProbeSet:
    """inputs: float32 (n, 1, h, w) in [0, 1]; outputs: float32 (n, C, h, w) in [0, 1], of the reference."""

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, array in (("inputs", self.inputs), ("outputs", self.outputs)):
            if array.dtype != np.float32 or array.ndim != 4 or not array.size or not np.isfinite(array).all():
                msg = f"Probe {name} must be finite float32 (n, C, h, w), not {array.dtype} {array.shape}."
                raise InputError(msg)
        if self.inputs.shape[0] != self.outputs.shape[0] or self.inputs.shape[2:] != self.outputs.shape[2:]:
            msg = f"Probe inputs {self.inputs.shape} and outputs {self.outputs.shape} do not belong together."
            raise InputError(msg)

    def __len__(self) -> int:
        return len(self.inputs)

    def to_bytes(self) -> bytes:
        """The probes as the bytes of an .npz file with keys inputs and outputs; equal probes give equal bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, inputs=self.inputs, outputs=self.outputs)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> ProbeSet:
        """Read such bytes, never a pickle; InputError when they hold anything else."""
        try:
            _check_claims(data)
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                inputs: NDArray[Any] = arrays["inputs"]
                outputs: NDArray[Any] = arrays["outputs"]
        except InputError:
            raise
        except Exception as error:  # of many kinds: numpy parses the headers of arrays as Python
            msg = f"The probes cannot be read ({type(error).__name__}: {error}); copy the artefact again."
            raise InputError(msg) from error
        return cls(inputs, outputs)


@dataclass(frozen=True)
class Opening:
    """What one probe, or in doubt all, showed when an artefact was opened; `misses` is empty where reproduced."""

    replay: Replay
    misses: tuple[str, ...]

    def __str__(self) -> str:
        """In words, e.g. for `description`."""
        if self.misses:
            return f"missed: {'; '.join(self.misses)}"
        return f"reproduced: max |dp| {self.replay.probability_max:.4f}, mask Dice {self.replay.mask_dice:.4f}"


def _check_claims(data: bytes) -> None:
    """ValueError where an array's header claims more than its member holds, or InputError, more than the memory."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in ("inputs.npy", "outputs.npy"):
            info = archive.getinfo(name)
            with archive.open(info) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
            if math.prod(shape) * dtype.itemsize > info.file_size:
                msg = f"{name} claims the shape {shape} and has {info.file_size} bytes"
                raise ValueError(msg)
            memory.claim(info.file_size, f"The probes' {name}", "copy the artefact again")


@dataclass(frozen=True)
class Replay:
    """How far a replay was from the reference: max and mean |dp| over all channels, Dice of the pooled masks."""

    probability_max: float
    probability_mean: float
    mask_dice: float

    def misses(self, tolerance: Tolerance) -> tuple[str, ...]:
        """What is outside the tolerance, in words; empty when the replay passes."""
        checks = (
            ("max |dp|", self.probability_max, "at most", tolerance.probability_max),
            ("mean |dp|", self.probability_mean, "at most", tolerance.probability_mean),
            ("mask Dice", self.mask_dice, "at least", tolerance.mask_dice),
        )
        return tuple(
            f"{what} is {value:.6f}, due {bound} {due:.6f}"
            for what, value, bound, due in checks
            if not (value <= due if bound == "at most" else value >= due)  # so that NaN is a miss
        )


def check_one(run: Run, probes: ProbeSet, tolerance: Tolerance, threshold: float, channel: int = 0) -> Opening:
    """Replay one probe, the one with the most foreground, as an artefact is opened; see replay.

    The tolerance is of all probes together. So where the one misses it, all of them are replayed and decide: an
    artefact that was compiled within its tolerance, and computes as it did then, is never refused.
    """
    number = int((probes.outputs[:, channel] > threshold).sum(axis=(1, 2)).argmax())
    output = run(probes.inputs[number : number + 1])
    one = compare(probes.outputs[number : number + 1], output, threshold, channel)
    if not one.misses(tolerance):
        return Opening(one, ())
    together = replay(run, probes, threshold, channel)
    return Opening(together, together.misses(tolerance))


def replay(
    run: Run,
    probes: ProbeSet,
    threshold: float,
    channel: int = 0,
) -> Replay:
    """Run every probe and compare with the reference.

    run : float32 (1, 1, h, w) -> float32 (1, C, h, w), e.g. Session.run
    channel : the one whose mask (> threshold) is compared, the foreground
    """
    outputs = np.concatenate([run(tile[None]) for tile in probes.inputs])
    return compare(probes.outputs, outputs, threshold, channel)


def compare(reference: NDArray[np.float32], outputs: NDArray[np.float32], threshold: float, channel: int = 0) -> Replay:
    """Compare two stacks of outputs, float32 (n, C, h, w); InputError when their shapes differ."""
    if reference.shape != outputs.shape:
        msg = f"The reference has shape {reference.shape} and the outputs {outputs.shape}; they must be equal."
        raise InputError(msg)
    distance = np.abs(reference - outputs)
    counts = confusion(reference[:, channel] > threshold, outputs[:, channel] > threshold)
    return Replay(float(distance.max()), float(distance.mean(dtype=np.float64)), dice_of(*counts))
