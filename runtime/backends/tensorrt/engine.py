"""An engine at work: pinned buffers, one stream, and what a tile takes recorded once and replayed as a CUDA graph."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import EdgescopeError
from .cuda import TO_DEVICE, TO_HOST, CudaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .api import Engine
    from .cuda import Cuda

log = logging.getLogger(__name__)


class Runner:
    """Runs a loaded engine on one device. Not to be entered by two threads at once; any thread may run it.

    graph : whether a CUDA graph is replayed; `eager_because` says why not
    """

    def __init__(self, cuda: Cuda, engine: Engine, device: int) -> None:
        """Allocate, run once, and record. CudaError or EdgescopeError when there is not enough memory."""
        self._cuda = cuda
        self._engine = engine
        self._device = device
        self._releases: list[Callable[[], None]] = []
        self._graph: int | None = None
        self.eager_because: str | None = None
        cuda.use(device)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @property
    def graph(self) -> bool:
        """Whether a tile is one launch of a recorded graph."""
        return self._graph is not None

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """tile: float32 (1, 1, h, w), of the engine's shape. Returns a fresh float32 array (1, C, h, w)."""
        self._cuda.use(self._device)  # the current device is a thread's own
        np.copyto(self._input, tile)
        if self._graph is None:
            self._enqueue()
        else:
            self._cuda.launch(self._graph, self._stream)
        self._cuda.wait(self._stream)
        output: NDArray[np.float32] = np.array(self._output, np.float32)  # a copy: the next run overwrites it
        return output

    def close(self) -> None:
        """Give everything back, last things first; calling it again does nothing."""
        while self._releases:
            try:
                self._releases.pop()()
            except CudaError as error:  # a device in error gives nothing back, and the rest is still to be tried
                log.debug("not released: %s", error)
        self._graph = None

    def _prepare(self) -> None:
        cuda, engine = self._cuda, self._engine
        self._stream = cuda.stream()
        self._releases.append(lambda: cuda.destroy_stream(self._stream))
        self._context: Any = engine.context()
        self._releases.append(self._drop_context)
        self._input, self._host_input, self._device_input = self._buffers(engine.input)
        self._output, self._host_output, self._device_output = self._buffers(engine.output)
        self._input[...] = 0
        self._enqueue()  # TensorRT does on the first run what must not be recorded
        cuda.wait(self._stream)
        self._record()

    def _buffers(self, name: str) -> tuple[NDArray[np.float32], int, int]:
        """Pinned host memory as an array, its address, and device memory of the same size, which the engine uses."""
        address, array = self._cuda.pinned(self._engine.shape(name))
        self._releases.append(lambda: self._cuda.free_pinned(address))
        device = self._cuda.allocate(array.nbytes)
        self._releases.append(lambda: self._cuda.free(device))
        if not self._context.set_tensor_address(name, device):
            msg = f"TensorRT does not take an address for tensor {name}."
            raise EdgescopeError(msg)
        return array, address, device

    def _enqueue(self) -> None:
        """Give the stream all that a tile takes: copy in, infer, copy out."""
        cuda, stream = self._cuda, self._stream
        cuda.copy(self._device_input, self._host_input, self._input.nbytes, TO_DEVICE, stream)
        if not self._context.execute_async_v3(stream):
            msg = "TensorRT refused to run the engine; its reason is in its log."
            raise EdgescopeError(msg)
        cuda.copy(self._host_output, self._device_output, self._output.nbytes, TO_HOST, stream)

    def _record(self) -> None:
        """Capture a CUDA graph; where that fails, tiles are run call by call, with the reason logged."""
        try:
            self._cuda.begin_capture(self._stream)
            try:
                self._enqueue()
            finally:
                graph = self._cuda.end_capture(self._stream)
        except EdgescopeError as error:
            self._cuda.forget_error()
            self.eager_because = str(error)
            log.warning("no CUDA graph: tiles are run call by call, which is slower (%s)", error)
            return
        self._graph = graph
        self._releases.append(lambda: self._cuda.destroy_graph(graph))

    def _drop_context(self) -> None:
        self._context = None
