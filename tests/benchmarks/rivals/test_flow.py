"""`benchmarks rivals`: environments, pairing and the table. The rivals themselves are gigabytes: a stand-in runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from benchmarks.host.calibration import calibrate, judge
from benchmarks.host.fingerprint import fingerprint
from benchmarks.rivals import flow as rivals
from benchmarks.rivals import measure
from benchmarks.rivals.flow import Missing, RivalsPlan
from benchmarks.rivals.measure import NetworkTimes
from benchmarks.rivals.network import NetworkJob
from benchmarks.rivals.ours import ALONE, OURS, RIVALS, WHOLE_FRAME, load
from benchmarks.rivals.record import (
    SCHEMA_VERSION,
    NetworkResult,
    RivalComparison,
    Subject,
    read_comparison,
    results,
)
from benchmarks.rivals.table import to_markdown
from runtime import Segmenter
from runtime.artifact.artifact import Artifact, open_artifact
from runtime.errors import EdgescopeError, InputError
from runtime.records import parse_json

STAND_IN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class StandIn:
    title: str = "Stand-in"
    description: str = "a sum"
    requirements: tuple = ()
    with_torch: bool = False
    packages: tuple = ("numpy",)

    def open(self, frame, job):
        if job.threads == 7:
            raise MemoryError("no room")
        return lambda: frame.sum()

NETWORK = StandIn()
"""


def answer(*ms: float, peak: float = 100.0) -> NetworkTimes:
    return NetworkTimes(ms, 50.0, 30.0, peak, {"python": "3.11"})


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of another distribution, called `stand_in`, here and in the measuring process."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    information = tmp_path / "stand_in-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: stand-in\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[edgescope.rivals]\nstand_in = stand_in\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
def plan(tmp_path: Path) -> RivalsPlan:
    """One round of the stand-in, and of two students of ours, on small frames."""
    return RivalsPlan(
        tmp_path / "rivals", ("stand_in",), (64,), 1, 1, 3, 5.0, ("first", "second"), ("frame", "64", "256")
    )


def test_every_file_of_the_folder_is_a_rival_and_ours_are_none():
    assert RIVALS.names() == ("cellpose", "instanseg", "stardist")


@pytest.mark.parametrize("name", [*RIVALS.names(), *OURS])
def test_a_network_imports_its_library_only_when_it_is_opened(name: str):
    network = load(name)
    assert network.title and network.description


@pytest.fixture
def compiled(write_tiny, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, int]]]:
    """The tiny artefact in place of every student of ours; which were asked for, with which tiles."""
    artifact = open_artifact(write_tiny())
    asked: list[tuple[str, tuple[int, int]]] = []

    def ours(plan: RivalsPlan, student: str, tile: tuple[int, int]) -> Artifact:
        asked.append((student, tile))
        return artifact

    monkeypatch.setattr(rivals, "for_here", ours)
    return asked


def test_all_are_timed_and_compared_with_every_row_of_ours(stand_in, plan: RivalsPlan, compiled):
    kept: list[RivalComparison] = []
    steps: list[str] = []
    found = rivals.run(plan, steps.append, kept.append)
    assert [one.results for one in kept] == [found.results] and len(steps) == rivals.steps(
        plan
    ) - 1  # the stand-in needs no installation
    first, second, *frames, theirs = found.results
    assert [row.title for row in (first, second)] == list(found.students) == ["first", "second"]
    assert first.ratio == 1.0 and second.ratio == second.ratios["first"]
    assert [row.title for row in frames] == [f"{name}, whole frame, tile 64x64" for name in found.students]
    assert all(row.tile == (64, 64) and row.ms and row.ratios[row.title] == 1.0 for row in frames)
    assert theirs.ms is not None and theirs.not_measured is None and len(theirs.ratios) == 4
    assert len(theirs.answers) == 1 and len(theirs.answers[0].ms) == 3
    assert compiled == [(name, (64, 64)) for name in ("first", "second")] * 2
    assert RivalComparison.from_dict(parse_json(found.to_json())) == found


