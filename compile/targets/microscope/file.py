"""A .tflite file as objects that can be changed, and back: its FlatBuffer by the schema that LiteRT itself brings.

The converters leave constants behind the FlatBuffer, a layout meant for files over 2 GB that tools which know the
FlatBuffer alone lose without a word, and at odd places, where the schema asks for multiples of 16 bytes (kernels read
constants as they lie in flash or in a mapped file). `pack` writes them inside and aligned.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ALIGNMENT = 16  # bytes: force_align of Buffer.data in the schema
IDENTIFIER = b"TFL3"


def unpack(model: bytes) -> Any:
    """The file as a schema.ModelT, all constants in its buffers."""
    schema = _schema()
    held = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    for buffer in held.buffers:
        if buffer.offset > 1:  # 0 and 1 stand for "inside"
            buffer.data = model[buffer.offset : buffer.offset + buffer.size]
            buffer.offset = buffer.size = 0
    return held


def pack(held: Any) -> bytes:
    """A schema.ModelT as a file, its constants aligned."""
    import flatbuffers

    held.buffers = [_aligned(buffer) for buffer in held.buffers]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(held.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def add_metadata(held: Any, name: str, data: bytes) -> None:
    """Append a named buffer to the file's metadata; one of that name is replaced."""
    schema = _schema()
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(held.buffers)
    held.buffers.append(schema.BufferT(data=data))
    kept = [item for item in held.metadata or () if item.name != name.encode()]
    held.metadata = [*kept, entry]


def operator_name(held: Any, operator: Any) -> str:
    """What an operator is called: CONV_2D, or for a custom one what it calls itself."""
    code = held.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return code.customCode.decode()
    return _names()[max(code.builtinCode, code.deprecatedBuiltinCode)]  # codes over 127 do not fit the older field


def tensor_name(tensor: Any) -> str:
    """Name of a tensor as text."""
    return (tensor.name or b"").decode()


@cache
def _names() -> Mapping[int, str]:
    return {code: name for name, code in vars(_schema().BuiltinOperator).items() if isinstance(code, int)}


@cache
def _aligned_class() -> type[Any]:
    class AlignedBuffer(_schema().BufferT):
        """A buffer that writes its bytes at a multiple of ALIGNMENT."""

        def Pack(self, builder: Any) -> int:
            schema, data = _schema(), bytes(self.data)
            builder.StartVector(1, len(data), ALIGNMENT)
            head = builder.Head() - len(data)
            builder.head = head
            builder.Bytes[head : head + len(data)] = data
            vector = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, vector)
            return int(schema.BufferEnd(builder))

    return AlignedBuffer


def _aligned(buffer: Any) -> Any:
    return buffer if buffer.data is None else _aligned_class()(data=buffer.data)


def _schema() -> Any:
    from ai_edge_litert import schema_py_generated

    return schema_py_generated
