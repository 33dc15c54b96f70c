"""`benchmarks run` with real artefacts: what it measures, what it leaves out, and what it says when something fails."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.__main__ import spread
from benchmarks.report.files import read_report
from distill import datasets
from runtime.artifact.manifest import Accuracy, Lineage

QUICK = ("--rounds", "2", "--repeats", "10")
ONE_IMAGE = ("--data", "synthetic:1@3")
DIES = """
import os, signal, sys
job = next((argument for argument in sys.orig_argv if argument.endswith("job.json")), None)
if job and "doomed" in open(job).read():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def accuracy_of(labels: str) -> Accuracy:
    """What a manifest says of a student that learnt to find these."""
    return Accuracy("a test", labels, 1, {}, {}, 0.0, None, None, "none")


@pytest.mark.slow
def test_a_report_holds_every_sample(bench, write_tiny, tmp_path: Path):
    data = ("--data", "synthetic:2@3")
    said = bench("run", "--artifact", write_tiny(), *data, "--out", tmp_path / "report.json", *QUICK)
    assert said.code == 0, said.err
    report = read_report(tmp_path / "report.json")
    (row,) = report.rows
    assert [len(measured.tile_ms) for measured in row.timing.rounds] == [10, 10]
    assert row.timing.tile_ms.count == 20
    assert row.timing.tile_ms.p99 is None  # 20 samples carry no p99
    assert row.memory.peak_mb >= row.memory.steady_mb > row.memory.baseline_mb > 0
    assert row.timing.load_ms > 0
    assert row.timing.first_frame_ms > 0
    assert row.timing.speedup == 1.0
    assert len(row.quality.images) == 2
    assert row.agreement.within_tolerance
    assert row.operators.convolutions == 1
    assert report.device.cpu


@pytest.mark.slow
def test_a_bundle_off_its_device_is_checked_and_not_timed(bench, write_tiny, tmp_path: Path):
    artifacts = ("--artifact", write_tiny("jetson"), write_tiny())
    said = bench("run", *artifacts, *ONE_IMAGE, "--json", tmp_path / "t.json", *QUICK)
    assert said.code == 0, said.err
    jetson, intel = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert jetson["backend"] == "onnxruntime (CPU check)"
    assert {jetson[column] for column in ("frame p50 ms", "tile p50 ms", "peak MB", "faster")} == {None}
    assert jetson["Dice"] == intel["Dice"]
    assert intel["faster"] == 1.0
    assert "jetson: checked here with onnxruntime, not timed: " in said.out


def test_a_report_says_until_where_it_measured(bench, write_tiny, tmp_path: Path):
    call = ("run", "--artifact", write_tiny(), "--data", "synthetic:1@3?size=64", "--rounds", "1", "--repeats", "3")
    paths = {until: tmp_path / f"{until}.json" for until in ("labels", "objects")}
    said = bench(*call, "--out", paths["objects"])
    assert said.code == 0, said.err
    for words in ("a frame, medians:", "pre ms", "network ms", "blend ms", "labels ms", "objects ms", "first ms"):
        assert words in said.out
    said = bench(*call, "--until", "labels", "--out", paths["labels"])
    assert said.code == 0, said.err
    assert "until labels" in said.out
    (labels,), (objects,) = (read_report(path).rows for path in paths.values())
    assert (labels.until, objects.until) == ("labels", "objects")
    assert labels.timing.stages.objects is None
    assert labels.timing.stages.labels.count == objects.timing.stages.objects.count == 3
    said = bench("compare", *paths.values(), "--csv", tmp_path / "both.csv")
    assert "frames were timed until labels and objects: their times do not compare" in said.out
    with (tmp_path / "both.csv").open(encoding="utf-8-sig", newline="") as file:
        head, one, other = csv.reader(file)
    assert (one[head.index("until")], other[head.index("until")]) == ("labels", "objects")
    assert one[head.index("objects ms")] == "" != other[head.index("objects ms")]


