"""Static shapes and a batch of one: engines are built for one size, and tiles come one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from compile.lint.view import View


def defects(view: View) -> Iterator[str]:
    """Every size of every input and output is a number, and the first is 1."""
    graph = view.model.graph
    for tensor in (*graph.input, *graph.output):
        if not tensor.type.tensor_type.HasField("shape"):
            yield f"{tensor.name} has no shape; export for one size of tile"
            continue
        sizes = [_size(size) for size in tensor.type.tensor_type.shape.dim]
        if loose := [str(size) for size in sizes if not isinstance(size, int)]:
            yield f"{tensor.name} has the open size {', '.join(loose)}; export for one size of tile"
        elif sizes and sizes[0] != 1:
            yield f"{tensor.name} has a batch of {sizes[0]}; export for a batch of 1"


def _size(size: onnx.TensorShapeProto.Dimension) -> int | str:
    return size.dim_value if size.dim_value > 0 else (size.dim_param or "?")
