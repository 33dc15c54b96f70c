"""Threads: as many as asked for, none disturbed by another, and Python goes on while the model runs.

The model here is heavy enough for a backend to share out among threads: two 3x3 convolutions with 64 channels.
"""

from __future__ import annotations

import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import Segmenter
from runtime.artifact.artifact import write_artifact
from runtime.artifact.manifest import TensorSpec, Tolerance
from runtime.artifact.probes import ProbeSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.artifact.manifest import Manifest

SIDE, WIDTH = 256, 64
TASKS = Path("/proc/self/task")


# the converter to TFLite needs ten seconds to import
BACKENDS = ["openvino", "onnxruntime", pytest.param("tflite", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=BACKENDS)
def heavy(
    request: pytest.FixtureRequest,
    manifest_for: Callable[[str], Manifest],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An artefact whose tile takes tens of milliseconds."""
    folder = tmp_path_factory.mktemp("heavy")
    names = WRITE[request.param](folder)
    tile = (SIDE, SIDE)
    layout, given, made = (
        ("NHWC", (1, *tile, 1), (1, *tile, 2)) if request.param == "tflite" else ("NCHW", (1, 1, *tile), (1, 2, *tile))
    )
    manifest = replace(
        manifest_for(request.param),
        tile=tile,
        tolerance=Tolerance(1, 1, 0),  # its probes are made up
        inputs=(TensorSpec("input", given, "float32", layout, ("nucleus",)),),
        outputs=(TensorSpec("output", made, "float32", layout, ("foreground", "core")),),
    )
    files = {name: (folder / name).read_bytes() for name in names}
    files["probes.npz"] = ProbeSet(np.zeros((3, 1, *tile), np.float32), np.zeros((3, 2, *tile), np.float32)).to_bytes()
    return write_artifact(folder / "artifact", manifest, files).path


def weights() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = ((WIDTH, 1, 3, 3), (WIDTH, WIDTH, 3, 3), (2, WIDTH, 3, 3))
    return [rng.normal(0, 0.1, shape).astype(np.float32) for shape in shapes]


def write_onnx(folder: Path) -> list[str]:
    helper = pytest.importorskip("onnx.helper")
    numpy_helper = pytest.importorskip("onnx.numpy_helper")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "a"], ["x"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["x", "b"], ["y"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["y", "c"], ["z"], pads=[1, 1, 1, 1]),
            helper.make_node("Sigmoid", ["z"], ["output"]),
        ],
        "heavy",
        [helper.make_tensor_value_info("input", 1, [1, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", 1, [1, 2, SIDE, SIDE])],
        [numpy_helper.from_array(kernel, name) for kernel, name in zip(weights(), "abc", strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return ["model.onnx"]


def write_openvino(folder: Path) -> list[str]:
    openvino = pytest.importorskip("openvino")
    write_onnx(folder)
    model = openvino.convert_model(folder / "model.onnx")
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return ["model.xml", "model.bin"]


def write_tflite(folder: Path) -> list[str]:
    torch = pytest.importorskip("torch")
    litert_torch = pytest.importorskip("litert_torch")
    layers: list[Any] = []
    for kernel in weights():
        layers.append(torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, bias=False))
        layers[-1].weight.data = torch.from_numpy(kernel)
    model = torch.nn.Sequential(*layers, torch.nn.Sigmoid()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own
        channels_last = litert_torch.to_channel_last_io(model, args=[0], outputs=[0])
        litert_torch.convert(channels_last, (torch.zeros(1, SIDE, SIDE, 1),)).export(str(folder / "model.tflite"))
    return ["model.tflite"]


WRITE = {"openvino": write_openvino, "onnxruntime": write_onnx, "tflite": write_tflite}


def frame(number: int = 0) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 4000, (SIDE, SIDE)).astype(np.uint16)


def busy_seconds() -> dict[str, float]:
    """Processor time of every thread of this process, by its id."""
    ticks = {}
    for task in TASKS.iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        ticks[task.name] = (int(fields[11]) + int(fields[12])) / 100
    return ticks


@pytest.mark.skipif(not TASKS.is_dir(), reason="looks into /proc")
def test_one_thread_means_one_thread(heavy: Path):
    with Segmenter.open(heavy, threads=1) as segment:
        segment(frame())
        before = busy_seconds()
        while max(spent(before).values()) < 0.5:
            segment(frame())
        working = [seconds for seconds in spent(before).values() if seconds > 0.1]
    assert len(working) == 1


def spent(before: dict[str, float]) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in busy_seconds().items()}


def test_two_segmenters_in_two_threads_do_not_disturb_each_other(heavy: Path):
    with Segmenter.open(heavy, threads=1) as one, Segmenter.open(heavy, threads=1) as other:
        expected = [one(frame(i)).probability for i in range(4)]

        def work(segment: Segmenter) -> list[np.ndarray]:
            return [segment(frame(i)).probability for i in range(4)]

        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(work, [one, other]))
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_python_goes_on_while_the_model_runs(heavy: Path):
    """A thread that counts in Python gets on in the midst of inference, which it cannot when the GIL is held."""
    stop = threading.Event()
    ticks: list[float] = []

    def spin() -> None:
        while not stop.is_set():
            ticks.append(time.perf_counter())

    with Segmenter.open(heavy, threads=1) as segment:
        tile = np.zeros((1, 1, SIDE, SIDE), np.float32)
        segment.run_tile(tile)
        spinner = threading.Thread(target=spin)
        spinner.start()
        runs = []
        for _ in range(20):
            start = time.perf_counter()
            segment.run_tile(tile)
            runs.append((start, time.perf_counter()))
        stop.set()
        spinner.join()
    seen = np.array(ticks)
    inside = [np.sum((seen > a + (b - a) / 4) & (seen < b - (b - a) / 4)) for a, b in runs]
    assert sum(count > 0 for count in inside) >= 5  # a busy machine may hold the spinner up in some of them
