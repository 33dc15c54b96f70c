"""The shim over libcudart: against the stand-in in C, and against the real library without a driver."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime.backends.tensorrt import cuda as shim
from runtime.backends.tensorrt.cuda import TO_DEVICE, TO_HOST, Cuda, CudaError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cuda(cudart: Path) -> Cuda:
    return Cuda(str(cudart))


def live(cudart: Path) -> int:
    return ctypes.CDLL(str(cudart)).stand_in_live()


def test_versions_names_and_capabilities_are_read(cuda: Cuda, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_SM", "11.0")
    monkeypatch.setenv("STAND_IN_NAME", "NVIDIA Thor")
    assert cuda.device_count() == 1
    assert cuda.versions() == ("12.6", "12.6")
    assert cuda.name(0) == "NVIDIA Thor"
    assert cuda.capability(0) == "11.0"
    assert cuda.is_integrated(0)
    assert cuda.memory() == (6000 << 20, 8000 << 20)


def test_a_copy_there_and_back_keeps_every_value(cuda: Cuda, cudart: Path):
    before = live(cudart)
    address, array = cuda.pinned((1, 1, 3, 5))
    device, stream = cuda.allocate(array.nbytes), cuda.stream()
    array[...] = np.arange(15, dtype=np.float32).reshape(array.shape)
    cuda.copy(device, address, array.nbytes, TO_DEVICE, stream)
    array[...] = 0
    cuda.copy(address, device, array.nbytes, TO_HOST, stream)
    cuda.wait(stream)
    np.testing.assert_array_equal(array.ravel(), np.arange(15))
    del array
    cuda.free_pinned(address)
    cuda.free(device)
    cuda.destroy_stream(stream)
    assert live(cudart) == before


def test_a_recorded_copy_is_done_when_it_is_launched_and_not_before(cuda: Cuda, cudart: Path):
    before = live(cudart)
    address, array = cuda.pinned((4,))
    device, stream = cuda.allocate(16), cuda.stream()
    cuda.begin_capture(stream)
    cuda.copy(device, address, 16, TO_DEVICE, stream)
    cuda.copy(address, device, 16, TO_HOST, stream)
    graph = cuda.end_capture(stream)
    array[...] = 7
    cuda.launch(graph, stream)
    cuda.wait(stream)
    np.testing.assert_array_equal(array, 7)
    cuda.destroy_graph(graph)
    cuda.free_pinned(address)
    cuda.free(device)
    cuda.destroy_stream(stream)
    assert live(cudart) == before


def test_a_failure_is_told_in_cudas_words_with_its_code(cuda: Cuda, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_DEVICES", "-1")
    with pytest.raises(CudaError, match=r"cudaGetDeviceCount: CUDA driver version is insufficient.*error 35") as told:
        cuda.device_count()
    assert told.value.code == 35
    assert told.value.exit_code == 1


def test_a_library_that_lacks_a_function_is_told_when_it_is_called(cudart: Path):
    cuda = Cuda(str(cudart))
    cuda._library = object()  # with none of the functions
    with pytest.raises(CudaError, match=r"has no cudaSetDevice; TensorRT needs CUDA 11.4"):
        cuda.use(0)


def test_a_file_that_is_no_library_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "libcudart.so").write_text("no library")
    monkeypatch.setenv(shim.LIBRARY, str(tmp_path / "libcudart.so"))
    assert shim.load() is None


def test_the_real_library_says_that_there_is_no_driver(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(shim.LIBRARY, raising=False)
    found = shim.load()
    if found is None:
        pytest.skip("no real libcudart here")
    try:
        count = found.device_count()
    except CudaError as error:
        assert error.code in (35, 100), "a driver that is too old or missing, or no device"
    else:
        assert count >= 0
    assert found.versions()[1][0].isdigit()
