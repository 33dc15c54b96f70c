"""What a target is: a place where students run, with everything that is particular to it.

A target is one module or one folder in compile/targets, or of another distribution (see runtime.registry). It offers
one instance of a subclass of `Target` as TARGET; `name`, `where` and `lower` are all that it must have. Its module
imports libraries inside methods only, because `python -m compile --help` asks every target for its options.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from compile.export import QuantizedGraph
    from runtime.artifact.manifest import Board, Manifest, Operators, TensorSpec

    Options: TypeAlias = Mapping[str, tuple[str, ...]]  # option name to the values that were given


@dataclass(frozen=True)
class Option:
    """One command-line option of a target, such as `--npu`.

    name : without the dashes; targets may share one
    choices : the values that this target takes; () takes any text, which `Target.check` then looks at
    many : may be repeated
    """

    name: str
    help: str
    choices: tuple[str, ...] = ()
    many: bool = False


@dataclass(frozen=True)
class Served:
    """What a server is given of an artefact, for `--layout`; see compile.bundle.serving.

    files : role of the payload to the file's name in the server's folder; the first is the model
    backend : what Triton calls the library that runs it
    hint : whether that library knows OpenVINO's PERFORMANCE_HINT
    note : what the folder's README says besides
    """

    files: Mapping[str, str]
    backend: str
    hint: bool = False
    note: str = ""


@dataclass(frozen=True)
class TargetReport:
    """A table of what a target measured or estimated, for the terminal and for CARD.md. lines : stand below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lowered:
    """What a target makes of a graph: files, and what the manifest must say about them.

    payload : role to file name (see runtime.backends); layout : "NCHW" or "NHWC" of both tensors
    operators : counted in the files
    variants : word to the role of a further ONNX file, which must agree with the reference, too
    board : what is expected of the device that the artefact is for
    """

    backend: str
    files: Mapping[str, bytes]
    payload: Mapping[str, str]
    operators: Operators
    layout: str = "NCHW"
    hints: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    variants: Mapping[str, str] = field(default_factory=dict)
    board: Board | None = None

    def tensors(self, graph: QuantizedGraph) -> tuple[TensorSpec, TensorSpec]:
        """Input and output as the manifest describes them."""
        from runtime.artifact.manifest import TensorSpec

        outputs = graph.student.spec.outputs
        names = ("image", "probability")
        pairs = zip(names, (("nucleus",), outputs), strict=True)
        image, result = (
            TensorSpec(name, self._shape(graph, meaning), "float32", self.layout, meaning) for name, meaning in pairs
        )
        return image, result

    def _shape(self, graph: QuantizedGraph, meaning: tuple[str, ...]) -> tuple[int, ...]:
        height, width = graph.tile
        return (1, len(meaning), height, width) if self.layout == "NCHW" else (1, height, width, len(meaning))


class Target:
    """Base of the targets. name : as its file; where : a clause for cards, "Intel CPUs with OpenVINO"."""

    name: str
    where: str
    options: tuple[Option, ...] = ()
    served: Mapping[str, Served] = {}  # server to what it loads; brings the option --layout

    def check(self, options: Options, precision: str) -> Options:
        """The options in full, before any work is done; InputError when they cannot be met. Cheap.

        options : those of `self.options` that were given
        """
        return options

    def refuses(self, graph: QuantizedGraph) -> str | None:
        """Why this graph cannot be lowered, with the remedy; None when it can."""
        return None

    def lower(self, graph: QuantizedGraph, options: Options) -> Lowered:
        """The files for the device. Nothing is calibrated: the scales are the graph's. options : as `check` gave."""
        raise NotImplementedError

    def reports(self, manifest: Manifest) -> Iterable[TargetReport]:
        """Tables about one of its artefacts besides those that every artefact has."""
        return ()
