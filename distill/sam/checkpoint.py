"""A checkpoint of SAM: is it official, is it whole, is it of the wanted size. Nothing in it is ever run."""

from __future__ import annotations

import hashlib
import logging
import pickle
import warnings
import zipfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from segment_anything import sam_model_registry

from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segment_anything.modeling import Sam

log = logging.getLogger(__name__)

OFFICIAL = {
    "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912": ("vit_b", "sam_vit_b_01ec64.pth"),
    "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622": ("vit_l", "sam_vit_l_0b3195.pth"),
    "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e": ("vit_h", "sam_vit_h_4b8939.pth"),
}
WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}  # channels of the image encoder
LICENCE = "Apache-2.0"
BROKEN = (OSError, RuntimeError, ValueError, EOFError, KeyError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Checkpoint:
    """A file that was looked at and fits; `load` makes the network of it."""

    path: Path
    size: str
    sha256: str

    @cached_property
    def official(self) -> bool:
        """Whether it is one of Meta's own files."""
        return self.sha256 in OFFICIAL

    def load(self, device: str) -> Sam:
        """The network with these weights, ready for inference."""
        network = build(self.size)
        network.load_state_dict(read(self.path))
        return network.eval().requires_grad_(requires_grad=False).to(device)


def inspect(weights: str, size: str) -> Checkpoint:
    """Look at a checkpoint without building its network; a warning where it is not official.

    InputError: no such file, no checkpoint of SAM, or one of another size.
    """
    path = Path(weights).expanduser()
    if not weights or not path.is_file():
        names = ", ".join(name for _, name in OFFICIAL.values())
        msg = f"There is no checkpoint {weights!r}; set teacher.weights to one of SAM's ({names}), or one like them."
        raise InputError(msg)
    checkpoint = Checkpoint(path, size, digest(path))
    _check_shapes(checkpoint)
    if not checkpoint.official:
        _warn(path, checkpoint.sha256)
    return checkpoint


def embedding_channels(checkpoint: Checkpoint) -> int:
    """Channels of what the encoder says, 256 in every official SAM."""
    return int(read(checkpoint.path)["image_encoder.neck.0.weight"].shape[0])


def build(size: str) -> Sam:
    """SAM with random weights, from the package's registry."""
    return sam_model_registry[size]()


def digest(path: Path) -> str:
    """sha256 of a file; of one that did not change since, it is remembered."""
    status = path.stat()
    return _digest(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache
def _warn(path: Path, sha256: str) -> None:
    """Once for each file."""
    log.warning("%s is not one of SAM's official checkpoints (sha256 %s...).", path, sha256[:12])


@lru_cache
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_shapes(checkpoint: Checkpoint) -> None:
    state = read(checkpoint.path)
    with torch.device("meta"):  # shapes alone
        expected = build(checkpoint.size).state_dict()
    found = WIDTHS.get(_width(state), "")
    if found and found != checkpoint.size and _width(expected) != _width(state):
        remedy = f"set teacher.options.size = {found!r}"
        msg = f"{checkpoint.path} is a checkpoint of {found}, not of {checkpoint.size}; {remedy}."
        raise InputError(msg)
    for name, tensor in expected.items():
        if name not in state or tuple(state[name].shape) != tuple(tensor.shape):
            there = f"has shape {tuple(state[name].shape)}" if name in state else "is missing"
            msg = (
                f"{checkpoint.path} is no checkpoint of SAM {checkpoint.size}: {name} {there}, expected "
                f"{tuple(tensor.shape)}; give a state_dict as SAM's authors saved it."
            )
            raise InputError(msg)
    if more := sorted(state.keys() - expected.keys()):
        msg = f"{checkpoint.path} holds {more[0]} and {len(more) - 1} more that SAM {checkpoint.size} does not know."
        raise InputError(msg)


def _width(state: Mapping[str, Any]) -> int:
    embedding = state.get("image_encoder.pos_embed")
    return int(embedding.shape[-1]) if embedding is not None and embedding.ndim == 4 else 0


def read(path: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a checkpoint, mapped from the file; only tensors are unpickled."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about a pickle that it then refuses
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        msg = (
            f"{path} cannot be loaded as a checkpoint: it is damaged, or holds more than tensors, of which nothing was "
            "run; download it again."
        )
        raise InputError(msg) from error
    except BROKEN as error:
        reason = " ".join(str(error).split())[:120]
        msg = f"{path} cannot be loaded as a checkpoint ({type(error).__name__}: {reason}); download it again."
        raise InputError(msg) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        msg = f"{path} is no state_dict of tensors; give the network's state_dict alone, as SAM's authors saved it."
        raise InputError(msg)
    return state
