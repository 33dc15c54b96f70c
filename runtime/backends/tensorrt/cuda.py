"""The little of libcudart that an engine needs, through ctypes: no pycuda, no torch.

A call that fails is a CudaError with CUDA's own words. Whether there is a device at all is asked before anything else:
TensorRT without a driver gives objects whose first use ends the process.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LIBRARY = "EDGESCOPE_LIBCUDART"  # environment variable: the file, where it lies in an unusual place
LINUX = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so")
WINDOWS = ("cudart64_13.dll", "cudart64_12.dll", "cudart64_110.dll")
FOLDERS = ("/usr/local/cuda/lib64", "/usr/local/cuda/targets/aarch64-linux/lib")

TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyKind
NON_BLOCKING = 1  # cudaStreamNonBlocking: does not wait for the default stream of others in this process
THREAD_LOCAL = 1  # cudaStreamCaptureModeThreadLocal: other threads of the host may allocate meanwhile
INTEGRATED, MAJOR, MINOR = 18, 75, 76  # cudaDeviceAttr
NAME_BYTES = 256  # cudaDeviceProp starts with its name in every version; what follows differs between them
PROPERTIES_BYTES = 16384  # more than any version's cudaDeviceProp

SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cudaGetDeviceCount": (POINTER(c_int),),
    "cudaDriverGetVersion": (POINTER(c_int),),
    "cudaRuntimeGetVersion": (POINTER(c_int),),
    "cudaDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cudaGetDeviceProperties": (c_void_p, c_int),
    "cudaMemGetInfo": (POINTER(c_size_t), POINTER(c_size_t)),
    "cudaSetDevice": (c_int,),
    "cudaMallocHost": (POINTER(c_void_p), c_size_t),
    "cudaFreeHost": (c_void_p,),
    "cudaMalloc": (POINTER(c_void_p), c_size_t),
    "cudaFree": (c_void_p,),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, c_void_p),
    "cudaStreamCreateWithFlags": (POINTER(c_void_p), c_uint),
    "cudaStreamSynchronize": (c_void_p,),
    "cudaStreamDestroy": (c_void_p,),
    "cudaStreamBeginCapture": (c_void_p, c_int),
    "cudaStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    # cudaGraphInstantiate has another signature in CUDA 11 than in 12; this one (11.4 and later) has not.
    "cudaGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_ulonglong),
    "cudaGraphLaunch": (c_void_p, c_void_p),
    "cudaGraphDestroy": (c_void_p,),
    "cudaGraphExecDestroy": (c_void_p,),
    "cudaGetLastError": (),
}


class CudaError(EdgescopeError):
    """A call of libcudart failed. `code` is its cudaError_t."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Cuda:
    """libcudart, loaded. Addresses, streams and graphs are whole numbers here, as ctypes has them."""

    def __init__(self, path: str) -> None:
        """Load the library; OSError when it is not there or cannot be."""
        self.path = path
        self._library = ctypes.CDLL(path)
        for name, arguments in SIGNATURES.items():
            function = getattr(self._library, name, None)
            if function is not None:  # one that is missing is named when it is called
                function.argtypes, function.restype = arguments, c_int
        self._library.cudaGetErrorString.argtypes = (c_int,)
        self._library.cudaGetErrorString.restype = c_char_p

    def device_count(self) -> int:
        """How many devices there are; CudaError says why it cannot be known, as without a driver."""
        return self._number("cudaGetDeviceCount")

    def versions(self) -> tuple[str, str]:
        """Of the driver's CUDA and of this library: ("12.6", "12.6")."""
        driver, runtime = self._number("cudaDriverGetVersion"), self._number("cudaRuntimeGetVersion")
        return _version(driver), _version(runtime)

    def name(self, device: int) -> str:
        """What the device calls itself: "Orin"."""
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        self._call("cudaGetDeviceProperties", properties, device)
        return properties.raw[:NAME_BYTES].partition(b"\0")[0].decode("utf-8", "replace")

    def capability(self, device: int) -> str:
        """Compute capability, the SM's version: "8.7"."""
        return f"{self._attribute(MAJOR, device)}.{self._attribute(MINOR, device)}"

    def is_integrated(self, device: int) -> bool:
        """Whether device and host share one memory, as on every Jetson."""
        return bool(self._attribute(INTEGRATED, device))

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the current device."""
        free, total = c_size_t(), c_size_t()
        self._call("cudaMemGetInfo", byref(free), byref(total))
        return free.value, total.value

    def use(self, device: int) -> None:
        """Make a device this thread's current one."""
        self._call("cudaSetDevice", device)

    def pinned(self, shape: tuple[int, ...]) -> tuple[int, NDArray[np.float32]]:
        """Page-locked host memory, its address and the float32 array over it; free it with `free_pinned`."""
        size = int(np.prod(shape)) * 4
        address = self._handle("cudaMallocHost", size)
        buffer = (ctypes.c_char * size).from_address(address)
        flat: NDArray[np.float32] = np.frombuffer(memoryview(buffer), np.float32)
        return address, np.reshape(flat, shape)

    def free_pinned(self, address: int) -> None:
        """Give it back; the array over it must not be used any more."""
        self._call("cudaFreeHost", address)

    def allocate(self, size: int) -> int:
        """Device memory of so many bytes."""
        return self._handle("cudaMalloc", size)

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._call("cudaFree", address)

    def copy(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        """Copy bytes between host and device when the stream comes to it; kind is TO_DEVICE or TO_HOST."""
        self._call("cudaMemcpyAsync", target, source, size, kind, stream)

    def stream(self) -> int:
        """A stream of one's own."""
        stream = c_void_p()
        self._call("cudaStreamCreateWithFlags", byref(stream), NON_BLOCKING)
        return stream.value or 0

    def wait(self, stream: int) -> None:
        """Until all that was given to the stream is done; CudaError for what failed in it."""
        self._call("cudaStreamSynchronize", stream)

    def destroy_stream(self, stream: int) -> None:
        """Give the stream back."""
        self._call("cudaStreamDestroy", stream)

    def begin_capture(self, stream: int) -> None:
        """From now on, what is given to the stream is recorded and not done."""
        self._call("cudaStreamBeginCapture", stream, THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        """What was recorded, ready to be launched. CudaError when something in it cannot be recorded."""
        graph = c_void_p()
        try:
            self._call("cudaStreamEndCapture", stream, byref(graph))
            executable = c_void_p()
            self._call("cudaGraphInstantiateWithFlags", byref(executable), graph, 0)
        finally:
            if graph.value:
                self._call("cudaGraphDestroy", graph)
        return executable.value or 0

    def launch(self, graph: int, stream: int) -> None:
        """Give a recorded graph to a stream."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Give it back."""
        self._call("cudaGraphExecDestroy", graph)

    def forget_error(self) -> None:
        """Clear the error that CUDA keeps after a failed call, so that the next one does not report it."""
        self._library.cudaGetLastError()

    def _attribute(self, attribute: int, device: int) -> int:
        value = c_int()
        self._call("cudaDeviceGetAttribute", byref(value), attribute, device)
        return value.value

    def _number(self, function: str) -> int:
        value = c_int()
        self._call(function, byref(value))
        return value.value

    def _handle(self, function: str, size: int) -> int:
        address = c_void_p()
        self._call(function, byref(address), size)
        return address.value or 0

    def _call(self, function: str, *arguments: Any) -> None:
        called = getattr(self._library, function, None)
        if called is None:
            msg = f"{self.path} has no {function}; TensorRT needs CUDA 11.4 or later."
            raise CudaError(msg)
        code = called(*arguments)
        if code:
            text = (self._library.cudaGetErrorString(code) or b"unknown error").decode("utf-8", "replace")
            msg = f"{function}: {text} (CUDA error {code})"
            raise CudaError(msg, code)


def candidates() -> Iterator[str]:
    """Where libcudart may be: the variable alone where it is set; or else names for the loader, and known folders."""
    if named := os.environ.get(LIBRARY):
        yield named
        return
    names = WINDOWS if sys.platform == "win32" else LINUX
    yield from names
    yield from (str(path) for folder in FOLDERS for name in names if (path := Path(folder, name)).is_file())
    yield from _of_packages(names)


def load() -> Cuda | None:
    """The first libcudart that finds a device; else the first that can be loaded; None where there is none."""
    first = None
    for path in candidates():
        try:
            cuda = Cuda(path)
        except (OSError, AttributeError):  # not there; or a file that is no libcudart
            continue
        first = first or cuda
        try:
            if cuda.device_count() > 0:
                return cuda
        except CudaError:  # a CUDA that is newer than the driver: an older one may do
            continue
    return first


def _of_packages(names: tuple[str, ...]) -> Iterator[str]:
    """In NVIDIA's Python packages, which TensorRT's bring along."""
    spec = find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for name in names:
            yield from (str(path) for path in sorted(Path(root).glob(f"*/*/{name}")))


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
