"""What every reader gives: samples, in a lazy sequence, behind a reader that says under which licence.

They stand in one file because they are one contract: training, evaluation and the benchmarks know these three
and no reader in particular.
"""

import hashlib
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError

NUCLEUS = "nucleus"
MEMBRANE = "membrane"
SEEN = "seen in training"  # why an image was left out
KEPT_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class Sample:
    """One field of view with its instance labels.

    image : (C, H, W) uint8, uint16 or float32
    channels : the meaning of each plane, "nucleus" among them
    labels : "nuclei" and/or "cells" -> int32 (H, W), 0 is background, instances numbered from 1"""

    name: str
    image: NDArray
    channels: tuple[str, ...]
    labels: Mapping[str, NDArray[np.int32]]
    pixel_size_um: float | None = None

    @property
    def frame(self) -> NDArray:
        """The nucleus plane (H, W): the one channel that a student sees."""
        return self.image[self.channels.index(NUCLEUS)]

    def labels_of(self, kind: str, remedy: str) -> NDArray[np.int32]:
        """The labels of a kind, int32 (H, W); InputError where there are none. remedy : the next step, for the error"""
        if kind not in self.labels:
            msg = f"{self.name} has no labels {kind!r}, it has {', '.join(sorted(self.labels)) or 'none'}; {remedy}."
            raise InputError(msg)
        return self.labels[kind]

    def planes(self, names: Sequence[str]) -> NDArray:
        """The planes of these channels, (C, H, W), in this order; InputError where one is not there."""
        for name in names:
            if name not in self.channels:
                msg = (
                    f"{self.name} has no channel {name!r}, it has {', '.join(self.channels)}; "
                    "choose among these, or give data that hold it."
                )
                raise InputError(msg)
        return self.image[[self.channels.index(name) for name in names]]


def _whole(names: Sequence[str]) -> tuple[NDArray, ...]:
    """Samples are whole frames."""
    return ()


@dataclass(frozen=True, eq=False)
class Dataset(Sequence[Sample]):
    """Samples by name, read when asked for. A slice or a subset is a data set again.

    left_out : how many images were found and not taken, by reason
    read : reads one sample by its name; must survive a fork and pickling, for worker processes
    origins : names of samples -> the larger frames that they are parts of: whoever saw a part has seen the frame
    frame : reads a sample's frame alone, where that is quicker"""

    names: tuple[str, ...]
    read: Callable[[str], Sample]
    licence: str
    description: str
    left_out: Mapping[str, int] = field(default_factory=dict)
    origins: Callable[[Sequence[str]], Iterable[NDArray]] = _whole
    frame: Callable[[str], NDArray] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Dataset": ...
    def __getitem__(self, index: int | slice) -> "Sample | Dataset":
        if isinstance(index, slice):
            return self.subset(self.names[index])
        return self.read(self.names[operator.index(index)])

    def __iter__(self) -> Iterator[Sample]:
        return (self.read(name) for name in self.names)

    def subset(self, names: Sequence[str]) -> "Dataset":
        """The same data with these names alone, in this order."""
        return replace(self, names=tuple(names))

    def fingerprints(self) -> Iterator[str]:
        """Of the frames, in the order of the names; see frame_fingerprint. Reads each once, and few labels."""
        for name in self.names:
            yield frame_fingerprint(self.read(name).frame if self.frame is None else self.frame(name))

    def kept(self) -> "Dataset":
        """The same data for whoever goes through them several times: the first KEPT_BYTES are read once, and shared."""
        return replace(self, read=Kept(self.read))


class Kept:
    """Reads a sample, and keeps it while there is room. Its arrays are read-only."""

    def __init__(self, read: Callable[[str], Sample]) -> None:
        self._read, self._bytes = read, 0
        self._samples: dict[str, Sample] = {}

    def __call__(self, name: str) -> Sample:
        if name in self._samples:
            return self._samples[name]
        sample = self._read(name)
        arrays = (sample.image, *sample.labels.values())
        size = sum(array.nbytes for array in arrays)
        if self._bytes + size <= KEPT_BYTES:
            for array in arrays:
                array.setflags(write=False)
            self._samples[name] = sample
            self._bytes += size
        return sample


@dataclass(frozen=True)
class Reader:
    """A kind of data: what a module in readers/ offers as READER.

    source : where it comes from, for cards and lineage
    open : (argument of the spec, split) -> Dataset
    generate : the argument for so many images of a seed, where the reader makes its images itself"""

    name: str
    licence: str
    source: str
    open: Callable[[str, str], Dataset]
    generate: Callable[[int, int], str] | None = None


def fingerprint(sample: Sample) -> str:
    """Twelve hex digits for a sample's frame; see frame_fingerprint."""
    return frame_fingerprint(sample.frame)


def frame_fingerprint(frame: NDArray) -> str:
    """Twelve hex digits for a frame's content (dtype, shape, pixels), whatever its file is called."""
    frame = np.ascontiguousarray(frame)
    little_endian = frame.astype(frame.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{frame.dtype.name} {frame.shape} ".encode())
    digest.update(little_endian.tobytes())
    return digest.hexdigest()[:12]


def unseen(data: Dataset, trained_on: Set[str]) -> Dataset:
    """The part of `data` that is not in `trained_on` (fingerprints, as in a Lineage); `left_out[SEEN]` counts the rest.

    Images are known by their content, whatever their files are called. Reads every frame once, unless there is nothing
    to look for."""
    if not trained_on:
        return data
    known = zip(data.names, data.fingerprints(), strict=True)
    names = tuple(name for name, fingerprint in known if fingerprint not in trained_on)
    left_out = dict(data.left_out) | {SEEN: len(data) - len(names)}
    return replace(data, names=names, left_out=left_out)
