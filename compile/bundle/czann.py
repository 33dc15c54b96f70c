"""A .czann file, which ZEISS ZEN and arivis import: an ONNX model for tiles in their full range, and its description.

ZEN hands over tiles (h, w, 1) whose values are divided by the greatest value of their type, and takes the class with
the greatest value of each pixel. So what surrounds a student elsewhere is in the model: a tile is scaled between its
own percentiles, for there is no frame here, and the foreground is bent so that the manifest's threshold is at 0.5.
Touching objects are not separated: ZEN does that itself. The student is the one with its rounding written out (see
zoo.py), which every onnxruntime computes nearly alike.

The format: CZANN 2.1.0, described by ZEISS in the package czmodel, which reads the file in our tests.
"""

from __future__ import annotations

import io
import json
import math
import uuid
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compile.bundle.zoo import MODEL
from runtime.errors import InputError

if TYPE_CHECKING:
    from runtime.artifact.artifact import Artifact

FORMAT = "2.1.0"
OPSET = 18  # what the format asks for
IR_VERSION = 8  # that belongs to it
DATED = (1980, 1, 1, 0, 0, 0)  # equal artefacts give equal files
BACKGROUND = "background"


def czann(artifact: Artifact) -> bytes:
    """The file. InputError for an artefact without the model for the zoo, which all have that compile wrote."""
    model = in_full_range(artifact)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in (
            ("model.json", json.dumps(description(artifact), indent=2).encode()),
            ("model.model", model.SerializeToString()),
            ("LICENSE.txt", (", ".join(artifact.manifest.lineage.licences) + "\n").encode()),
        ):
            archive.writestr(zipfile.ZipInfo(name, DATED), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def description(artifact: Artifact) -> dict[str, Any]:
    """model.json. Its Id is that of the artefact's contents; a scale in metres is there where the student has one."""
    manifest = artifact.manifest
    height, width = manifest.tile
    overlap = manifest.overlap + manifest.overlap % 2  # it must be even
    described: dict[str, Any] = {
        "FormatVersion": FORMAT,
        "Id": str(uuid.uuid5(uuid.NAMESPACE_OID, manifest.to_json())),
        "Type": "SingleClassSemanticSegmentation",
        "InputShape": [height, width, 1],
        "OutputShape": [height, width, 2],
        "MinOverlap": [overlap, overlap],
        "Classes": [BACKGROUND, manifest.student],
        "ModelName": artifact.path.name,
    }
    if manifest.pixel_size_um is not None:
        described["Scaling"] = [manifest.pixel_size_um * 1e-6] * 2
    return described


def in_full_range(artifact: Artifact) -> onnx.ModelProto:
    """The ONNX model, float32 (1, h, w, 1) in [0, 1] to (1, h, w, 2): what is left of 1 for the background first."""
    manifest = artifact.manifest
    if MODEL not in artifact.files:
        msg = f"Artefact {artifact.path} has no {MODEL}; compile it again."
        raise InputError(msg)
    student = onnx.ModelProto.FromString(artifact.read(MODEL))
    (image,), (maps,) = ([one.name for one in side] for side in (student.graph.input, student.graph.output))
    height, width = manifest.tile
    graph = Nodes(list(student.graph.initializer))
    pixels = graph.add("Reshape", "raw", graph.constant([height * width], np.int64))
    low = graph.percentile(pixels, height * width, manifest.normalization.low)
    high = graph.percentile(pixels, height * width, manifest.normalization.high)
    span = graph.add("Sub", high, low)
    share = graph.add("Div", graph.add("Sub", pixels, low), span)
    zero, one, half = (graph.constant(value, np.float32) for value in (0, 1, 0.5))
    tile = graph.add("Where", graph.add("Greater", span, zero), graph.add("Clip", share, zero, one), zero)
    graph.add("Reshape", tile, graph.constant([1, 1, height, width], np.int64), result=image)
    graph.nodes.extend(student.graph.node)
    channel = graph.constant([manifest.channels.index("foreground")], np.int64)
    foreground = graph.add("Gather", maps, channel, axis=1)
    # From 0 to the threshold it rises to a half, from there to 1; both lines meet at the threshold.
    at = graph.constant(manifest.threshold, np.float32)
    below = graph.add("Mul", foreground, graph.constant(0.5 / manifest.threshold, np.float32))
    slope = graph.constant(0.5 / (1 - manifest.threshold), np.float32)
    above = graph.add("Add", graph.add("Mul", graph.add("Sub", foreground, at), slope), half)
    bent = graph.add("Where", graph.add("Greater", foreground, at), above, below)
    both = graph.add("Concat", graph.add("Sub", one, bent), bent, axis=1)
    graph.add("Transpose", both, result="classes", perm=[0, 2, 3, 1])
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, height, width, depth])
        for name, depth in (("raw", 1), ("classes", 2))
    ]
    made = helper.make_graph(graph.nodes, artifact.path.name, tensors[:1], tensors[1:], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


class Nodes:
    """The nodes of a graph, and its constants, as they are added."""

    def __init__(self, constants: list[TensorProto]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants = constants

    def constant(self, value: Any, dtype: Any) -> str:
        """The name of a new constant."""
        name = f"zen_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def add(self, kind: str, *inputs: str, result: str = "", **attributes: Any) -> str:
        """The name of a new node's first result."""
        outputs = [result or f"zen_{len(self.nodes)}"]
        if kind == "TopK":
            outputs.append(f"{outputs[0]}_places")
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs[0]

    def percentile(self, pixels: str, count: int, percent: float) -> str:
        """The value at a percentile of a tensor (count,): between two ranks, as runtime.frames.normalize has it."""
        rank = (count - 1) * percent / 100
        below = min(math.floor(rank), max(0, count - 2))
        largest = percent > 50
        many = count - below if largest else min(count, below + 2)
        sought = self.add(
            "TopK", pixels, self.constant([many], np.int64), axis=0, largest=int(largest), sorted=1
        )  # from the nearer end: a few hundred of all values
        places = [many - 1, max(0, many - 2)] if largest else [below, min(count - 1, below + 1)]
        first, second = (self.add("Gather", sought, self.constant(place, np.int64), axis=0) for place in places)
        step = self.add("Mul", self.add("Sub", second, first), self.constant(rank - below, np.float32))
        return self.add("Add", first, step)