def test_a_rival_that_does_not_run_says_why_and_the_rest_goes_on(stand_in, plan: RivalsPlan, compiled):
    few = replace(plan, threads=7, students=("first",), frame_tiles=())
    found = rivals.run(few, lambda what: None, lambda found: None)
    ours, theirs = found.results
    assert ours.ms is not None
    assert "no room" in (theirs.not_measured or "")
    assert "| Stand-in | - | - | - |" in to_markdown(found)


def test_a_student_that_is_not_compiled_says_why(plan: RivalsPlan, monkeypatch: pytest.MonkeyPatch):
    def refuse(plan: RivalsPlan, student: str, tile: tuple[int, int]) -> Artifact:
        raise EdgescopeError("no such student")

    monkeypatch.setattr(rivals, "for_here", refuse)
    found = rivals.run(replace(plan, networks=()), lambda what: None, lambda found: None)
    assert {row.not_measured for row in found.results} == {"no such student"}


def test_a_whole_frame_is_read_from_the_bytes_of_a_file_and_becomes_a_mask(write_tiny, tmp_path: Path):
    frame = rivals.write_frames(128, tmp_path)[True]
    job = NetworkJob(WHOLE_FRAME, str(frame), 1, 2, 1.0, None, str(write_tiny()))
    mask = load(WHOLE_FRAME).open(frame.read_bytes(), job)()
    pixels = tifffile.imread(frame)
    assert pixels.dtype == np.uint16
    with Segmenter.open(job.artifact or "") as segment:
        assert np.array_equal(mask, segment(pixels).mask)
    assert mask.any() and not mask.all()
    times = measure.measure(job)
    assert times.peak_mb > 10
    assert {"python", "tifffile", "openvino"} <= set(times.versions)


def test_each_tile_is_tried_once_and_none_beyond_the_frame(plan: RivalsPlan):
    tiles = replace(plan, students=("first",), networks=(), frame_tiles=("frame", "256", "64x128", "512"))
    assert [subject.tile for subject in tiles.subjects(256)] == [None, (256, 256), (64, 128)]
    assert [subject.tile for subject in tiles.subjects(512)][1:] == [(512, 512), (256, 256), (64, 128)]


def test_ours_is_compiled_for_the_first_target_that_runs_here(plan: RivalsPlan, write_tiny, monkeypatch):
    asked: list[str] = []

    def compiled(student: str, target: str, precision: str, tile: tuple[int, int], folder: Path) -> Artifact:
        asked.append(target)
        return open_artifact(write_tiny("jetson" if target == "other" else "intel", name=f"tiny-{target}"))

    monkeypatch.setattr(rivals, "compile_artifact", compiled)
    monkeypatch.setattr(rivals, "targets", lambda: ("other", "one", "more"))
    assert rivals.for_here(plan, "first", (64, 64)).manifest.backend == "openvino"
    assert asked == ["other", "one"]
    with pytest.raises(EdgescopeError, match="No artefact of first runs here: other: "):
        rivals.for_here(replace(plan, target="other"), "first", (64, 64))


def test_the_student_left_out_is_the_one_that_compile_takes():
    from distill.student.student import DEFAULT

    assert rivals.DEFAULT_STUDENT == DEFAULT


def test_what_cannot_be_installed_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(network, home):
        raise EdgescopeError("no such package")

    monkeypatch.setattr(rivals, "install", refuse)
    assert rivals.python("stardist", tmp_path, lambda what: None) == Missing("no such package")
    assert not (tmp_path / "stardist" / "installed.txt").exists()


def test_an_environment_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    installed: list[str] = []
    monkeypatch.setattr(rivals, "install", lambda network, home: installed.append(network.title))
    for _ in range(2):
        assert rivals.python("stardist", tmp_path, lambda what: None) == rivals.python_of(tmp_path / "stardist")
    assert installed == ["StarDist 2D"]


def test_the_small_torch_is_tried_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rivals, "has_uv", lambda: True)
    for_cpu, usual = rivals.installations(load("cellpose"), Path("python"))
    assert "--torch-backend" in for_cpu and "cellpose>=3,<4" in for_cpu
    assert "--torch-backend" not in usual
    assert len(rivals.installations(load("stardist"), Path("python"))) == 1
    monkeypatch.setattr(rivals, "has_uv", lambda: False)
    (with_pip,) = rivals.installations(load("cellpose"), Path("python"))
    assert with_pip[:3] == ["python", "-m", "pip"]


