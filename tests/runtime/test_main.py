"""The command line: exit codes, one line for an error, nothing half-made."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime.__main__ import main
from runtime.artifact.probes import ProbeSet
from runtime.commands import predict
from runtime.commands.predict import output_stems
from runtime.errors import InputError
from runtime.images.files import find_images, open_image
from runtime.images.planes import read_planes
from runtime.system import extras
from runtime.system.processor import cpu_flags

if TYPE_CHECKING:
    from conftest import Made

tifffile = pytest.importorskip("tifffile")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with two fields and a stack."""
    folder = tmp_path / "images"
    folder.mkdir()
    field = np.random.default_rng(0).integers(100, 200, (70, 90)).astype(np.uint16)
    field[10:30, 10:30] += 4000
    field[40:60, 50:80] += 4000
    for name in ("b.tif", "a.tif"):
        tifffile.imwrite(folder / name, field, resolution=(40000, 40000), resolutionunit="CENTIMETER")
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5}
    tifffile.imwrite(folder / "stack.ome.tif", np.stack([field] * 3), ome=True, metadata=metadata)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


# predict


def test_predict_writes_masks_with_the_pixel_size(artifact_path: Path, images: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    assert main(["predict", str(artifact_path), str(images / "a.tif"), "--out", str(out)]) == 0
    assert names(out) == ["a-mask.ome.tif"]
    (plane,) = read_planes(out / "a-mask.ome.tif")
    assert plane.pixel_size_um == pytest.approx(0.25)
    assert plane.frame.dtype == np.uint8
    assert set(np.unique(plane.frame)) == {0, 255}
    assert plane.frame[20, 20] == 255
    printed = capsys.readouterr()
    assert "70x90" in printed.out
    assert printed.err == ""  # no progress where there is no terminal


def test_predict_writes_labels_and_probabilities_on_request(artifact_path: Path, images: Path, tmp_path: Path):
    out = tmp_path / "out"
    call = ["predict", str(artifact_path), str(images / "a.tif"), "--out", str(out), "--labels", "--probability"]
    assert main(call) == 0
    assert names(out) == ["a-labels.ome.tif", "a-mask.ome.tif", "a-probability.ome.tif"]
    labels = read_planes(out / "a-labels.ome.tif")[0].frame
    assert (labels.dtype, labels.max()) == (np.uint16, 2)
    assert read_planes(out / "a-probability.ome.tif")[0].frame.dtype == np.float32


def test_predict_writes_tables_of_objects_on_request(artifact_path: Path, images: Path, tmp_path: Path):
    out = tmp_path / "out"
    call = ["predict", str(artifact_path), str(images / "a.tif"), "--out", str(out)]
    assert main([*call, "--objects", "csv", "--objects", "geojson", "--json", str(tmp_path / "p.json")]) == 0
    assert names(out) == ["a-mask.ome.tif", "a-objects.csv", "a-objects.geojson"]
    rows = (out / "a-objects.csv").read_text().splitlines()
    assert len(rows) == 3
    assert rows[1].startswith(",1,")
    assert ",0.25," in rows[1]  # the pixel size
    assert len(json.loads((out / "a-objects.geojson").read_text())["features"]) == 2
    (image,) = json.loads((tmp_path / "p.json").read_text())["images"]
    assert image["objects"] == 2
    assert [Path(path).name for path in image["files"]] == ["a-mask.ome.tif", "a-objects.csv", "a-objects.geojson"]


def test_predict_says_where_the_objects_of_a_stack_stand(artifact_path: Path, images: Path, tmp_path: Path):
    out = tmp_path / "out"
    call = ["predict", str(artifact_path), str(images / "stack.ome.tif"), "--out", str(out)]
    assert main([*call, "--objects", "csv", "--objects", "geojson"]) == 0
    rows = (out / "stack-objects.csv").read_text().splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == ["z000", "z000", "z001", "z001", "z002", "z002"]
    features = json.loads((out / "stack-objects.geojson").read_text())["features"]
    assert [f["geometry"].get("plane", {}).get("z") for f in features] == [None, None, 1, 1, 2, 2]


def test_predict_runs_several_tiles_at_once_where_the_backend_can(
    artifact_path: Path, images: Path, tmp_path: Path, capsys
):
    call = ["predict", str(artifact_path), str(images / "a.tif"), "--out", str(tmp_path / "out")]
    assert main([*call, "--performance", "throughput"]) == 2
    assert "onnxruntime backend runs one tile at a time" in error_of(capsys)


def test_predict_keeps_a_stack_in_one_file(artifact_path: Path, images: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert main(["predict", str(artifact_path), str(images / "stack.ome.tif"), "--out", str(out)]) == 0
    planes = read_planes(out / "stack-mask.ome.tif")
    assert [plane.label for plane in planes] == ["z000", "z001", "z002"]
    assert planes[0].pixel_size_um == 0.5


def test_predict_takes_folders_and_patterns_and_writes_json(artifact_path: Path, images: Path, tmp_path: Path):
    out, report = tmp_path / "out", tmp_path / "report.json"
    call = ["predict", str(artifact_path), str(images), str(images / "?.tif"), "--out", str(out), "--json", str(report)]
    assert main(call) == 0
    assert names(out) == ["a-mask.ome.tif", "b-mask.ome.tif", "stack-mask.ome.tif"]
    found = json.loads(report.read_text())
    assert [Path(row["image"]).name for row in found["images"]] == ["a.tif", "b.tif", "stack.ome.tif"]
    assert found["failed"] == []
    assert found["backend"] == "onnxruntime"
    assert [row["flags"] for row in found["images"]] == [["resized"], ["resized"], []]


def test_predict_takes_another_rule_and_records_it(artifact_path: Path, images: Path, tmp_path: Path):
    out, report = tmp_path / "out", tmp_path / "report.json"
    call = ["predict", str(artifact_path), str(images / "a.tif"), "--out", str(out), "--json", str(report), "--labels"]
    assert main([*call, "--min-area", "100000", "--threshold", "0.4", "--prominence", "0.2"]) == 0
    (row,) = json.loads(report.read_text())["images"]
    assert row["objects"] == 0
    assert (row["rule"]["threshold"], row["rule"]["min_area"], row["rule"]["core_prominence"]) == (0.4, 100000, 0.2)
    assert main([*call, "--threshold", "7"]) == 2


def test_predict_says_what_is_odd_about_a_frame(artifact_path: Path, tmp_path: Path, capsys):
    dark = tmp_path / "dark.tif"
    tifffile.imwrite(dark, np.zeros((40, 50), np.uint16))
    assert main(["predict", str(artifact_path), str(dark), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.rstrip().endswith("black constant)")


def test_predict_goes_on_after_a_bad_image_and_names_it(artifact_path: Path, images: Path, tmp_path: Path, capsys):
    (images / "aa.tif").touch()
    out, report = tmp_path / "out", tmp_path / "report.json"
    assert main(["predict", str(artifact_path), str(images), "--out", str(out), "--json", str(report)]) == 2
    assert "aa.tif is empty (0 bytes)" in error_of(capsys)
    assert names(out) == ["a-mask.ome.tif", "b-mask.ome.tif", "stack-mask.ome.tif"]
    assert [Path(row["image"]).name for row in json.loads(report.read_text())["failed"]] == ["aa.tif"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyError("x"), 1), (OSError(36, "File name too long"), 1), (MemoryError(), 1), (InputError("odd"), 2)],
)
def test_predict_goes_on_whatever_happens_to_one_image(
    artifact_path: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
):
    write = predict.write_mask_ome_tiff

    def fail(path: Path, *rest: Any) -> None:
        if path.name.startswith("a-"):
            raise error
        write(path, *rest)

    monkeypatch.setattr(predict, "write_mask_ome_tiff", fail)
    out = tmp_path / "out"
    assert main(["predict", str(artifact_path), str(images), "--out", str(out)]) == code
    assert names(out) == ["b-mask.ome.tif", "stack-mask.ome.tif"]


def test_predict_goes_on_after_names_that_are_too_long(artifact_path: Path, images: Path, tmp_path: Path, capsys):
    shutil.copy(images / "a.tif", images / ("a" * 245 + ".tif"))
    out = tmp_path / "out"
    given = [str(images), str(images / ("b" * 300))]
    assert main(["predict", str(artifact_path), *given, "--out", str(out)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in errors] == [True, True]
    assert names(out) == ["a-mask.ome.tif", "b-mask.ome.tif", "stack-mask.ome.tif"]


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there, and streams are closed in another way")
@pytest.mark.parametrize(
    ("name", "redirection"),
    [
        (b"\xff\xfe.tif", ""),
        ("\N{GREEK SMALL LETTER MU}\N{SNOWMAN}.tif".encode(), ""),
        (b"x.tif", "2>&-"),
        (b"x.tif", ">&- 2>&-"),
        (b"x.tif", "<&- >&- 2>&-"),
        (b"x.tif", ">/dev/full"),
        (b"x.tif", "2>/dev/full"),
    ],
)
def test_a_console_that_cannot_print_does_not_end_the_batch(
    artifact_path: Path, images: Path, tmp_path: Path, name: bytes, redirection: str
):
    (images / "aa.tif").touch()  # a line on standard error, before the others
    shutil.copy(images / "a.tif", os.fsencode(images) + b"/" + name)
    out, report = tmp_path / "out", tmp_path / "report.json"
    words = ["-m", "runtime", "predict", str(artifact_path), str(images), "--out", str(out), "--json", str(report)]
    command = f"{shlex.join([sys.executable, *words])} {redirection}"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C.UTF-8"}
    assert subprocess.run(["sh", "-c", command], env=environment, capture_output=True, check=False).returncode == 2
    assert len(names(out)) == 4
    assert len(json.loads(report.read_text())["images"]) == 4


def test_a_reader_that_has_gone_does_not_end_the_batch(artifact_path: Path, images: Path, tmp_path: Path):
    reader, writer = os.pipe()
    os.close(reader)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "runtime", "predict", str(artifact_path), str(images), "--out", str(out)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(names(out)) == 3


def bad_image(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.tif"
    arrays = {
        "rgb": np.random.default_rng(0).integers(0, 255, (9, 9, 3)).astype(np.uint8),
        "nan": np.full((9, 9), np.nan, np.float32),
    }
    if kind == "zero":
        path.touch()
    elif kind == "truncated":
        tifffile.imwrite(path, np.zeros((99, 99), np.uint16))
        path.write_bytes(path.read_bytes()[:9000])
    elif kind == "text":
        path.write_text("hello")
    elif kind in arrays:
        tifffile.imwrite(path, arrays[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("rgb", "--channel"),
        ("nan", "not finite"),
        ("zero", "0 bytes"),
        ("truncated", "cut short"),
        ("text", "is no PNG, TIFF, CZI, ND2 or LIF"),
        ("gone", "cannot be read"),
    ],
)
def test_a_bad_image_is_one_line_and_nothing_is_written(
    artifact_path: Path, tmp_path: Path, kind: str, word: str, capsys
):
    path = bad_image(tmp_path, kind)
    assert main(["predict", str(artifact_path), str(path), "--out", str(tmp_path / "out")]) == 2
    line = error_of(capsys)
    assert word in line
    assert path.name in line
    assert not (tmp_path / "out").exists()


def test_equal_names_do_not_overwrite_each_other(tmp_path: Path):
    given = [tmp_path / "x" / "a.tif", tmp_path / "y" / "a.tif", tmp_path / "y" / "A.png", tmp_path / "z" / "b.ome.tif"]
    assert list(output_stems(given).values()) == ["x-a", "y-a", "y-A-2", "b"]


def test_a_name_that_another_one_would_be_given_is_not_taken_twice(tmp_path: Path):
    given = [tmp_path / "x-a.tif", tmp_path / "x" / "a.tif", tmp_path / "y" / "a.tif"]
    stems = list(output_stems(given).values())
    assert len({stem.lower() for stem in stems}) == 3


def test_masks_in_a_folder_are_no_images(images: Path):
    (images / "a-mask.ome.tif").touch()
    (images / "notes.txt").touch()
    assert [path.name for path in find_images([str(images)])] == ["a.tif", "b.tif", "stack.ome.tif"]


def test_what_other_systems_leave_in_a_folder_is_no_image(images: Path):
    for litter in ("._a.tif", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (images / litter).touch()
    for given in (images, images / "*.tif"):
        assert [path.name for path in find_images([str(given)])] == ["a.tif", "b.tif", "stack.ome.tif"]


def test_results_that_would_overwrite_another_image_are_refused_before_it_is_read(
    artifact_path: Path, images: Path, capsys
):
    other = images / "a-mask.ome.tif"
    shutil.copy(images / "a.tif", other)
    before = other.read_bytes()
    assert main(["predict", str(artifact_path), str(images / "a.tif"), str(other), "--out", str(images)]) == 2
    assert "would overwrite" in capsys.readouterr().err
    assert other.read_bytes() == before


def test_the_nuclear_channel_and_both_axes_of_a_stack_are_kept(artifact_path: Path, tmp_path: Path):
    tifffile = pytest.importorskip("tifffile")
    array = np.random.default_rng(0).integers(0, 60000, (2, 3, 2, 40, 50)).astype(np.uint16)
    metadata = {"axes": "TZCYX", "Channel": {"Name": ["GFP", "DAPI"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    metadata |= {"PhysicalSizeZ": 2.0, "TimeIncrement": 30.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", array, ome=True, metadata=metadata)
    report = tmp_path / "report.json"
    command = ["predict", str(artifact_path), str(tmp_path / "a.ome.tif"), "--out", str(tmp_path / "out")]
    assert main([*command, "--json", str(report)]) == 0
    (row,) = json.loads(report.read_text())["images"]
    assert row["channel"] == "1 DAPI"
    assert row["planes"] == 6
    with open_image(tmp_path / "out" / "a-mask.ome.tif") as image:
        (scene,) = image.scenes
        assert (scene.axes, scene.shape) == ("TZYX", (2, 3, 40, 50))
        assert (scene.spacing.x_um, scene.spacing.z_um, scene.spacing.t_s) == (0.5, 2.0, 30.0)


def test_a_projection_and_a_pixel_size_can_be_asked_for(artifact_path: Path, tmp_path: Path):
    tifffile = pytest.importorskip("tifffile")
    array = np.random.default_rng(0).integers(0, 60000, (3, 40, 50)).astype(np.float64)
    tifffile.imwrite(tmp_path / "a.ome.tif", array, ome=True, metadata={"axes": "ZYX"})
    report = tmp_path / "report.json"
    command = ["predict", str(artifact_path), str(tmp_path / "a.ome.tif"), "--out", str(tmp_path / "out")]
    assert main([*command, "--z", "max", "--pixel-size", "0.25", "--json", str(report)]) == 0
    (row,) = json.loads(report.read_text())["images"]
    assert (row["planes"], row["pixel_size_um"]) == (1, 0.25)


def test_an_image_given_twice_is_segmented_once(images: Path):
    assert len(find_images([str(images / "a.tif"), str(images / "a.tif"), str(images)])) == 3


@pytest.mark.parametrize("given", ["empty", "empty/*.tif"])
def test_a_folder_without_images_is_refused(artifact_path: Path, tmp_path: Path, given: str, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(artifact_path), str(tmp_path / given), "--out", str(tmp_path / "out")]) == 2
    assert "holds no image" in error_of(capsys)


def test_an_out_that_is_a_file_is_refused(artifact_path: Path, images: Path, capsys):
    out = images / "a.tif"
    assert main(["predict", str(artifact_path), str(images / "b.tif"), "--out", str(out)]) == 2
    assert "is a file; give a folder" in error_of(capsys)


def test_a_parquet_table_without_pyarrow_fails_before_the_work(
    artifact_path: Path, images: Path, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.setattr(extras, "available", lambda module: module != "pyarrow")
    call = ["predict", str(artifact_path), str(images), "--out", str(tmp_path / "out"), "--objects", "parquet"]
    assert main(call) == 1
    assert 'pip install "edgescope[parquet]"' in error_of(capsys)
    assert not (tmp_path / "out").exists()


# verify, info, doctor


def test_verify_passes_where_the_probes_are_reproduced(artifact_path: Path, tmp_path: Path, capsys):
    assert main(["verify", str(artifact_path), "--json", str(tmp_path / "v.json")]) == 0
    assert capsys.readouterr().out.endswith("passed\n")
    found = json.loads((tmp_path / "v.json").read_text())
    assert found["passed"] is True
    assert found["mask_dice"] == 1.0


def test_verify_fails_outside_the_tolerance(made: Made, tmp_path: Path, capsys):
    tolerance = replace(made.manifest.tolerance, probability_max=0.0)
    path = replace(made, manifest=replace(made.manifest, tolerance=tolerance)).write(tmp_path / "a")
    assert main(["verify", str(path), "--json", str(tmp_path / "v.json")]) == 1
    assert "max |dp|" in error_of(capsys)
    assert json.loads((tmp_path / "v.json").read_text())["passed"] is False


def test_info_says_what_it_is_and_what_runs_it(artifact_path: Path, tmp_path: Path, capsys):
    assert main(["info", str(artifact_path), "--json", str(tmp_path / "i.json")]) == 0
    printed = capsys.readouterr().out
    assert "tiny" in printed
    assert "onnxruntime  yes" in printed
    assert "openvino     no: " in printed
    assert re.search(r"^probe +reproduced: max \|dp\| 0\.000\d, .* \(onnxruntime, CPU\)$", printed, re.MULTILINE)
    content = json.loads((tmp_path / "i.json").read_text())
    assert content["manifest"]["student"] == "tiny"
    assert content["probe"].startswith("reproduced: ")


def test_info_says_that_a_probe_is_missed_and_tells_the_rest(made: Made, tmp_path: Path, capsys):
    probes = ProbeSet.from_bytes(made.files["probes.npz"])
    other = ProbeSet(probes.inputs, 1 - probes.outputs)
    path = replace(made, files={**made.files, "probes.npz": other.to_bytes()}).write(tmp_path / "a")
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^probe +not reproduced: .*max \|dp\| is", printed, re.MULTILINE)
    assert "onnxruntime  yes" in printed


def test_doctor_lists_the_devices_of_openvino(tmp_path: Path, capsys):
    pytest.importorskip("openvino")
    assert main(["doctor", "--json", str(tmp_path / "d.json")]) == 0
    parts = {part["name"]: part for part in json.loads((tmp_path / "d.json").read_text())["parts"]}
    assert f"openvino     device CPU      {parts['openvino']['devices']['CPU']}" in capsys.readouterr().out


def test_doctor_lists_the_artefacts_that_have_a_name(
    artifact_path: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EDGESCOPE_ARTIFACTS", str(artifact_path.parent))
    assert main(["doctor", "--json", str(tmp_path / "d.json")]) == 0
    assert artifact_path.name in capsys.readouterr().out
    listed = json.loads((tmp_path / "d.json").read_text())["artifacts"]
    assert listed[artifact_path.name] == str(artifact_path)


def test_doctor_names_what_is_missing_with_its_line(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "available", lambda module: module != "openvino")
    assert main(["doctor", "--json", str(tmp_path / "d.json")]) == 0
    printed = capsys.readouterr().out
    assert 'openvino     missing  run: pip install "edgescope[openvino]"' in printed
    assert "onnxruntime  ready" in printed
    assert "has never run on a real Jetson" in printed
    parts = {row["name"]: row["ready"] for row in json.loads((tmp_path / "d.json").read_text())["parts"]}
    assert parts["openvino"] is False


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512_vnni sse\n", ["avx2", "avx512_vnni"]),
        ("Features\t: fp asimd asimddp\n", ["asimd", "asimddp"]),
        ("", []),
    ],
)
def test_cpu_flags_are_those_that_matter(tmp_path: Path, text: str, flags: list[str]):
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_flags(tmp_path / "cpuinfo") == flags
    assert cpu_flags(tmp_path / "gone") == []


# Every command


@pytest.mark.parametrize("command", ["predict", "verify", "prewarm", "info"])
def test_a_tampered_artefact_is_refused_by_every_command(
    artifact_path: Path, images: Path, tmp_path: Path, command: str, capsys
):
    model = artifact_path / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    more = [str(images), "--out", str(tmp_path / "out")] if command == "predict" else []
    assert main([command, str(artifact_path), *more]) == 2
    assert "model.onnx was changed" in error_of(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["info"], "artifact"),
        (["info", "gone"], "gone"),
        (["verify", "{artifact}", "--backend", "coreml"], "coreml"),
        (["verify", "{artifact}", "--backend", "tflite"], "tflite"),
        (["verify", "{artifact}", "--threads", "0"], "Threads is 0"),
        (["verify", "{artifact}", "--threads", "many"], "many"),
        (["verify", "{artifact}", "--device", "TOASTER"], "TOASTER"),
        (["predict", "{artifact}", "a.tif"], "--out"),
        (["predict", "{artifact}", "a.tif", "--out", "o", "--objects", "xlsx"], "xlsx"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(artifact_path: Path, call: list[str], word: str, capsys):
    assert main([part.format(artifact=artifact_path) for part in call]) == 2
    assert word in error_of(capsys)


def test_a_bug_is_one_line_that_asks_for_debug(artifact_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr("runtime.commands.info._summary", lambda _: 1 / 0)
    assert main(["info", str(artifact_path)]) == 1
    assert "internal: ZeroDivisionError" in error_of(capsys)
    assert main(["info", str(artifact_path), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_module_is_a_program(artifact_path: Path, tmp_path: Path):
    command = [sys.executable, "-m", "runtime"]
    good = subprocess.run([*command, "verify", str(artifact_path)], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    bad = subprocess.run([*command, "info", str(tmp_path)], capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert bad.stdout == ""
    assert bad.stderr.count("\n") == 1
    help_text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(name in help_text for name in ("predict", "verify", "prewarm", "info", "doctor", "completion"))
