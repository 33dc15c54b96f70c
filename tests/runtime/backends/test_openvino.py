"""OpenVINO's own choices: devices, one tile or several at once, and compiled models that are kept."""

from __future__ import annotations

import gc
import json
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime import InputError, Segmenter
from runtime.__main__ import main
from runtime.artifact.artifact import open_artifact
from runtime.backends import openvino as backend
from runtime.backends.openvino import InferRequest, load_openvino, settings
from runtime.frames.tiling import segment_tiles
from runtime.system.cache_folder import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Made

pytest.importorskip("openvino")


@pytest.fixture
def artifact(make: Callable[[str], Made], tmp_path: Path) -> Path:
    return make("openvino").write(tmp_path / "artifact")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's compiled models are kept; nothing is there yet."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, (150, 210)).astype(np.uint16)


# devices


@pytest.mark.parametrize("device", [None, "CPU", "cpu", "AUTO", "AUTO:CPU"])
def test_a_device_that_is_there_runs_it(artifact: Path, device: str | None):
    with Segmenter.open(artifact, device, 1) as segment:
        assert segment.description["device"] == (device or "CPU").upper()
        assert segment.description["precision_hint"] == "f32"
        segment(frame())


@pytest.mark.parametrize("device", ["NPU", "GPU.7", "AUTO:NPU,CPU", "AUTO:", "HETERO:CPU", " "])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(artifact: Path, device: str):
    with pytest.raises(InputError, match=r"OpenVINO has no device .* here; it has CPU"):
        Segmenter.open(artifact, device)


def test_the_devices_have_names():
    devices = backend.BACKEND.devices()
    assert devices["CPU"]


# several tiles at once


def test_latency_is_one_request_and_the_default(artifact: Path):
    with Segmenter.open(artifact) as segment:
        assert segment.requests == 1
        assert segment.description["performance_hint"] == "LATENCY"


def test_throughput_gives_the_same_maps(artifact: Path):
    with Segmenter.open(artifact) as one, Segmenter.open(artifact, performance="throughput") as many:
        assert many.description["performance_hint"] == "THROUGHPUT"
        assert many.requests >= 1
        np.testing.assert_allclose(many(frame()).probability, one(frame()).probability, atol=1e-6)
        np.testing.assert_array_equal(many(frame()).probability, many(frame()).probability)


def test_throughput_runs_as_many_tiles_at_once_as_openvino_asks_for(artifact: Path, monkeypatch: pytest.MonkeyPatch):
    with Segmenter.open(artifact, performance="throughput") as segment:
        inside, most, lock = 0, 0, threading.Lock()
        session = segment._session
        run = session.run

        def counted(tile):
            nonlocal inside, most
            with lock:
                inside, most = inside + 1, max(most, inside + 1)
            result = run(tile)
            with lock:
                inside -= 1
            return result

        monkeypatch.setattr(session, "run", counted)
        segment(frame())
        assert 1 <= most <= segment.requests


def test_closing_waits_for_what_runs(artifact: Path):
    segment = Segmenter.open(artifact, performance="throughput")
    tile = np.zeros((1, 1, *segment.manifest.tile), np.float32)
    failed: list[BaseException] = []

    def work():
        try:
            while True:
                segment.run_tile(tile)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    segment.close()
    segment.close()
    for thread in threads:
        thread.join(30)
    assert {str(error) for error in failed} == {"The segmenter is closed; open it again with Segmenter.open."}
    assert len(failed) == 4


def test_a_backend_without_it_refuses_throughput(artifact_path: Path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match="onnxruntime backend runs one tile at a time"):
        Segmenter.open(artifact_path, performance="throughput")


def test_another_performance_is_refused(artifact: Path):
    with pytest.raises(InputError, match="it must be one of latency, throughput"):
        Segmenter.open(artifact, performance="fast")  # type: ignore[arg-type]


@pytest.mark.parametrize("at_once", [1, 2, 7, 100])
def test_tiles_that_end_in_any_order_are_added_in_theirs(artifact: Path, at_once: int):
    """Bit for bit: floating-point sums depend on their order."""
    manifest, rng = open_artifact(artifact).manifest, np.random.default_rng(1)
    delays = rng.random(200) / 500

    def infer(pixels):
        threading.Event().wait(delays[int(pixels.sum()) % len(delays)])
        return np.concatenate([np.sqrt(pixels), pixels], axis=1)

    def run(at_once):
        how, tile = manifest.normalization, manifest.tile
        return segment_tiles(frame(), how, tile, manifest.overlap, 2, infer, at_once=at_once)

    np.testing.assert_array_equal(run(at_once), run(1))


def test_an_error_in_one_of_the_tiles_ends_the_frame(artifact: Path):
    manifest = open_artifact(artifact).manifest

    def infer(pixels):
        raise InputError("the model is tired")

    with pytest.raises(InputError, match="tired"):
        segment_tiles(frame(), manifest.normalization, manifest.tile, manifest.overlap, 2, infer, at_once=3)


