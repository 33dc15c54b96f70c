"""What the tests of all packages share: real images where there are any, and a tiny student as an artefact."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from runtime.artifact.artifact import write_artifact
from runtime.artifact.manifest import (
    SCHEMA_VERSION,
    Lineage,
    Manifest,
    Normalization,
    Objects,
    Operators,
    Probes,
    TensorSpec,
    Tolerance,
)
from runtime.artifact.probes import ProbeSet
from runtime.kernel import LIBRARY
from runtime.kernel.build import build, is_stale
from runtime.system import telemetry

# Tests that import OpenVINO or onnxruntime themselves do not report to their vendors either.
os.environ.update(telemetry.VARIABLES)
sys.modules.update(dict.fromkeys(telemetry.PACKAGES))  # type: ignore[arg-type]

# Many containers forbid bytecode. Then every process that a test starts compiles thousands of modules anew, for about
# 20 seconds; so they are kept, but not beside the sources.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(__file__).parents[1] / "build" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Busy machines are slow, which is no finding; the same examples every time, so that a failure can be repeated.
settings.register_profile("edgescope", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgescope")

TILE = (64, 64)
BUNDLED = "tests/compile/test_bundled.py"  # exports students of its own, for minutes
WEIGHT, BIAS = (20.0, 20.0), (-8.0, -12.0)  # foreground is brighter than 0.4, core brighter than 0.6

WriteTiny = Callable[..., Path]


def pytest_configure(config: pytest.Config) -> None:
    """Build the C library where it is missing, or older than its sources; once, before other processes start."""
    if not hasattr(config, "workerinput") and is_stale():
        build(LIBRARY)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Workers take a file of tests each; those of compile stay together, as most of them read the same exports."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class FilesAndExports(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "tests/compile" if file.startswith("tests/compile/") and file != BUNDLED else file

    config.option.loadscopereorder = False  # the order is that of the next function
    return FilesAndExports(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """For several workers: files with many slow tests first, so that none of them is the last one to end."""
    if hasattr(config, "workerinput"):
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests compile is not kept in the cache of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images that are not committed: EDGESCOPE_SHARED or ../shared, then data/."""
    root = Path(__file__).parents[1]
    data = Path(os.environ.get("EDGESCOPE_SHARED") or root.parent / "shared") / "data"
    if not data.is_dir():
        pytest.skip(f"no real images at {data}; set EDGESCOPE_SHARED to the folder that holds data/")
    return data


@pytest.fixture
def write_tiny(tmp_path: Path) -> WriteTiny:
    """Write the tiny student: write_tiny(target="intel" | "jetson", name=..., **manifest fields) -> its folder."""

    def write(target: str = "intel", name: str | None = None, **changes: Any) -> Path:
        payload, files = _jetson() if target == "jetson" else _intel()
        inputs = np.random.default_rng(0).random((2, 1, *TILE), np.float32)
        logits = [weight * inputs + bias for weight, bias in zip(WEIGHT, BIAS, strict=True)]
        probes = ProbeSet(inputs, 1 / (1 + np.exp(-np.concatenate(logits, axis=1))))
        files["probes.npz"] = probes.to_bytes()
        manifest = replace(_manifest(target, payload), **changes)
        path = tmp_path / "artifacts" / (name or f"tiny-{target}-fp32")
        return write_artifact(path, manifest, files).path

    return write


def _manifest(target: str, payload: dict[str, str]) -> Manifest:
    return Manifest(
        schema_version=SCHEMA_VERSION,
        student="tiny",
        target=target,
        backend={"intel": "openvino", "jetson": "tensorrt"}[target],
        precision="fp32",
        inputs=(TensorSpec("input", (1, 1, *TILE), "float32", "NCHW", ("nucleus",)),),
        outputs=(TensorSpec("output", (1, 2, *TILE), "float32", "NCHW", ("foreground", "core")),),
        normalization=Normalization(),
        tile=TILE,
        overlap=8,
        threshold=0.5,
        objects=Objects(),
        scheme=None,
        probes=Probes("probes.npz", 2, "the same formula in numpy"),
        tolerance=Tolerance(1e-3, 1e-4, 0.999),
        payload=payload,
        files={},
        accuracy=None,
        agreement={},
        operators=Operators(1, 0, "a test"),
        hints={},
        notes=(),
        pixel_size_um=None,
        lineage=Lineage(None, "0" * 64, (), (), {}, "pytest"),
    )


def _jetson() -> tuple[dict[str, str], dict[str, bytes]]:
    return {"onnx": "model.onnx"}, {"model.onnx": _onnx()}


def _intel() -> tuple[dict[str, str], dict[str, bytes]]:
    names = {"openvino_xml": "model.xml", "openvino_bin": "model.bin"}
    return names, dict(_converted())


@cache
def _converted() -> dict[str, bytes]:
    """The ONNX model as OpenVINO's two files."""
    openvino = pytest.importorskip("openvino")
    with TemporaryDirectory() as folder:
        source = Path(folder, "tiny.onnx")
        source.write_bytes(_onnx())
        openvino.save_model(openvino.convert_model(source), Path(folder, "model.xml"), compress_to_fp16=False)
        return {name: Path(folder, name).read_bytes() for name in ("model.xml", "model.bin")}


def _onnx() -> bytes:
    helper = pytest.importorskip("onnx.helper")
    numpy_helper = pytest.importorskip("onnx.numpy_helper")
    weight = np.array(WEIGHT, np.float32).reshape(2, 1, 1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "weight", "bias"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["output"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("input", 1, [1, 1, *TILE])],
        [helper.make_tensor_value_info("output", 1, [1, 2, *TILE])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.array(BIAS, np.float32), "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()
