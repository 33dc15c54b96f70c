"""An artefact over dask arrays and into OME-Zarr: bit for bit what a Segmenter gives, on every scheduler."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime import EdgescopeError, InputError, Scale, Segmenter
from runtime.__main__ import main
from runtime.artifact.manifest import ObjectSize
from runtime.bulk import Wanted, segment_image
from runtime.bulk import source as bulk_source
from runtime.execution import Execution
from runtime.hosts import dask as host
from runtime.hosts.dask import Model, describe, opened, scheduler, segment
from runtime.images.planes import PlaneChoice
from runtime.objects.rule import RuleChange
from runtime.system.lock import only_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Made

da = pytest.importorskip("dask.array")
zarr = pytest.importorskip("zarr")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("skimage")


def frames(count: int = 2, shape: tuple[int, int] = (150, 210)) -> np.ndarray:
    """uint16 (count, H, W): bright discs, some of which touch, on noise; each frame has another brightness."""
    rng = np.random.default_rng(3)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    stack = rng.normal(300, 20, (count, *shape))
    for k in range(count):
        for _ in range(40):
            row, col, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(3, 8)
            stack[k] += (k + 1) * 2000 * (np.hypot(rows - row, cols - col) < radius)
    return stack.clip(0, 60000).astype(np.uint16)


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    host._open.clear()


def nothing(stage: str, done: int, of: int) -> None:
    """Tell nobody."""


def renumbered(labels: np.ndarray) -> np.ndarray:
    """The same objects, numbered in reading order of their first pixels."""
    numbers, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.empty(numbers.size, np.int64)
    order[np.argsort(np.where(numbers == 0, -1, first))] = np.arange(numbers.size)
    return order[inverse].reshape(labels.shape) + (0 if (labels == 0).any() else 1)


def assert_as_a_segmenter_gives(
    out: Path, stack: np.ndarray, artifact: Path, pixel_size_um: float | None = None
) -> None:
    root = zarr.open_group(str(out), mode="r")
    with Segmenter.open(artifact, threads=1) as segmenter:
        for k, frame in enumerate(stack):
            whole = segmenter(frame, pixel_size_um)
            plane = k if root["0"].ndim == 3 else ...
            np.testing.assert_array_equal(root["0"][plane], whole.mask * np.uint8(255))
            if "probability" in root:
                np.testing.assert_array_equal(root["probability/0"][plane], whole.probability)
            np.testing.assert_array_equal(renumbered(root["labels/objects/0"][plane]), renumbered(whole.labels()))


# The array


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("block", [64, 1000])
def test_an_array_is_segmented_bit_for_bit_as_its_planes(artifact_path: Path, dtype: type, block: int):
    stack = (frames() / 20).astype(dtype)
    maps = segment(da.from_array(stack, chunks=(1, 50, 70)), artifact_path, block=block)
    assert maps.shape == (2, 2, 150, 210)
    assert maps.dtype == np.float32
    found = maps.compute(scheduler="threads")
    with Segmenter.open(artifact_path) as segmenter:
        for k, frame in enumerate(stack):
            whole = segmenter(frame)
            np.testing.assert_array_equal(found[0, k], whole.probability)
            np.testing.assert_array_equal(found[1, k], whole.core)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_padding_and_inversion_are_seen_in_the_whole_plane(artifact_path: Path, dtype: type):
    padded, inverted = frames()
    padded[:, :30] = 0
    stack = np.stack([padded, 60000 - inverted]).astype(dtype)
    found = segment(da.from_array(stack, chunks=(1, 50, 70)), artifact_path, block=64).compute(scheduler="threads")
    with Segmenter.open(artifact_path) as segmenter:
        for k, (frame, flag) in enumerate(zip(stack, ("padding", "inverted"), strict=True)):
            whole = segmenter(frame)
            assert flag in whole.flags
            np.testing.assert_array_equal(found[0, k], whole.probability)


def test_a_single_plane_works(artifact_path: Path):
    maps = segment(da.from_array(frames(1)[0]), artifact_path)
    assert maps.shape == (2, 150, 210)


def test_nothing_is_read_before_it_is_computed(artifact_path: Path):
    def explode(_: np.ndarray) -> np.ndarray:
        msg = "read too early"
        raise AssertionError(msg)

    array = da.zeros((60, 60), dtype=np.uint16).map_blocks(explode, dtype=np.uint16)
    maps = segment(array, artifact_path)
    with pytest.raises(AssertionError, match="too early"):
        maps.compute(scheduler="synchronous")


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.zeros(5, np.uint8), "planes"),
        (np.zeros((0, 5), np.uint8), "at least one pixel"),
        (np.zeros((5, 5)), "float64"),
    ],
)
def test_an_array_without_frames_is_refused(artifact_path: Path, array: np.ndarray, word: str):
    with pytest.raises(InputError, match=word):
        segment(da.from_array(array, chunks=5), artifact_path)


def test_a_value_that_is_not_finite_is_an_error_when_it_is_met(artifact_path: Path):
    plane = np.zeros((60, 60), np.float32)
    plane[7, 9] = np.nan
    with pytest.raises(InputError, match="not finite"):
        segment(da.from_array(plane), artifact_path).compute(scheduler="synchronous")


def test_a_worker_opens_an_artefact_once(artifact_path: Path):
    _, model = describe(artifact_path)
    assert opened(model) is opened(model)


def test_a_worker_with_other_files_refuses(artifact_path: Path):
    with pytest.raises(EdgescopeError, match="another artefact on this worker"):
        opened(Model(str(artifact_path), "0" * 64))


@pytest.mark.parametrize("name", ["thread", "localhost", ""])
def test_a_scheduler_that_is_none_is_refused(name: str):
    with pytest.raises(InputError, match="tcp://"), scheduler(name):
        pass


# The file


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An OME-Zarr with two channels and two time points, 0.25 um wide; the second channel holds the discs."""
    path = tmp_path / "in.ome.zarr"
    stack = np.stack([np.zeros_like(frames()), frames()], axis=1)
    zarr.create_array(store=str(path), name="0", data=stack, chunks=(1, 1, 64, 64))
    axes = [{"name": "t", "type": "time", "unit": "second"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [10.0, 1.0, 0.25, 0.25]}]
    multiscales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    zarr.open_group(str(path), mode="a").attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    return path


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_a_valid_ome_zarr_is_written_with_the_axes_of_the_source(
    source: Path, artifact_path: Path, tmp_path: Path, ngff: str
):
    out = tmp_path / "out.ome.zarr"
    wanted = Wanted(artifact_path, labels=True, probability=True, choice=PlaneChoice(1), block=64, margin=64, ngff=ngff)
    found = segment_image(source, out, wanted, nothing)
    assert_as_a_segmenter_gives(out, frames(), artifact_path, 0.25)
    assert (found["planes"], found["blocks"], found["found_done"]) == (2, 24, 0)
    root = zarr.open_group(str(out), mode="r")
    assert root.metadata.zarr_format == (2 if ngff == "0.4" else 3)
    described = root.attrs["multiscales"] if ngff == "0.4" else root.attrs["ome"]["multiscales"]
    assert [(axis["name"], axis.get("unit")) for axis in described[0]["axes"]] == [
        ("t", "second"),
        ("y", "micrometer"),
        ("x", "micrometer"),
    ]
    scales = [level["coordinateTransformations"][0]["scale"] for level in described[0]["datasets"]]
    assert scales == [[10, 0.25, 0.25], [10, 0.5, 0.5], [10, 1, 1]]
    np.testing.assert_array_equal(root["labels/objects/1"][:], root["labels/objects/0"][:, ::2, ::2])
    for image in ("", "/labels/objects", "/probability"):
        validate(f"{out}{image}")
    assert [path.name for path in tmp_path.iterdir() if "out.ome.zarr" in path.name] == ["out.ome.zarr"]


