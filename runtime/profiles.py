"""What a backend may tell about the work of a model: multiply-adds, the kernels of its convolutions, and their time.

`benchmarks roofline` asks a backend for it, by Backend.profile and Backend.profile_layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .records import Record

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class ConvolutionLayer:
    """A convolution of stride 1 that keeps the size: kernel x kernel, on maps of side x side pixels.

    groups : 1, or the number of channels for a depthwise one
    """

    inputs: int
    outputs: int
    kernel: int
    side: int
    groups: int = 1

    @property
    def name(self) -> str:
        """E.g. "3x3, 64 to 64, 128x128"."""
        kind = "depthwise " if self.groups > 1 else ""
        return f"{kind}{self.kernel}x{self.kernel}, {self.inputs} to {self.outputs}, {self.side}x{self.side}"


@dataclass(frozen=True)
class Kernel:
    """What runs a convolution.

    precision : that it computes in: "int8", "fp32", or the library's word for another one; runs_in : that word, e.g.
        "u8"; name : of the kernel
    """

    precision: str
    runs_in: str
    name: str


@dataclass(frozen=True)
class LayerTime(Record):
    """A layer as the library runs it, after it joined what can be joined.

    kind : the library's word; runs_in : precision and kernel; multiply_adds : 0 where it is no convolution or product
    elements : of its output; ms : median over the runs
    """

    name: str
    kind: str
    runs_in: str
    multiply_adds: int
    elements: int
    ms: float


@dataclass(frozen=True)
class Profile:
    """A model, compiled.

    multiply_adds : of its convolutions and matrix products; kernels : of its convolutions
    run : runs it once and returns the milliseconds, of a single layer the convolution's alone
    settings : what the library was told
    weights : numbers in all convolutions and matrix products; 0: not counted
    """

    multiply_adds: int
    kernels: tuple[Kernel, ...]
    threads: int
    run: Callable[[], float]
    settings: dict[str, str]
    weights: int = 0
