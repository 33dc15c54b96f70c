"""A target with an option of its own, whose artefacts the backend `pocket` runs."""

from compile.target import Lowered, Option, Target, TargetReport
from runtime.artifact.manifest import Operators

COLOUR = Option("case-colour", "what the workstation looks like", choices=("beige", "black"))


class Workstation(Target):
    name = "workstation"
    where = "a made-up workstation under a desk"
    options = (COLOUR,)

    def lower(self, graph, options):
        convolutions = sum(node.op_type == "Conv" for node in graph.reference.graph.node)
        return Lowered(
            backend="pocket",
            files={"model.onnx": graph.reference.SerializeToString()},
            payload={"pocket": "model.onnx", "onnx": "model.onnx"},
            operators=Operators(convolutions, 0, "nodes of the ONNX file"),
            notes=(f"The case is {options.get('case-colour', ('beige',))[0]}.",),
        )

    def reports(self, manifest):
        return (TargetReport("Workstation", ("part", "state"), (("desk", "steady"),)),)


TARGET = Workstation()
