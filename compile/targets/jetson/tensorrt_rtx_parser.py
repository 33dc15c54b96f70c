"""The child's side of compile.targets.jetson.second_opinion: what TensorRT-RTX's ONNX parser and builder say of some
files.

It is run as a file of its own and imports nothing of edgescope: NVIDIA's libraries are native code, and what they do
to this process must not happen to the compiler. The answers are written as JSON; a process that dies has written
those up to the file that it died on.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(answer: str, *files: str) -> None:
    """Parse every file, build an engine of the first one and throw it away; write after each step what was said.

    answer : JSON with "version", and for every file that was begun {"parsed", "built", "said"}; None: not tried
    """
    trt: Any = import_module("tensorrt_rtx_bindings")  # by name: it brings no types, and may be missing
    found: dict[str, Any] = {"version": trt.__version__, "files": {}}
    for number, file in enumerate(files):
        said = found["files"][Path(file).name] = {"parsed": None, "built": None, "said": []}
        _write(answer, found)
        logger = _logger(trt)
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        said["parsed"] = parser.parse(Path(file).read_bytes())
        said["said"] = [_words(parser.get_error(i)) for i in range(parser.num_errors)]
        if said["parsed"] and number == 0:
            _write(answer, found)
            plan = builder.build_serialized_network(network, builder.create_builder_config())
            said["built"] = plan is not None
            said["said"] = logger.errors if plan is None else []
    _write(answer, found)


def _words(error: Any) -> str:
    where = f"{error.node_name()} ({error.node_operator()}): " if error.node_operator() else ""
    return f"{where}{error.desc()}"


def _write(answer: str, found: dict[str, Any]) -> None:
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


def _logger(trt: Any) -> Any:
    class Logger(trt.ILogger):
        """Keeps errors, and says nothing."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(msg)

    return Logger()


if __name__ == "__main__":
    main(*sys.argv[1:])