@pytest.mark.slow
def test_a_killed_process_costs_its_row_and_no_other(
    bench, write_tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "sitecustomize.py").write_text(DIES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    doomed = write_tiny(name="doomed")
    said = bench("run", "--artifact", doomed, write_tiny(), *ONE_IMAGE, "--out", tmp_path / "r.json", *QUICK)
    assert said.code == 1
    killed, alive = read_report(tmp_path / "r.json").rows
    assert "SIGKILL" in (killed.error or "")
    assert killed.timing is None
    assert alive.error is None
    assert alive.timing is not None


@pytest.mark.slow
def test_all_that_can_be_asked_for_is_measured_on_a_machine_held_back(bench, write_tiny, tmp_path: Path):
    held = ("--cores", "1", "--memory-limit", "2000", "--sustain", "0.02", "--throughput")
    path = tmp_path / "report.json"
    said = bench(
        "run", "--artifact", write_tiny(), *ONE_IMAGE, "--out", path, "--rounds", "1", "--repeats", "10", *held
    )
    assert said.code == 0, said.err
    report = read_report(path)
    (row,) = report.rows
    assert report.constrained.label == "constrained to 1 core and 2000 MB"
    assert "constrained to 1 core" in said.out
    assert report.device.usable_cores >= 1
    assert row.timing.stages.total.count == 3
    assert len(row.timing.rounds[0].frame_ms) == 10
    assert row.throughput.sequential.tiles_per_s > 0
    assert row.sustained.seconds >= 1.2
    assert sum(row.sustained.histogram.counts) == row.sustained.frames == row.sustained.frame_ms.count
    assert row.energy is not None or "energy counter" in row.not_measured["energy"]
    assert len(report.noise.before.samples_ms) == len(report.noise.after.samples_ms)


@pytest.mark.slow
def test_images_seen_in_training_are_left_out_and_counted(bench, write_tiny, tmp_path: Path):
    seen = datasets.fingerprint(datasets.open("synthetic:2@3")[0])
    artifact = write_tiny(lineage=Lineage(None, "0" * 64, (), (), {}, "pytest", (seen,)))
    call = ("run", "--artifact", artifact, "--data", "synthetic:2@3", "--out", tmp_path / "r.json", "--rounds", "1")
    assert bench(*call, "--repeats", "2").code == 0
    report = read_report(tmp_path / "r.json")
    assert report.data.images == 1
    assert report.data.left_out["seen in training"] == 1
    assert bench(*call, "--repeats", "2", "--include-trained").code == 0
    assert read_report(tmp_path / "r.json").data.images == 2


def test_a_student_of_cells_held_against_nuclei_is_told(bench, write_tiny, tmp_path: Path):
    of_cells = write_tiny(name="of-cells", student="tissue", accuracy=accuracy_of("cells"))
    of_nuclei = write_tiny(name="of-nuclei", accuracy=accuracy_of("nuclei"))
    out = tmp_path / "report.json"
    said = bench("run", "--artifact", of_cells, "--artifact", of_nuclei, *ONE_IMAGE, *QUICK, "--out", out)
    assert said.code == 0, said.err
    assert "tissue: trained to find cells, scored on nuclei" in said.out
    assert "tiny: trained" not in said.out
    assert {row.quality.labels for row in read_report(out).rows if row.quality} == {"nuclei"}


def test_data_that_was_all_seen_in_training_is_refused(bench, write_tiny):
    seen = datasets.fingerprint(datasets.open("synthetic:1@3")[0])
    artifact = write_tiny(lineage=Lineage(None, "0" * 64, (), (), {}, "pytest", (seen,)))
    said = bench("run", "--artifact", artifact, *ONE_IMAGE)
    assert said.code == 2
    assert "--include-trained" in said.err


@pytest.mark.slow
def test_pictures_of_image_files(bench, write_tiny, tmp_path: Path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        pixels = np.random.default_rng(0).integers(0, 4000, (70, 90), np.uint16)
        Image.fromarray(pixels).save(tmp_path / folder / "cells.png")
    call = ("run", "--artifact", write_tiny(), "--images", tmp_path / "one", tmp_path / "t*" / "cells.png", *QUICK)
    said = bench(*call, "--pictures", tmp_path / "pictures", "--json", tmp_path / "t.json")
    assert said.code == 0, said.err
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        "cells-tiny-intel-fp32-mask.png",
        "cells-tiny-intel-fp32-overlay.png",
        "cells-2-tiny-intel-fp32-mask.png",
        "cells-2-tiny-intel-fp32-overlay.png",
        "contact-sheet.png",
    }
    with Image.open(tmp_path / "pictures" / "cells-tiny-intel-fp32-mask.png") as mask:
        assert mask.size == (90, 70)
    assert json.loads((tmp_path / "t.json").read_text())["rows"][0]["Dice"] is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--data", "nowhere:3"), "nowhere"),
        (("--data", "synthetic:many"), "many"),
        (("--data", "bbbc038:/no/such/folder"), "/no/such/folder"),
        (("--images", "/no/such/image.png"), "/no/such/image.png"),
        ((), "neither"),
        ((*ONE_IMAGE, "--images", "a.png"), "both"),
        ((*ONE_IMAGE, "--labels", "mitochondria"), "mitochondria"),
        ((*ONE_IMAGE, "--backend", "abacus"), "abacus"),
        ((*ONE_IMAGE, "--backend", "tflite"), "tflite"),
        ((*ONE_IMAGE, "--repeats", "0"), "--repeats"),
        ((*ONE_IMAGE, "--frobnicate"), "--frobnicate"),
        ((*ONE_IMAGE, "--out", "."), "folder"),
        ((*ONE_IMAGE, "--pictures", __file__), "file"),
        ((*ONE_IMAGE, "--sustain", "0"), "--sustain"),
        ((*ONE_IMAGE, "--until", "cells"), "network, mask, labels, objects"),
        ((*ONE_IMAGE, "--sustain", "nan"), "--sustain"),
        ((*ONE_IMAGE, "--profile", "raspberry-pi"), "1-core-512mb"),
        ((*ONE_IMAGE, "--cores", "9999"), "cannot resemble"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(bench, write_tiny, tmp_path: Path, arguments, complaint: str):
    said = bench("run", "--artifact", write_tiny(), "--out", tmp_path / "report.json", *arguments)
    assert said.code == 2
    assert complaint in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "report.json").exists()


def test_an_artefact_that_is_not_there_is_refused(bench, tmp_path: Path):
    said = bench("run", "--artifact", tmp_path / "nothing", *ONE_IMAGE)
    assert said.code == 2
    assert "nothing" in said.err


def test_a_tampered_artefact_is_refused_before_anything_is_measured(bench, write_tiny, tmp_path: Path):
    good, bad = write_tiny(), write_tiny(name="bad")
    model = bad / "model.bin"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    said = bench("run", "--artifact", good, bad, *ONE_IMAGE, "--out", tmp_path / "report.json")
    assert said.code == 2
    assert "model.bin" in said.err
    assert not (tmp_path / "report.json").exists()


def test_a_colour_image_is_refused_by_name(bench, write_tiny, tmp_path: Path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)).save(tmp_path / "stain.png")
    said = bench("run", "--artifact", write_tiny(), "--images", tmp_path / "stain.png")
    assert said.code == 2
    assert "stain" in said.err


def test_options_take_all_values_that_follow():
    given = ["run", "--artifact", "a", "b", "--data", "d", "--images", "x", "y", "z", "--images=w"]
    assert spread(given) == [
        *("run", "--artifact", "a", "--artifact", "b", "--data", "d"),
        *("--images", "x", "--images", "y", "--images", "z", "--images=w"),
    ]


def test_a_missing_extra_is_named(bench, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith("benchmarks.commands")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    said = bench("compare", "a.json")
    assert said.code == 1
    assert "edgescope[bench]" in said.err