def test_a_slide_is_made_with_another_rule_and_records_it(source: Path, artifact_path: Path, tmp_path: Path):
    out = tmp_path / "out.ome.zarr"
    change = RuleChange(threshold=0.4, min_area=100_000)
    found = segment_image(
        source, out, Wanted(artifact_path, labels=True, choice=PlaneChoice(1), block=64, change=change), nothing
    )
    assert found["objects"] == 0
    usual = segment_image(
        source, tmp_path / "usual.ome.zarr", Wanted(artifact_path, choice=PlaneChoice(1), block=64), nothing
    )
    assert found["foreground"] >= usual["foreground"]


def validate(path: str) -> None:
    """Against the NGFF schemas."""
    pytest.importorskip("yaozarrs").validate_zarr_store(path)


def test_what_was_written_can_be_read_and_segmented_again(source: Path, artifact_path: Path, tmp_path: Path):
    first, second = tmp_path / "a.zarr", tmp_path / "b.zarr"
    segment_image(source, first, Wanted(artifact_path, choice=PlaneChoice(1)), nothing)
    assert segment_image(first, second, Wanted(artifact_path), nothing)["planes"] == 2


def test_a_tiff_stack_keeps_its_pixel_size(artifact_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tifffile.imwrite(
        tmp_path / "in.ome.tif",
        frames(),
        ome=True,
        metadata={"axes": "TYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
    )
    call = ["segment", str(tmp_path / "in.ome.tif"), str(tmp_path / "out.zarr"), "--artifact", str(artifact_path)]
    assert main([*call, "--labels", "--block", "64", "--margin", "64", "--json", str(tmp_path / "s.json")]) == 0
    assert_as_a_segmenter_gives(tmp_path / "out.zarr", frames(), artifact_path, 0.5)
    ome = zarr.open_group(str(tmp_path / "out.zarr"), mode="r").attrs["ome"]
    assert ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 0.5, 0.5]
    assert json.loads((tmp_path / "s.json").read_text())["objects"] > 10
    assert "2 planes of 150x210" in capsys.readouterr().out
    assert main([*call, "--labels", "--block", "64", "--margin", "64"]) == 0
    assert "24 of them done before" in capsys.readouterr().out


@pytest.mark.parametrize("workers", ["threads", "processes"])
def test_flags_of_the_planes_are_told(
    artifact_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: str
):
    stack = frames()
    stack[0, :, :30] = 0
    tifffile.imwrite(tmp_path / "in.tif", stack)
    call = ["segment", str(tmp_path / "in.tif"), str(tmp_path / "out.zarr"), "--artifact", str(artifact_path)]
    call += ["--labels", "--block", "64", "--margin", "64", "--scheduler", workers, "--workers", "1"]
    assert main([*call, "--json", str(tmp_path / "s.json")]) == 0
    assert_as_a_segmenter_gives(tmp_path / "out.zarr", stack, artifact_path)
    assert "padding" in json.loads((tmp_path / "s.json").read_text())["flags"]
    assert "padding" in capsys.readouterr().out


def test_a_run_that_was_killed_goes_on_where_it_was(source: Path, artifact_path: Path, tmp_path: Path):
    out = tmp_path / "out.zarr"
    wanted = Wanted(artifact_path, labels=True, choice=PlaneChoice(1), block=64, margin=64, scheduler="synchronous")

    def stop(stage: str, done: int, of: int) -> None:
        if stage == "segment" and done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_image(source, out, wanted, stop)
    assert not out.exists()
    result = tmp_path / ".out.zarr.segment" / "result"
    chunk = next(path for path in result.rglob("*") if path.is_file() and path.name.isdigit())
    chunk.with_name(f"{chunk.name}.1234.partial").write_bytes(b"half")  # as zarr leaves it when it is killed
    assert 8 <= segment_image(source, out, wanted, nothing)["found_done"] < 24
    assert_as_a_segmenter_gives(out, frames(), artifact_path, 0.25)
    assert not list(out.rglob("*.partial"))


def test_a_run_with_other_options_does_not_take_it_up(source: Path, artifact_path: Path, tmp_path: Path):
    out = tmp_path / "out.zarr"

    def stop(stage: str, done: int, of: int) -> None:
        if stage == "segment" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_image(source, out, Wanted(artifact_path, choice=PlaneChoice(1), scheduler="synchronous"), stop)
    with pytest.raises(InputError, match=r"other images or options; remove it"):
        segment_image(source, out, Wanted(artifact_path, choice=PlaneChoice(0)), nothing)


def test_a_run_that_has_done_no_block_is_in_nobodys_way(source: Path, artifact_path: Path, tmp_path: Path):
    wanted = Wanted(artifact_path, choice=PlaneChoice(1), scheduler="synchronous")
    with pytest.raises(InputError, match="moon"):
        segment_image(source, tmp_path / "out.zarr", replace(wanted, execution=Execution(device="moon")), nothing)
    assert segment_image(source, tmp_path / "out.zarr", wanted, nothing)["found_done"] == 0


def test_two_runs_at_once_do_not_make_the_same_out(source: Path, artifact_path: Path, tmp_path: Path):
    out, wanted = tmp_path / "new" / "out.zarr", Wanted(artifact_path, choice=PlaneChoice(1), scheduler="synchronous")
    refused: list[str] = []

    def meanwhile(stage: str, done: int, of: int) -> None:
        with pytest.raises(EdgescopeError, match="Another process is making") as caught:
            segment_image(source, out, wanted, nothing)
        refused.append(str(caught.value))

    segment_image(source, out, wanted, meanwhile)
    assert refused
    assert [entry.name for entry in out.parent.iterdir()] == ["out.zarr"]


def test_a_run_that_was_killed_when_all_was_done_leaves_no_lock(source: Path, artifact_path: Path, tmp_path: Path):
    out = tmp_path / "out.zarr"
    wanted = Wanted(artifact_path, choice=PlaneChoice(1), scheduler="synchronous")
    made = segment_image(source, out, wanted, nothing)
    (tmp_path / ".out.zarr.lock").touch()  # the last thing that a run removes
    assert segment_image(source, out, wanted, nothing)["objects"] == made["objects"]
    assert not (tmp_path / ".out.zarr.lock").exists()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path):
    code = "import sys, time, pathlib; from runtime.system.lock import only_run\n"
    code += "with only_run(pathlib.Path(sys.argv[1])): print('taken', flush=True); time.sleep(1e6)"
    command = [sys.executable, "-c", code, str(tmp_path / "out.zarr")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        with pytest.raises(EdgescopeError), only_run(tmp_path / "out.zarr"):
            pass
        process.kill()
    with only_run(tmp_path / "out.zarr"):
        pass


def test_another_out_is_not_overwritten(source: Path, artifact_path: Path, tmp_path: Path):
    with pytest.raises(InputError, match="was not made by this call"):
        segment_image(source, tmp_path, Wanted(artifact_path, choice=PlaneChoice(1)), nothing)


def test_progress_is_seen_in_a_log_too(
    source: Path,
    artifact_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr("runtime.commands.segment.LOG_S", 0.0)
    call = ["segment", str(source), str(tmp_path / "out.zarr"), "--artifact", str(artifact_path), "--channel", "1"]
    assert main(call) == 0
    assert "segment: 2 of 2, about 0 s left\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (["{in}", "{out}"], "--artifact"),
        (["{in}", "{out}", "--artifact", "{artifact}"], "2 channel(s)"),
        (["{in}", "{out}", "--artifact", "{artifact}", "--channel", "7"], "no channel 7"),
        (["{in}", "{out}.tif", "--artifact", "{artifact}", "--channel", "1"], "is a folder"),
        (["{out}", "{out}", "--artifact", "{artifact}"], "is IN"),
        (["{artifact}", "{out}", "--artifact", "{artifact}"], "OME-Zarr"),
        (["{in}", "{out}", "--artifact", "{artifact}", "--channel", "1", "--scheduler", "slurm"], "slurm"),
        (["{in}", "{out}", "--artifact", "{artifact}", "--channel", "1", "--workers", "0"], "Workers is 0"),
        (["{in}", "{out}", "--artifact", "{artifact}", "--channel", "1", "--block", "0"], "Block is 0"),
        (["{in}", "{out}", "--artifact", "{artifact}", "--channel", "1", "--margin", "0"], "margin of 0"),
    ],
)
def test_a_wrong_call_is_one_line_and_nothing_is_written(
    source: Path, artifact_path: Path, tmp_path: Path, call: list[str], word: str, capsys: pytest.CaptureFixture[str]
):
    names = {"in": source, "out": tmp_path / "out", "artifact": artifact_path}
    assert main(["segment", *(part.format(**names) for part in call)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert word in line
    assert not (tmp_path / "out").exists()


SMALL = frames(1, (96, 130))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A TIFF of one plane."""
    tifffile.imwrite(tmp_path / "small.tif", SMALL[0])
    return tmp_path / "small.tif"


@pytest.mark.slow
def test_a_program_that_is_killed_outright_loses_no_block(small: Path, artifact_path: Path, tmp_path: Path):
    out, done = tmp_path / "out.zarr", tmp_path / ".out.zarr.segment" / "done"
    command = [sys.executable, "-m", "runtime", "segment", str(small), str(out), "--artifact", str(artifact_path)]
    command += ["--labels", "--block", "24", "--margin", "64", "--scheduler", "synchronous"]
    process = subprocess.Popen(command)
    until(lambda: len(list(done.glob("maps-*"))) > 2)
    process.kill()
    process.wait()
    assert not out.exists()
    ended = subprocess.run([*command, "--json", str(tmp_path / "s.json")], check=True, capture_output=True, text=True)
    assert ended.stderr == ""
    assert json.loads((tmp_path / "s.json").read_text())["found_done"] > 2
    assert_as_a_segmenter_gives(out, SMALL, artifact_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a worker is killed by SIGKILL")
def test_a_cluster_that_loses_a_worker_gives_the_same(small: Path, artifact_path: Path, tmp_path: Path):
    distributed = pytest.importorskip("distributed")
    out, done = tmp_path / "out.zarr", tmp_path / ".out.zarr.segment" / "done"
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]

        def kill_one() -> None:
            until(lambda: len(list(done.glob("maps-*"))) > 2)
            os.kill(pids[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        wanted = Wanted(artifact_path, labels=True, block=24, margin=64, scheduler=cluster.scheduler_address)
        segment_image(small, out, wanted, nothing)
        killer.join()
    assert_as_a_segmenter_gives(out, SMALL, artifact_path)


@pytest.mark.slow
def test_processes_give_the_same(small: Path, artifact_path: Path, tmp_path: Path):
    wanted = Wanted(artifact_path, labels=True, block=64, margin=64, scheduler="processes", workers=2)
    segment_image(small, tmp_path / "out.zarr", wanted, nothing)
    assert_as_a_segmenter_gives(tmp_path / "out.zarr", SMALL, artifact_path)


def test_an_address_where_nobody_answers_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(host, "CONNECT_S", 0.5)
    with pytest.raises(EdgescopeError, match="No dask scheduler answers"), scheduler("tcp://127.0.0.1:9"):
        pass


def until(holds, seconds: float = 60) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("made_for", [1.0, 0.125])
def test_an_image_of_other_pixels_is_resized_as_a_segmenter_does(
    made: Made, source: Path, tmp_path: Path, made_for: float
):
    path = replace(made, manifest=replace(made.manifest, pixel_size_um=made_for)).write(tmp_path / "other")
    result = segment_image(
        source, tmp_path / "out.zarr", Wanted(path, choice=PlaneChoice(1), labels=True, block=64, margin=64), nothing
    )
    assert result["scale"] == {"factor": 0.25 / made_for, "diameter_px": None, "source": "pixel_size"}
    assert_as_a_segmenter_gives(tmp_path / "out.zarr", frames(), path, 0.25)


def test_the_size_of_objects_is_seen_once_for_all_planes(made: Made, tmp_path: Path):
    frame = np.full((96, 128), 100, np.uint16)
    frame.reshape(4, 24, 4, 32)[:, 6:18, :, 10:22] = 4000
    stack = np.stack([np.kron(frame, np.ones((3, 3), np.uint16)), np.kron(frame[::-1], np.ones((3, 3), np.uint16))])
    tifffile.imwrite(tmp_path / "in.tif", stack)
    sized = replace(made.manifest, pixel_size_um=None, object_diameter=ObjectSize(14.0, 10.0, 20.0))
    path = replace(made, manifest=sized).write(tmp_path / "sized")
    result = segment_image(tmp_path / "in.tif", tmp_path / "out.zarr", Wanted(path, labels=True, block=96), nothing)
    scale = Scale(**result["scale"])
    assert (scale.source, scale.diameter_px) == ("seen", pytest.approx(3 * 13.5, rel=0.2))
    assert scale.factor < 0.5
    root = zarr.open_group(str(tmp_path / "out.zarr"), mode="r")
    with Segmenter.open(path) as segmenter:
        for plane, each in enumerate(stack):
            whole = segmenter(each, scale=scale)
            np.testing.assert_array_equal(root["0"][plane] > 0, whole.mask)
            assert len(np.unique(root["labels/objects/0"][plane])) == 1 + len(whole.objects()) == 17


def test_a_given_diameter_is_used(made: Made, source: Path, tmp_path: Path):
    sized = replace(made.manifest, pixel_size_um=None, object_diameter=ObjectSize(10.0, 7.0, 14.0))
    path = replace(made, manifest=sized).write(tmp_path / "sized")
    result = segment_image(source, tmp_path / "out.zarr", Wanted(path, choice=PlaneChoice(1), diameter="20"), nothing)
    assert result["scale"] == {"factor": 0.5, "diameter_px": 20.0, "source": "given"}


def test_an_artefact_that_changed_is_another_run(made: Made, source: Path, tmp_path: Path):
    one = made.write(tmp_path / "one")
    segment_image(source, tmp_path / "out.zarr", Wanted(one, choice=PlaneChoice(1)), nothing)
    two = replace(made, manifest=replace(made.manifest, threshold=0.9)).write(tmp_path / "two")
    with pytest.raises(InputError, match="was not made by this call"):
        segment_image(source, tmp_path / "out.zarr", Wanted(two, choice=PlaneChoice(1)), nothing)


# What is read


def test_an_ome_zarr_that_was_rewritten_in_place_is_another_run(source: Path, artifact_path: Path, tmp_path: Path):
    wanted, out = Wanted(artifact_path, choice=PlaneChoice(1), scheduler="synchronous"), tmp_path / "out.zarr"
    segment_image(source, out, wanted, nothing)
    assert segment_image(source, out, wanted, nothing)["found_done"] > 0
    first = bulk_source.open_source(source, PlaneChoice(1)).generation
    chunk = next(path for path in sorted(source.rglob("*")) if path.is_file() and path.name.isdigit())
    os.utime(chunk, ns=(1, 1))
    assert bulk_source.open_source(source, PlaneChoice(1)).generation != first
    with pytest.raises(InputError, match="was not made by this call"):
        segment_image(source, out, wanted, nothing)


def test_a_large_tiff_is_read_in_parts_with_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tifffile = pytest.importorskip("tifffile")
    array = np.random.default_rng(0).integers(0, 60000, (2, 200, 150)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", array, ome=True, tile=(64, 64), compression="zlib", metadata={"axes": "ZYX"}
    )
    monkeypatch.setattr(bulk_source, "LARGE", 0)
    found = bulk_source.open_source(tmp_path / "a.ome.tif", block=70)
    assert found.array.chunks[-1] == (70, 70, 10)
    np.testing.assert_array_equal(found.array.compute(scheduler="synchronous"), array)


@pytest.mark.parametrize(("z", "shape"), [("max", (4, 60, 50)), (1, (4, 60, 50)), ("all", (4, 3, 60, 50))])
def test_planes_along_z_of_a_file_and_of_a_store_are_taken_alike(tmp_path: Path, z: int | str, shape: tuple[int, ...]):
    tifffile, zarr = pytest.importorskip("tifffile"), pytest.importorskip("zarr")
    array = np.random.default_rng(0).integers(-60000, 60000, (4, 3, 60, 50)).astype(np.int32)
    tifffile.imwrite(tmp_path / "a.ome.tif", array, ome=True, metadata={"axes": "TZYX"})
    zarr.save_array(str(tmp_path / "a.zarr"), array)
    for path in (tmp_path / "a.ome.tif", tmp_path / "a.zarr"):
        found = bulk_source.open_source(path, PlaneChoice(z=z))
        expected = {"max": array.max(axis=1), 1: array[:, 1], "all": array}[z]
        assert found.array.shape == shape
        assert found.array.dtype == np.float32
        np.testing.assert_array_equal(found.array.compute(scheduler="synchronous"), expected)