# compiled models


def described(artifact: Path, **options) -> str:
    with Segmenter.open(artifact, threads=1, **options) as segment:
        return segment.description["compiled"]


def test_the_second_opening_takes_the_first_one_s_model(artifact: Path, cache: Path):
    with Segmenter.open(artifact) as first, Segmenter.open(artifact) as second:
        assert (first.description["compiled"], second.description["compiled"]) == ("now", "by an earlier run")
        assert second.description["precision_hint"] == "f32"
        np.testing.assert_array_equal(first(frame()).probability, second(frame()).probability)
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    assert cache.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("options", [{"precision_hint": "bf16"}, {"performance": "throughput"}])
def test_another_configuration_is_another_model(artifact: Path, cache: Path, options):
    assert described(artifact) == "now"
    assert described(artifact, **options) == "now"
    assert len(list(cache.iterdir())) == 2


def test_another_version_of_openvino_compiles_again(artifact: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    assert described(artifact) == "now"
    monkeypatch.setattr(backend.extras, "version", lambda name: "2031.1")
    assert described(artifact) == "now"


@pytest.mark.parametrize("damage", [b"", b"x" * 20, b"x" * 100_000])
def test_a_damaged_model_is_compiled_again_and_mended(artifact: Path, cache: Path, damage: bytes):
    assert described(artifact) == "now"
    (kept,) = cache.iterdir()
    kept.write_bytes(damage)
    assert described(artifact) == "now"
    assert described(artifact) == "by an earlier run"


def test_a_model_that_openvino_refuses_is_compiled_again(artifact: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backend.CACHE.__class__, "find", lambda self, *depends_on: b"of another CPU")
    assert described(artifact) == "now"


def test_prewarm_compiles_the_model_for_the_next_process(artifact: Path, cache: Path, tmp_path: Path):
    assert main(["prewarm", str(artifact), "--json", str(tmp_path / "p.json")]) == 0
    assert json.loads((tmp_path / "p.json").read_text())["compiled"] == "now"
    assert len(list(cache.iterdir())) == 1
    with Segmenter.open(artifact) as segment:
        assert segment.description["compiled"] == "by an earlier run"


def test_prewarm_refuses_what_only_an_engine_has(artifact: Path, cache: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["prewarm", str(artifact), "--again"]) == 2
    assert "leave them out" in capsys.readouterr().err


def test_off_keeps_nothing(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "off")
    monkeypatch.chdir(tmp_path)
    assert described(artifact) == described(artifact) == "now"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact"]


def test_a_cache_that_cannot_be_made_stops_nothing(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "deeper"))
    assert described(artifact) == "now"


def test_a_cache_that_others_can_write_is_not_trusted(artifact: Path, cache: Path):
    assert described(artifact) == "now"
    cache.chmod(0o777)
    assert described(artifact) == "now"
    assert described(artifact) == "now"


def test_auto_keeps_nothing(artifact: Path, cache: Path):
    assert described(artifact, device="AUTO") == "now"
    assert not cache.exists()


def test_the_oldest_models_go(cache: Path):
    for number in range(40):
        backend.CACHE.keep(b"model", str(number))
    assert len(list(cache.iterdir())) == 32
    assert backend.CACHE.find("39") == b"model"
    assert backend.CACHE.find("38", "39") is None


def test_results_are_arrays_of_their_own_and_equal_to_those_that_are_copied(artifact: Path):
    with Segmenter.open(artifact) as segment:
        tiles = np.random.default_rng(0).random((2, 1, 1, *segment.manifest.tile), np.float32)
        first = segment.run_tile(tiles[0])
        kept = first.copy()
        second = segment.run_tile(tiles[1])
        assert np.array_equal(first, kept) and not np.array_equal(first, second)
        tiles.flags.writeable = False
        assert np.array_equal(segment.run_tile(tiles[0]), kept)
    files = open_artifact(artifact)
    core = load_openvino().Core()
    model = core.read_model(files.payload("openvino_xml"), files.payload("openvino_bin"))
    compiled = core.compile_model(model, "CPU", settings(files.manifest.hints))
    assert np.array_equal(compiled(tiles[0])[0], kept)
    other = InferRequest(compiled, "GPU")  # a device with a memory of its own gets copies
    other.feed(tiles[0])
    other.infer()
    assert np.array_equal(other.fetch(), kept)


def test_a_result_outlives_its_session(artifact: Path):
    with Segmenter.open(artifact) as segment:
        tile = np.full((1, 1, *segment.manifest.tile), 0.5, np.float32)
        found = segment.run_tile(tile)
        due = found.copy()
    del tile, segment
    gc.collect()
    assert np.array_equal(found, due)
