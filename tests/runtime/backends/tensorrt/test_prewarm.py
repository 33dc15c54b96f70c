"""`python -m runtime prewarm`, on this machine and on a Jetson that the stand-in plays."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runtime import Segmenter
from runtime.__main__ import main
from runtime.commands.prewarm import Watch
from runtime.execution import Execution
from runtime.system import extras
from runtime.system.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.artifact.artifact import Artifact


def test_it_says_what_was_built_why_one_was_kept_and_where_it_lies(
    jetson, bundle: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    cache = jetson(faults={"int8": "slow"})
    assert main(["prewarm", str(bundle.path), "--json", str(tmp_path / "p.json")]) == 0
    printed = capsys.readouterr()
    assert "has never run on a real Jetson" in printed.out
    assert "built      now: there is none for this bundle yet" in printed.out
    assert "int8       built in" in printed.out
    assert "kept       fp16 is kept: " in printed.out
    assert "first open " in printed.out
    assert "int8: build the engine" in printed.err
    assert "fp16: build the engine" in printed.err
    found = json.loads((tmp_path / "p.json").read_text())
    assert found["prepared"] is True
    assert found["sidecar"]["kept"] == "fp16"
    assert found["engine"].startswith(str(cache))
    assert main(["prewarm", str(bundle.path)]) == 0
    assert "built      before: it is in the cache" in capsys.readouterr().out


def test_an_own_place_and_precision_are_told_with_how_they_are_found(
    jetson, bundle: Artifact, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    jetson()
    assert main(["prewarm", str(bundle.path), "--precision", "fp16", "--cache", str(tmp_path / "own")]) == 0
    printed = capsys.readouterr().out
    assert f"only where EDGESCOPE_CACHE={tmp_path / 'own'} is set" in printed
    assert 'only when it is opened with precision_hint="fp16"' in printed
    monkeypatch.setenv("EDGESCOPE_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr("runtime.backends.tensorrt.builder.build", lambda *_: pytest.fail("built again"))
    Segmenter.of(bundle, Execution(precision_hint="fp16")).close()


def test_again_builds_anew(jetson, bundle: Artifact, capsys):
    jetson()
    call = ["prewarm", str(bundle.path), "--precision", "fp16"]
    assert main(call) == main([*call, "--again"]) == 0
    assert "built      now: it was asked for again" in capsys.readouterr().out


def test_a_build_that_failed_is_exit_code_1_and_is_tried_again(jetson, bundle: Artifact, capsys):
    jetson(faults={"int8": "refuse", "fp16": "refuse"})
    assert main(["prewarm", str(bundle.path)]) == 1
    assert "error: No engine could be built on this device. int8: " in capsys.readouterr().err
    jetson()
    assert main(["prewarm", str(bundle.path)]) == 0
    assert "built      now: it could not be built before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("devices", "reason"), [("-1", "driver version is insufficient"), ("0", "no CUDA-capable device")]
)
def test_without_a_gpu_it_is_exit_code_2_with_what_is_missing(
    devices: str, reason: str, jetson, bundle: Artifact, capsys
):
    jetson(DEVICES=devices)
    assert main(["prewarm", str(bundle.path)]) == 2
    error = capsys.readouterr().err
    assert "cannot be prepared here for tensorrt: CUDA has no device here" in error
    assert reason in error
    assert error.count("\n") == 1


def test_without_tensorrt_it_is_exit_code_2_with_the_line_that_installs_it(
    jetson, bundle: Artifact, capsys, monkeypatch: pytest.MonkeyPatch
):
    jetson()
    monkeypatch.setattr(extras, "available", lambda module: module != "tensorrt")
    assert main(["prewarm", str(bundle.path)]) == 2
    error = capsys.readouterr().err
    assert "sudo apt install python3-libnvinfer" in error
    assert 'pip install "edgescope[tensorrt]"' in error


def test_without_libcudart_it_is_exit_code_2(jetson, bundle: Artifact, capsys, monkeypatch: pytest.MonkeyPatch):
    jetson()
    monkeypatch.setenv("EDGESCOPE_LIBCUDART", "gone.so")
    assert main(["prewarm", str(bundle.path)]) == 2
    assert "EDGESCOPE_LIBCUDART=gone.so cannot be loaded" in capsys.readouterr().err


def test_where_there_is_nothing_to_prepare_it_says_so(artifact_path: Path, tmp_path: Path, capsys):
    assert main(["prewarm", str(artifact_path), "--json", str(tmp_path / "p.json")]) == 0
    assert "onnxruntime has nothing to prepare" in capsys.readouterr().out
    assert json.loads((tmp_path / "p.json").read_text())["prepared"] is False


@pytest.mark.parametrize(
    "more", [["--limit", "0"], ["--precision", "f17"], ["--device", "TOASTER"], ["--backend", "abacus"]]
)
def test_a_wrong_call_is_exit_code_2(more: list[str], jetson, bundle: Artifact, capsys):
    jetson()
    assert main(["prewarm", str(bundle.path), *more]) == 2
    assert more[1].lower() in capsys.readouterr().err.lower()


def test_a_cache_that_others_can_write_is_refused(jetson, bundle: Artifact, tmp_path: Path, capsys):
    jetson()
    place = tmp_path / "own" / "engines"
    place.mkdir(parents=True)
    (place / "something").touch()
    place.chmod(0o777)
    assert main(["prewarm", str(bundle.path), "--cache", str(tmp_path / "own")]) == 2
    assert "can be written by others, and is not trusted" in capsys.readouterr().err


def test_a_terminal_shows_one_line_that_is_written_over(capsys):
    watch = Watch(terminal=True)
    first = Progress("int8: build the engine", 0.25, 30.0, 120.0)
    watch(first)
    watch(replace(first, fraction=None, expected_s=None))
    watch.end()
    shown = capsys.readouterr().err
    assert "int8: build the engine, 25 %, 30 s (about 120 s in all)" in shown
    assert "int8: build the engine, 30 s (in all not known yet)" in shown
    assert "\n" not in shown


def test_elsewhere_a_line_comes_when_something_new_begins_and_now_and_then(capsys):
    watch = Watch(terminal=False)
    for what, seconds in (("int8", 0.0), ("int8", 1.0), ("int8", 16.0), ("fp16", 17.0)):
        watch(Progress(what, None, seconds, None))
    watch.end()
    assert [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()] == ["int8", "int8", "fp16"]
