"""microscope: embedded microscope hosts, ARM and small x86 boards with LiteRT (TFLite), and Arm's Ethos-U NPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.target import Option, Target
from compile.targets.microscope import npu

if TYPE_CHECKING:
    from collections.abc import Iterable

    from compile.export import QuantizedGraph
    from compile.target import Lowered, Options, TargetReport
    from runtime.artifact.manifest import Manifest

NPU = Option(
    "npu",
    f"in int8: compile for {', '.join(npu.CONFIGURATIONS)} too, or for one with its multiply-adds a cycle "
    f"(ethos-u55-128; {npu.USUAL} is the default)",
    many=True,
)


class Microscope(Target):
    """TFLite files with exactly the scales that training learnt; nothing is calibrated."""

    name = "microscope"
    where = "embedded microscope hosts with LiteRT (TFLite)"
    options = (NPU,)

    def check(self, options: Options, precision: str) -> Options:
        """The full names of the NPUs; InputError for one that cannot be had."""
        return {"npu": npu.check(options["npu"], precision)} if "npu" in options else options

    def refuses(self, graph: QuantizedGraph) -> str | None:
        """What LiteRT's int8 kernels have no form for."""
        from compile.lint import defects
        from compile.targets.microscope.rules import only_integer_operators

        return next(defects(graph.reference, (only_integer_operators,)), None) if graph.quantized else None

    def lower(self, graph: QuantizedGraph, options: Options) -> Lowered:
        """model.tflite, NHWC, float32 at both ends, and a file for every NPU."""
        from compile.targets.microscope.lowering import lower

        return npu.add(lower(graph), options.get("npu", ()))

    def reports(self, manifest: Manifest) -> Iterable[TargetReport]:
        """What Vela made of the model, where NPUs were asked for."""
        return npu.reports(manifest)


TARGET = Microscope()
