"""A STAND-IN for NVIDIA's Python module `tensorrt`, for machines without a GPU. It is not TensorRT.

It has the names and the manners that `runtime.backends.tensorrt` relies on, after TensorRT's documentation of the
versions that STAND_IN_TENSORRT names (8.5.2, 8.6.1, 10.3.0, 10.16.1, 11.4.1), and lacks what those versions lack: 8.x
has no strongly typed networks, 8.5 no optimisation level, 8.x no progress monitor, 11 no EXPLICIT_BATCH, INT8 and FP16
flags. What a version lacks raises AttributeError, as in the real module. Flags that a version refuses are refused.

An engine is a header and the ONNX file itself, run by onnxruntime through cudaLaunchHostFunc, so that results are real
and an inference can be captured. STAND_IN_FAULTS is JSON: {"int8" or "fp16" or "fp32": how it fails}.
"""

import ctypes
import enum
import json
import os
import signal
import time

import numpy as np

__version__ = os.environ.get("STAND_IN_TENSORRT", "10.3.0")
_VERSION = tuple(int(part) for part in __version__.split(".")[:2])
_FAULTS = json.loads(os.environ.get("STAND_IN_FAULTS", "{}"))
_MAGIC = b"stand-in engine, not TensorRT\n"
_cudart = ctypes.CDLL(os.environ["EDGESCOPE_LIBCUDART"])
_HostFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_cudart.cudaLaunchHostFunc.argtypes = (ctypes.c_void_p, _HostFunction, ctypes.c_void_p)


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self):
        self._made = True


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


_FLAGS = {8: {"EXPLICIT_BATCH": 0}, 10: {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}, 11: {"STRONGLY_TYPED": 1}}
NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", _FLAGS[_VERSION[0]])
BuilderFlag = enum.IntEnum("BuilderFlag", {"FP16": 0, "INT8": 1, "TF32": 7} if _VERSION[0] < 11 else {"TF32": 7})

if _VERSION >= (9, 0):

    class IProgressMonitor:
        def __init__(self):
            self._made = True


class _ParserError:
    def __init__(self, text):
        self._text = text

    def desc(self):
        return self._text


class _Network:
    def __init__(self, flags):
        if _VERSION[0] == 8 and not flags & 1:
            raise RuntimeError("the ONNX parser of TensorRT 8 needs an explicit batch")
        self.strongly_typed = "STRONGLY_TYPED" in NetworkDefinitionCreationFlag.__members__ and bool(flags & 2)
        self.onnx = None


class _Config:
    def __init__(self):
        self.flags_set = set()
        self.workspace = None
        if _VERSION >= (8, 6):
            self.builder_optimization_level = 3
        if _VERSION >= (9, 0):
            self.progress_monitor = None

    def set_memory_pool_limit(self, pool, size):
        assert pool is MemoryPoolType.WORKSPACE
        self.workspace = size

    def set_flag(self, flag):
        self.flags_set.add(flag.name)


class OnnxParser:
    def __init__(self, network, logger):
        self._network, self._errors = network, []

    def parse(self, onnx):
        fault = _FAULTS.get(_precision(onnx))
        if fault == "refuse" or b"Conv" not in onnx:
            self._errors = [_ParserError("In node 7 (importConv): UNSUPPORTED_NODE: a stand-in for a refusal")]
            return False
        self._network.onnx = onnx
        return True

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self._errors[index]


class _HostMemory(bytearray):
    """IHostMemory has the buffer interface."""


class Builder:
    def __init__(self, logger):
        assert logger._made, "a logger whose base was not initialised ends the process"
        self._logger = logger

    def create_network(self, flags=0):
        return _Network(flags)

    def create_builder_config(self):
        return _Config()

    def build_serialized_network(self, network, config):
        precision = _precision(network.onnx)
        if network.strongly_typed and config.flags_set:
            self._logger.log(ILogger.Severity.ERROR, "precision flags are refused for a strongly typed network")
            return None
        if not network.strongly_typed and precision == "int8" and "INT8" not in config.flags_set:
            self._logger.log(ILogger.Severity.ERROR, "a network with Q/DQ needs the INT8 flag")
            return None
        if getattr(config, "progress_monitor", None) is not None:
            config.progress_monitor.phase_start("Building engine", None, 2)
            config.progress_monitor.step_complete("Building engine", 0)
            config.progress_monitor.phase_finish("Building engine")
        if not _survive(_FAULTS.get(precision), config):
            self._logger.log(ILogger.Severity.ERROR, "[virtualMemoryBuffer] OutOfMemory: a stand-in for it")
            return None
        header = json.dumps({"version": __version__, "flags": sorted(config.flags_set)}).encode()
        return _HostMemory(_MAGIC + header + b"\n" + network.onnx)


def _survive(fault, config):
    """Whether an engine comes of it; some faults end the process, as the real builder's do."""
    if fault == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "exit":
        os._exit(3)
    if fault == "hang":
        time.sleep(600)
    if fault == "large workspace":
        return config.workspace <= 256 << 20
    return fault != "out of memory"


class Runtime:
    def __init__(self, logger):
        self._logger = logger

    def deserialize_cuda_engine(self, plan):
        header, _, onnx = plan[len(_MAGIC) :].partition(b"\n")
        if not plan.startswith(_MAGIC) or json.loads(header)["version"] != __version__:
            self._logger.log(ILogger.Severity.ERROR, f"Serialization error: this is TensorRT {__version__}")
            return None
        return _Engine(onnx)


class _Engine:
    num_io_tensors = 2

    def __init__(self, onnx):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self.fault = _FAULTS.get(_precision(onnx))
        self._tensors = [*self.session.get_inputs(), *self.session.get_outputs()]
        if _VERSION >= (10, 1):
            self.device_memory_size_v2 = 3 << 20
        if _VERSION[0] < 11:
            self.device_memory_size = 3 << 20

    def get_tensor_name(self, index):
        return self._tensors[index].name

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name == self._tensors[0].name else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return DataType.FLOAT

    def get_tensor_shape(self, name):
        return next(tensor.shape for tensor in self._tensors if tensor.name == name)

    def create_execution_context(self):
        return _Context(self)


class _Context:
    def __init__(self, engine):
        self._engine, self._addresses = engine, {}
        self._infer = _HostFunction(self._run)  # must live as long as a graph that calls it

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        return _cudart.cudaLaunchHostFunc(stream, self._infer, None) == 0

    def _run(self, _):
        source, target = self._engine._tensors
        found = self._engine.session.run(None, {source.name: self._array(source)})[0]
        if self._engine.fault == "wrong":
            found = 1 - found
        if self._engine.fault == "slow":
            time.sleep(0.003)
        self._array(target)[...] = found

    def _array(self, tensor):
        size = int(np.prod(tensor.shape))
        buffer = (ctypes.c_float * size).from_address(self._addresses[tensor.name])
        return np.ctypeslib.as_array(buffer).reshape(tensor.shape)


def _precision(onnx):
    """What a file of the tests is: with Q/DQ it is int8; the others are named by their graph."""
    return "int8" if b"QuantizeLinear" in onnx else "fp16" if b"tiny-fp16" in onnx else "fp32"
