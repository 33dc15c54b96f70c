"""One code path over TensorRT 8.5, 8.6, 10 and 11. It asks what a version has, never which version it is.

8.x knows no strongly typed network: it is given fp32 files of opset 17 and flags that allow int8 and fp16. From 10 on
the file says the types, and 11 knows nothing else. All objects are kept as long as those that were made from them.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEPT_LINES = 20
MAX_DEPTH = 16  # of phases within phases; more would be a phase within itself
FLAGS = {"int8": ("INT8", "FP16"), "fp16": ("FP16",), "fp32": ()}


class Refused(EdgescopeError):
    """TensorRT cannot read the network. Less memory or another attempt will not help."""


class BuildFailed(EdgescopeError):
    """TensorRT read the network, and built no engine from it."""


@dataclass(frozen=True)
class Recipe:
    """An engine to be built. role : of the payload; precision : what it computes in, "int8", "fp16" or "fp32"."""

    role: str
    precision: str


def recipes(payload: Mapping[str, str], *, strongly_typed: bool, hint: str) -> tuple[Recipe, ...]:
    """What can be built from a bundle's files, int8 first. hint : "auto" for all of them, or one precision.

    A bundle of an int8 student is told by its role onnx_fp16_qdq: its "onnx" is the same with fp32 between the codes.
    """
    quantized = "onnx_fp16_qdq" in payload
    roles = {
        "int8": ("onnx_fp16_qdq" if strongly_typed else "onnx") if quantized else None,
        "fp16": "onnx_fp16" if strongly_typed or quantized else "onnx",
        "fp32": None if quantized or "onnx_fp16" in payload else "onnx",
    }
    if "onnx_fp16" not in payload:
        roles["fp16"] = None
    found = (Recipe(role, precision) for precision, role in roles.items() if role in payload and role is not None)
    return tuple(recipe for recipe in found if hint in ("auto", recipe.precision))


class TensorRTModule:
    """The module `tensorrt` of whatever version, or tensorrt_rtx, whose Python interface is the same."""

    def __init__(self, trt: Any) -> None:
        self._trt: Any = trt
        self.messages: deque[str] = deque(maxlen=KEPT_LINES)  # warnings and errors, TensorRT's own words
        self._logger: Any = _logger(trt, self.messages)

    @property
    def strongly_typed(self) -> bool:
        """Whether networks are typed by their file."""
        return is_strongly_typed(self._trt)

    def parse(self, onnx: bytes) -> ParsedNetwork:
        """Read a network; Refused with the parser's words when it cannot."""
        flags = self._trt.NetworkDefinitionCreationFlag
        chosen = [getattr(flags, name, None) for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED")]
        builder = self._trt.Builder(self._logger)
        network = builder.create_network(sum(1 << int(flag) for flag in chosen if flag is not None))
        parser = self._trt.OnnxParser(network, self._logger)
        if not parser.parse(onnx):
            errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
            msg = f"TensorRT cannot read the network: {_joined(errors or list(self.messages))}"
            raise Refused(msg)
        return ParsedNetwork(builder, network, parser)

    def configure(
        self,
        network: ParsedNetwork,
        recipe: Recipe,
        workspace_mb: int,
        level: int | None,
        step: Callable[[float], None],
    ) -> Any:
        """A builder's configuration. level : how long to search, 0 to 5, or None for its default; step : progress."""
        config = network.builder.create_builder_config()
        config.set_memory_pool_limit(self._trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
        if not self.strongly_typed:
            for flag in FLAGS[recipe.precision]:
                config.set_flag(getattr(self._trt.BuilderFlag, flag))
        if level is not None and hasattr(config, "builder_optimization_level"):  # 8.6 and later
            config.builder_optimization_level = level
        if hasattr(self._trt, "IProgressMonitor"):  # 9 and later
            config.progress_monitor = _monitor(self._trt, step)
        return config

    def build(self, network: ParsedNetwork, config: Any) -> bytes:
        """The engine as bytes, its "plan"; BuildFailed with TensorRT's words when it makes none."""
        plan = network.builder.build_serialized_network(network.network, config)
        if plan is None:
            msg = f"TensorRT built no engine: {_joined(list(self.messages)) or 'it does not say why'}"
            raise BuildFailed(msg)
        return bytes(memoryview(plan))

    def load(self, plan: bytes) -> Any | None:
        """The engine in these bytes, or None when this TensorRT does not take them; `messages` says why.

        Only for bytes that this device built itself: an engine holds code.
        """
        runtime = self._trt.Runtime(self._logger)
        engine = runtime.deserialize_cuda_engine(plan)
        return None if engine is None else Engine(self._trt, runtime, engine)

    def last_words(self) -> str:
        """What TensorRT said last, in one line."""
        return _joined(list(self.messages)) or "it does not say why"


@dataclass(frozen=True, eq=False)
class ParsedNetwork:
    """A network that was read, and what must live as long as it does."""

    builder: Any
    network: Any
    parser: Any


class Engine:
    """An engine that is loaded: one float32 input and one float32 output of fixed shapes."""

    def __init__(self, trt: Any, runtime: Any, engine: Any) -> None:
        """EdgescopeError when its tensors are not what a student has."""
        self._runtime: Any = runtime
        self._engine: Any = engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        sides = (trt.TensorIOMode.INPUT, trt.TensorIOMode.OUTPUT)
        sorted_names = [[name for name in names if engine.get_tensor_mode(name) == side] for side in sides]
        if [len(side) for side in sorted_names] != [1, 1]:
            msg = f"The engine has the tensors {', '.join(names)}; a student's has one input and one output."
            raise EdgescopeError(msg)
        ((self.input,), (self.output,)) = sorted_names
        for name in (self.input, self.output):
            if engine.get_tensor_dtype(name) != trt.DataType.FLOAT:
                msg = f"Tensor {name} of the engine is {engine.get_tensor_dtype(name)}; it must be float32."
                raise EdgescopeError(msg)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor."""
        return tuple(int(side) for side in self._engine.get_tensor_shape(name))

    def context(self) -> Any:
        """What executes it; EdgescopeError when there is no memory for it."""
        context = self._engine.create_execution_context()
        if context is None:
            msg = "TensorRT made no execution context for the engine: was there enough memory on the device?"
            raise EdgescopeError(msg)
        return context

    @property
    def memory_bytes(self) -> int:
        """Device memory that a run needs besides the weights. 10.1 and later have the first name, 8.x the second."""
        for name in ("device_memory_size_v2", "device_memory_size"):
            size = getattr(self._engine, name, None)
            if size is not None:
                return int(size)
        return 0


def is_strongly_typed(trt: Any) -> bool:
    """Whether this version's networks are typed by their file: 10 and 11, not 8."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


class PhaseProgress:
    """TensorRT's nested phases as one fraction from 0 to 1 that never falls. Called by several of its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._fraction = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> float:
        """A phase of so many steps begins, within another one or at the top."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(1, steps))
            return self._update()

    def step(self, name: str, number: int) -> float:
        """Step number (from 0) of a phase is done."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done = max(self._phases[name].done, number + 1)
            return self._update()

    def finish(self, name: str) -> float:
        """A phase ends, whether or not all of its steps were reported."""
        with self._lock:
            ended = self._phases.pop(name, None)
            if ended is not None and ended.parent is None:
                self._fraction = 1.0
            return self._fraction

    def _update(self) -> float:
        tops = [name for name, phase in self._phases.items() if phase.parent not in self._phases]
        self._fraction = max([self._fraction, *(self._of(name, MAX_DEPTH) for name in tops)])
        return self._fraction

    def _of(self, name: str, depth: int) -> float:
        """Steps that are done, and of the one under way what its own phases have done."""
        phase = self._phases[name]
        inside = [child for child, other in self._phases.items() if other.parent == name] if depth else []
        part = max((self._of(child, depth - 1) for child in inside), default=0.0)
        return min(1.0, (phase.done + min(part, 0.999)) / phase.steps)


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


def _logger(trt: Any, messages: deque[str]) -> Any:
    worst = int(trt.ILogger.Severity.WARNING)

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 wants its own, not super()'s

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= worst and message not in messages:
                messages.append(message)

    return Log()


def _monitor(trt: Any, step: Callable[[float], None]) -> Any:
    progress = PhaseProgress()

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            step(progress.start(phase_name, parent_phase, num_steps))

        def step_complete(self, phase_name: str, step_number: int) -> bool:
            step(progress.step(phase_name, step_number))
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            step(progress.finish(phase_name))

    return Monitor()


def _joined(lines: list[str]) -> str:
    return "; ".join(" ".join(line.split()) for line in lines[-3:])