OUR = Subject(ALONE, "nuclei-fast")
WHOLE = [Subject(WHOLE_FRAME, "nuclei-fast", (side, side)) for side in (64, 256)]
STARDIST = Subject("stardist")


def test_ratios_are_paired_by_round():
    ours = [answer(10.0), answer(100.0)]  # the second round of a busy machine
    _, theirs = results(64, {OUR: ours, STARDIST: [answer(40.0), answer(400.0)]}, {})
    assert theirs.ratio == theirs.ratios["nuclei-fast"] == 4.0
    assert theirs.ms == 220.0


def test_the_table_says_what_it_is_and_what_is_missing():
    times = {OUR: [answer(9.4)], STARDIST: [answer(94.0, peak=800.0)], Subject("cellpose"): []}
    rows = results(256, times, {Subject("cellpose"): "no such package"})
    text = to_markdown(comparison(rows))
    assert "| 256x256 | ms | times nuclei-fast | peak MB |" in text
    assert "| nuclei-fast | 9.4 | 1.0x | 100 |" in text
    assert "| StarDist 2D | 94 | 10.0x | 800 |" in text
    assert "Cellpose 3 at 256x256 was not measured: no such package" in text
    assert "untrained" in text and "2 threads" in text and "Whole frame" not in text


def test_the_table_compares_with_the_quicker_of_the_whole_frames():
    times = {OUR: [answer(10.0)], WHOLE[0]: [answer(25.0)], WHOLE[1]: [answer(20.0)], STARDIST: [answer(400.0)]}
    text = to_markdown(comparison(results(256, times, {})))
    assert "| times nuclei-fast | times nuclei-fast, whole frame, tile 256x256 |" in text
    assert "| nuclei-fast, whole frame, tile 64x64 | 25 | 2.5x | 1.2x | 100 |" in text
    assert "| StarDist 2D | 400 | 40.0x | 20.0x | 100 |" in text
    assert "Whole frame: from the bytes" in text


def comparison(rows: tuple[NetworkResult, ...]) -> RivalComparison:
    noise = judge(calibrate(2), calibrate(2))
    return RivalComparison(
        SCHEMA_VERSION, "now", "0.1.0", fingerprint(), noise, "synthetic", 2, 1, rows, ("nuclei-fast",)
    )


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"schema_version": True}, {"results": 5}, {"surprise": 1}])
def test_what_is_no_comparison_is_refused(tmp_path: Path, change: dict):
    file = tmp_path / "rivals.json"
    file.write_text(json.dumps({**comparison(()).to_dict(), **change}))
    with pytest.raises(InputError, match="no comparison"):
        read_comparison(file)


@pytest.mark.parametrize("tiles", ["0", "a", "64x", "64x64x64", "-1", ""])
def test_wrong_tiles_are_refused(bench, tiles: str, tmp_path: Path):
    refused = bench("rivals", "--frame-tiles", tiles, "--folder", tmp_path)
    assert refused.code == 2
    assert "whole frame" in refused.err


def test_students_of_one_name_are_refused(bench, tmp_path: Path):
    refused = bench("rivals", "--student", "runs/a", "--student", "other/a", "--folder", tmp_path)
    assert refused.code == 2
    assert "rename" in refused.err


def test_slow_networks_are_called_twice_at_least(tmp_path: Path):
    calls: list[int] = []
    job = NetworkJob("stardist", "", 1, 30, 0.0, None, None)
    assert len(measure.sample(lambda: calls.append(1), job)) == 2


@pytest.mark.parametrize(("sides", "said"), [("300", "stride"), ("a", "not sizes"), ("16", "not sizes"), ("", "not")])
def test_wrong_sides_are_refused(bench, sides: str, said: str, tmp_path: Path):
    refused = bench("rivals", "--sides", sides, "--folder", tmp_path)
    assert refused.code == 2
    assert said in refused.err


def test_an_unknown_network_is_refused(bench, tmp_path: Path):
    said = bench("rivals", "abacus", "--folder", tmp_path)
    assert said.code == 2
    assert "choose one of cellpose, instanseg, stardist" in said.err
