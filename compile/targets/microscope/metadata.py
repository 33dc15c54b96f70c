"""What a .tflite file says about itself to tools that know nothing of artefacts: names, texts, ranges, licences.

The metadata is the FlatBuffer "TFLITE_METADATA" (schema 1.1.0, file identifier M001) that TFLite's metadata tools,
MediaPipe and Android Studio read. No package that suits the rest of this environment brings its generated classes, so
its few tables are written by their positions in that schema. Nothing here touches an operator or a constant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flatbuffers

import runtime
from compile.export import INPUT, OUTPUT
from compile.targets.microscope.file import add_metadata, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from compile.export import QuantizedGraph

METADATA = "TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER = "1.0.0"  # the oldest reader that knows every field written here
IMAGE, GRAYSCALE, NORMALIZATION = 2, 2, 1  # ContentProperties, ColorSpaceType and ProcessUnitOptions of the schema


def described(model: bytes, graph: QuantizedGraph) -> bytes:
    """The same model with its input called "image" and its output "probability", described for other tools."""
    held = unpack(model)
    (subgraph,) = held.subgraphs
    for index, name in ((subgraph.inputs[0], INPUT), (subgraph.outputs[0], OUTPUT)):
        subgraph.tensors[index].name = name
    for signature in held.signatureDefs or ():
        signature.inputs[0].name, signature.outputs[0].name = INPUT, OUTPUT
    held.description = f"{graph.student.spec.name} in {graph.precision}, compiled by edgescope {runtime.__version__}"
    add_metadata(held, METADATA, metadata(graph))
    return pack(held)


def metadata(graph: QuantizedGraph) -> bytes:
    """The content of TFLITE_METADATA: a ModelMetadata with one subgraph, its input and its output."""
    spec, lineage = graph.student.spec, graph.student.lineage
    how = spec.normalization
    height, width = graph.tile
    write = _Writer()
    image = write.tensor(
        INPUT,
        f"One fluorescence channel ({', '.join(spec.channels)}), {height}x{width} pixels, in [0, 1]: intensities "
        f"between the percentiles {how.low:g} and {how.high:g} of the whole frame, clipped. Not of the tile alone.",
        ("batch", "height", "width", "channel"),
        normalized=True,
    )
    probability = write.tensor(
        OUTPUT,
        f"Probabilities in [0, 1], channels: {', '.join(spec.outputs)}. Foreground is above {spec.threshold:g}.",
        ("batch", "height", "width", "channel"),
        normalized=False,
    )
    subgraph = write.table({2: write.tables([image]), 3: write.tables([probability])})
    terms = "; ".join(lineage.licences) or "see manifest.json"
    texts = {
        0: spec.name,
        1: f"Segments {' and '.join(spec.outputs)} of nuclei or cells in one fluorescence channel. {_origin(graph)}",
        2: runtime.__version__,
        4: "edgescope",
        5: terms + ("; non-commercial use only" if lineage.non_commercial else ""),
        7: PARSER,
    }
    fields = {slot: write.text(text) for slot, text in texts.items()}
    return write.finish({**fields, 3: write.tables([subgraph])})


def _origin(graph: QuantizedGraph) -> str:
    lineage = graph.student.lineage
    return f"Weights sha256 {lineage.weights_sha256}; teacher: {lineage.teacher or 'none, trained on labels'}."


class _Writer:
    """Writes tables of the metadata schema; a number before a field is its position in its table there."""

    def __init__(self) -> None:
        self._builder: Any = flatbuffers.Builder(4096)

    def tensor(self, name: str, text: str, dimensions: Sequence[str], *, normalized: bool) -> int:
        """TensorMetadata of a grey image with values in [0, 1]. normalized : say that (x - 0) / 1 is done to it."""
        content = self._union(IMAGE, self.table({}, bytes_={0: GRAYSCALE}))
        fields = {
            0: self.text(name),
            1: self.text(text),
            2: self.tables([self.text(each) for each in dimensions]),
            3: content,
            5: self.table({0: self._floats(1.0), 1: self._floats(0.0)}),
        }
        if normalized:
            options = self.table({0: self._floats(0.0), 1: self._floats(1.0)})
            fields[4] = self.tables([self._union(NORMALIZATION, options)])
        return self.table(fields)

    def text(self, text: str) -> int:
        return self._builder.CreateString(text)

    def tables(self, offsets: Sequence[int]) -> int:
        """A vector of what was written before."""
        return self._vector(offsets, self._builder.PrependUOffsetTRelative)

    def table(self, fields: dict[int, int], bytes_: dict[int, int] | None = None) -> int:
        """A table. fields : position to what was written before; bytes_ : position to an 8-bit number."""
        bytes_ = bytes_ or {}
        self._builder.StartObject(max((*fields, *bytes_), default=-1) + 1)
        for slot, offset in fields.items():
            self._builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, value in bytes_.items():
            self._builder.PrependUint8Slot(slot, value, 0)
        return self._builder.EndObject()

    def finish(self, root: dict[int, int]) -> bytes:
        self._builder.Finish(self.table(root), IDENTIFIER)
        return bytes(self._builder.Output())

    def _union(self, kind: int, value: int) -> int:
        """A table whose only field is a union: its kind, then the value."""
        return self.table({1: value}, bytes_={0: kind})

    def _floats(self, *values: float) -> int:
        return self._vector(values, self._builder.PrependFloat32)

    def _vector(self, values: Sequence[Any], prepend: Callable[[Any], None]) -> int:
        """Of numbers or offsets of four bytes each."""
        self._builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            prepend(value)
        return self._builder.EndVector()
