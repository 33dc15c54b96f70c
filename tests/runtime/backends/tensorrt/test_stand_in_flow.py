"""The whole way of a bundle on a Jetson, as the stand-in for driver and TensorRT plays it: nothing here is a GPU."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime import InputError, Segmenter, backend
from runtime.artifact.manifest import Board
from runtime.artifact.probes import replay
from runtime.backends.tensorrt import builder, prepare, probe
from runtime.backends.tensorrt.cache import Sidecar
from runtime.backends.tensorrt.prepare import EnginePlace, Wish
from runtime.errors import BackendFailed
from runtime.execution import Execution

if TYPE_CHECKING:
    from runtime.artifact.artifact import Artifact

VERSIONS = ("8.5.2", "8.6.1", "10.3.0", "10.16.1", "11.4.1")
DEATHS = {
    "segfault": "killed by SIGSEGV",
    "kill": "killed by SIGKILL; Linux does that when memory runs out, and 5859 MB are available now",
    "exit": "the builder ended with exit code 3",
    "out of memory": "OutOfMemory",
    "refuse": "In node 7",
    "wrong": "on the probes, mask Dice is",
}


def sidecar_of(cache: Path) -> Sidecar:
    (path,) = cache.glob("*.json")
    return Sidecar.from_json(path.read_text())


def engine_of(cache: Path) -> Path:
    (path,) = cache.glob("*.engine")
    return path


def open_and_close(bundle: Artifact, **options) -> dict[str, str]:
    with Segmenter.of(bundle, Execution(**options)) as segment:
        return dict(segment.description)


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "an engine is built" in record.getMessage()]


@pytest.fixture
def no_build(monkeypatch: pytest.MonkeyPatch):
    """From its call on, building is an error."""

    def build(*_):
        raise AssertionError("built again")

    return lambda: monkeypatch.setattr(builder, "build", build)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bundle_is_built_and_run_by_every_version(version: str, jetson, bundle: Artifact):
    cache = jetson(version)
    with Segmenter.of(bundle) as segment:
        assert segment.backend == "tensorrt"
        assert segment.description["version"] == version
        assert replay(segment.run_tile, bundle.probes(), 0.5).misses(bundle.manifest.tolerance) == ()
        assert segment.description["cuda_graph"] == "replayed"
    assert len(list(cache.glob("*.engine"))) == 1
    roles = {"int8": "onnx" if version.startswith("8") else "onnx_fp16_qdq", "fp16": "onnx_fp16"}
    assert {one.precision: one.role for one in sidecar_of(cache).candidates} == roles


def test_the_second_open_builds_nothing(jetson, bundle: Artifact, no_build):
    cache = jetson()
    first = open_and_close(bundle)
    no_build()
    assert open_and_close(bundle) == first
    assert [path.suffix for path in sorted(cache.iterdir())] == [".engine", ".json"], "nothing else is left"


def test_only_its_user_can_read_what_is_kept(jetson, bundle: Artifact):
    cache = jetson()
    open_and_close(bundle, precision_hint="fp16")
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.iterdir()} == {0o600}


def truncate(engine: Path, sidecar: Path) -> None:
    engine.write_bytes(engine.read_bytes()[:-9])


def change(engine: Path, sidecar: Path) -> None:
    engine.write_bytes(engine.read_bytes()[:-1] + b"x")


def lose(engine: Path, sidecar: Path) -> None:
    engine.unlink()


def open_to_others(engine: Path, sidecar: Path) -> None:
    engine.chmod(0o666)


def link(engine: Path, sidecar: Path) -> None:
    engine.rename(engine.with_name("elsewhere"))
    engine.symlink_to("elsewhere")


def from_elsewhere(engine: Path, sidecar: Path) -> None:
    found = json.loads(sidecar.read_text())
    found["key"] |= {"machine": "another", "sm": "7.2"}
    sidecar.write_text(json.dumps(found))


def damage(engine: Path, sidecar: Path) -> None:
    sidecar.write_text("{")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (truncate, "truncated or changed"),
        (change, "its sha256 is another one"),
        (lose, "its engine is gone"),
        (open_to_others, "can be written by others"),
        (link, "cannot be trusted"),
        (
            from_elsewhere,
            "built for something else: the GPU's compute capability was 7.2 and is 8.7, the machine changed",
        ),
        (damage, "is no JSON"),
    ],
)
def test_an_engine_that_cannot_be_trusted_is_built_again_once(
    harm, reason: str, jetson, bundle: Artifact, caplog: pytest.LogCaptureFixture, no_build
):
    cache = jetson()
    open_and_close(bundle, precision_hint="fp16")
    engine = engine_of(cache)
    harm(engine, engine.with_suffix(".json"))
    caplog.clear()
    open_and_close(bundle, precision_hint="fp16")
    (told,) = reasons(caplog)
    assert reason in told
    assert not engine.is_symlink()
    no_build()
    open_and_close(bundle, precision_hint="fp16")


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ({"version": "10.16.1"}, "TensorRT was 10.3.0 and is 10.16.1"),
        ({"DRIVER": "13020"}, "the driver's CUDA was 12.6 and is 13.2"),
        ({"SM": "11.0", "NAME": "Thor"}, "the GPU's compute capability was 8.7 and is 11.0, the GPU was"),
    ],
)
def test_another_system_gets_an_engine_of_its_own_with_the_reason(
    then, reason: str, jetson, bundle: Artifact, caplog: pytest.LogCaptureFixture
):
    cache = jetson()
    open_and_close(bundle, precision_hint="fp16")
    jetson(**then)
    caplog.clear()
    open_and_close(bundle, precision_hint="fp16")
    (told,) = reasons(caplog)
    assert reason in told
    assert len(list(cache.glob("*.engine"))) == (2 if "SM" in then else 1), "what an update made useless is removed"


def test_an_engine_that_tensorrt_does_not_take_is_built_again_once(
    jetson, bundle: Artifact, caplog: pytest.LogCaptureFixture
):
    cache = jetson()
    open_and_close(bundle, precision_hint="fp16")
    engine, before = engine_of(cache), sidecar_of(cache)
    engine.write_bytes(b"not an engine" + bytes(before.bytes - 13))
    told = replace(before, sha256=hashlib.sha256(engine.read_bytes()).hexdigest())
    engine.with_suffix(".json").write_text(told.to_json())
    caplog.clear()
    assert open_and_close(bundle, precision_hint="fp16")["library"] == "tensorrt"
    (why,) = reasons(caplog)
    assert "TensorRT does not load the engine in the cache (Serialization error: this is TensorRT 10.3.0)" in why


@pytest.mark.parametrize(("fault", "reason"), DEATHS.items())
def test_whatever_becomes_of_one_build_the_other_precision_is_kept(fault: str, reason: str, jetson, bundle: Artifact):
    cache = jetson(faults={"int8": fault})
    assert open_and_close(bundle)["engine"].startswith("fp16, built here")
    found = sidecar_of(cache)
    assert found.kept == "fp16"
    assert reason in found.why
    attempts = {candidate.precision: len(candidate.failures) for candidate in found.candidates}
    assert attempts == {"int8": 1 if fault == "refuse" else attempts["int8"] or 1, "fp16": 0}


def test_a_second_attempt_takes_less_memory(jetson, bundle: Artifact):
    cache = jetson(faults={"int8": "large workspace", "fp16": "slow"})
    open_and_close(bundle)
    found = sidecar_of(cache)
    assert found.kept == "int8"
    assert found.candidates[0].workspace_mb == 256


def test_the_faster_one_is_kept_and_the_times_are_told(jetson, bundle: Artifact):
    cache = jetson(faults={"int8": "slow"})
    open_and_close(bundle)
    found = sidecar_of(cache)
    assert found.kept == "fp16"
    assert "fp16 is kept" in found.why
    assert "ms of int8" in found.why
    assert found.candidates[0].median_ms > 3 > found.candidates[1].median_ms


def test_a_build_that_hangs_is_ended(jetson, bundle: Artifact):
    jetson(faults={"int8": "hang"})
    wish = Wish(bundle, "int8", lambda progress: None, limit_s=1.0)
    place = EnginePlace.of(None, Path(os.environ["EDGESCOPE_CACHE"], "engines"))
    with pytest.raises(BackendFailed, match="was not done after 0 minutes, and was ended"):
        prepare.open_engine(place, wish)


def test_where_nothing_can_be_built_onnxruntime_steps_in_and_it_is_not_tried_again(
    jetson, bundle: Artifact, caplog: pytest.LogCaptureFixture, no_build
):
    jetson(faults={"int8": "refuse", "fp16": "refuse"})
    assert open_and_close(bundle)["library"] == "onnxruntime"
    assert "not of the device" in caplog.text
    assert "No engine could be built on this device. int8: with 1024 MB of workspace" in caplog.text
    no_build()
    assert open_and_close(bundle)["library"] == "onnxruntime"
    assert "try again with: python -m runtime prewarm" in caplog.text


def test_who_wants_tensorrt_gets_nothing_else(jetson, bundle: Artifact):
    jetson(faults={"int8": "refuse", "fp16": "refuse"})
    with pytest.raises(BackendFailed, match="In node 7"):
        backend.open_session(bundle, Execution("tensorrt"))


def test_too_little_memory_is_said_before_anything_is_started(
    jetson, bundle: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    jetson()
    (tmp_path / "meminfo").write_text("MemAvailable:    900000 kB\n")
    monkeypatch.setattr(builder, "_run", lambda *_: pytest.fail("started"))
    with pytest.raises(BackendFailed, match=r"878 MB of memory are available.*close other programs"):
        backend.open_session(bundle, Execution("tensorrt"))


def test_a_graph_that_cannot_be_captured_is_no_obstacle(jetson, bundle: Artifact, caplog: pytest.LogCaptureFixture):
    jetson(CAPTURE="no")
    with Segmenter.of(bundle, Execution(precision_hint="fp16")) as segment:
        assert segment.description["cuda_graph"].startswith("none: cudaStreamEndCapture")
        assert replay(segment.run_tile, bundle.probes(), 0.5).misses(bundle.manifest.tolerance) == ()
    assert "call by call" in caplog.text


def test_results_are_fresh_arrays_and_nothing_is_left_on_the_device(jetson, cudart: Path, bundle: Artifact):
    import ctypes

    stand_in = ctypes.CDLL(str(cudart))
    jetson()
    before = stand_in.stand_in_live()
    with Segmenter.of(bundle, Execution(precision_hint="fp16")) as segment:
        launches = stand_in.stand_in_launches()
        first = segment.run_tile(bundle.probes().inputs[:1])
        kept = first.copy()
        segment.run_tile(bundle.probes().inputs[1:2])
        assert stand_in.stand_in_launches() == launches + 2
        segment.close()
        segment.close()
    np.testing.assert_array_equal(first, kept)
    assert stand_in.stand_in_live() == before


def test_another_board_than_the_one_compiled_for_is_a_warning(
    jetson, bundle: Artifact, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    jetson()
    (tmp_path / "model").write_text("NVIDIA Jetson AGX Orin Developer Kit\0")
    monkeypatch.setattr(probe.board, "__defaults__", (tmp_path / "model",))
    board = Board("orin-nano", ("Orin", "Nano"), "8.7", 8, 2000, 600, "JetPack", "int8")
    compiled = replace(bundle, manifest=replace(bundle.manifest, board=board))
    open_and_close(compiled, precision_hint="fp16")
    assert "was compiled for orin-nano, and this is NVIDIA Jetson AGX Orin Developer Kit" in caplog.text
    caplog.clear()
    (tmp_path / "model").write_text("NVIDIA Jetson Orin Nano Developer Kit\0")
    open_and_close(compiled, precision_hint="fp16")
    assert "compiled for" not in caplog.text


@pytest.mark.parametrize(
    ("options", "word"),
    [({"device": "CPU"}, "CUDA:0"), ({"device": "CUDA:1"}, "CUDA:0"), ({"precision_hint": "f17"}, "f17")],
)
def test_a_device_or_hint_that_is_not_there_is_refused(options, word: str, jetson, bundle: Artifact):
    jetson()
    with pytest.raises(InputError, match=word):
        Segmenter.of(bundle, Execution(**options))


def test_a_hint_that_the_bundle_has_no_network_for_is_refused(jetson, bundle: Artifact):
    jetson()
    with pytest.raises(InputError, match="it has int8, fp16, auto"):
        Segmenter.of(bundle, Execution(precision_hint="fp32"))


def prewarm(bundle: Artifact) -> subprocess.Popen[str]:
    start = "import sys; sys.path[:0] = sys.argv[1:3]; from runtime.__main__ import main; sys.exit(main(sys.argv[3:]))"
    stand_in, root = Path(__file__).parents[2] / "tensorrt_stand_in", Path(__file__).parents[4]
    command = [sys.executable, "-c", start, str(stand_in), str(root), "prewarm", str(bundle.path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_build_one_engine(jetson, bundle: Artifact):
    cache = jetson()
    runs = [prewarm(bundle) for _ in range(2)]
    told = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    built = sorted(line for out, _ in told for line in out.splitlines() if line.startswith("built"))
    assert built == ["built      before: it is in the cache", "built      now: there is none for this bundle yet"]
    assert any("wait for another process that builds this engine" in errors for _, errors in told)
    assert len(list(cache.glob("*.engine"))) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_builder_ends_with_who_started_it(jetson, bundle: Artifact):
    jetson(faults={"int8": "hang"})
    parent = prewarm(bundle)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    child = _wait_for(lambda: children.read_text().split())
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    _wait_for(lambda: not Path(f"/proc/{child[0]}").exists() or _is_dead(child[0]))


def _is_dead(pid: str) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()  # nobody reaps it in a container without an init


def _wait_for(condition):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")
