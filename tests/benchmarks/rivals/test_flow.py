"""`benchmarks rivals`: environments, pairing and the table. The rivals themselves are gigabytes: a stand-in runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.host.calibration import calibrate, judge
from benchmarks.host.fingerprint import fingerprint
from benchmarks.rivals import flow as rivals
from benchmarks.rivals import measure
from benchmarks.rivals.flow import Missing, RivalsPlan
from benchmarks.rivals.measure import NetworkTimes
from benchmarks.rivals.network import NetworkJob, TimedFrame, in_stages, object_rows
from benchmarks.rivals.ours import OURS, RIVALS, load
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

    def open(self, frame, truth, job):
        from benchmarks.rivals.network import in_stages

        if job.threads == 7:
            raise MemoryError("no room")
        return in_stages(frame, job.until, pre=lambda frame: frame / 2, network=abs, labels=lambda _: truth)

NETWORK = StandIn()
"""


def answer(*ms: float, peak: float = 100.0, network: float = 0.25) -> NetworkTimes:
    """Times of these frames, of which the network takes a share."""
    stages = {"pre": tuple(one * (1 - network) for one in ms), "network": tuple(one * network for one in ms)}
    return NetworkTimes(stages, 12, 2 * max(ms), 50.0, 30.0, peak, {"python": "3.11"})


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


@pytest.mark.parametrize("name", [*RIVALS.names(), OURS])
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
    *ours, theirs = found.results
    assert found.students == ("first", "second")
    assert [row.title for row in ours] == ["first, tile 64x64", "second, tile 64x64"]
    for row in ours:
        assert row.tile == (64, 64) and row.ms and row.objects is not None
        assert list(row.stages) == ["pre", "network", "blend", "labels", "objects"]
        assert row.ratios[row.title] == row.network_ratios[row.title] == 1.0
    assert theirs.ms is not None and theirs.not_measured is None
    assert theirs.ratios.keys() == theirs.network_ratios.keys() == {row.title for row in ours}
    assert list(theirs.stages) == ["pre", "network", "labels", "objects"]
    assert theirs.objects == found.truth["64"] > 0  # the stand-in returns the true labels
    assert len(theirs.answers) == 1 and len(theirs.answers[0].ms) == 3
    assert compiled == [(name, (64, 64)) for name in ("first", "second")]
    assert RivalComparison.from_dict(parse_json(found.to_json())) == found


def test_a_rival_that_does_not_run_says_why_and_the_rest_goes_on(stand_in, plan: RivalsPlan, compiled):
    few = replace(plan, threads=7, students=("first",))
    found = rivals.run(few, lambda what: None, lambda found: None)
    ours, theirs = found.results
    assert ours.ms is not None
    assert "no room" in (theirs.not_measured or "")
    assert "| Stand-in | - | - | - |" in to_markdown(found)
    assert "first, tile 64x64" in to_markdown(found)


@pytest.mark.parametrize(("until", "last"), [("network", {"pre", "network"}), ("labels", {"pre", "network", "labels"})])
def test_a_frame_ends_where_it_is_asked_to(stand_in, plan: RivalsPlan, compiled, until: str, last: set[str]):
    found = rivals.run(replace(plan, until=until, students=("first",)), lambda what: None, lambda found: None)
    ours, theirs = found.results
    assert found.until == until and found.to_dict()["until"] == until
    assert set(theirs.stages) == last and set(ours.stages) - {"blend"} == last
    assert (ours.objects is None) == (theirs.objects is None) == (until == "network")
    assert ("true ones" in to_markdown(found)) == (until != "network")


def test_a_student_that_is_not_compiled_says_why(plan: RivalsPlan, monkeypatch: pytest.MonkeyPatch):
    def refuse(plan: RivalsPlan, student: str, tile: tuple[int, int]) -> Artifact:
        raise EdgescopeError("no such student")

    monkeypatch.setattr(rivals, "for_here", refuse)
    found = rivals.run(replace(plan, networks=()), lambda what: None, lambda found: None)
    assert {row.not_measured for row in found.results} == {"no such student"}


def test_ours_goes_from_the_camera_s_pixels_to_its_objects(write_tiny, tmp_path: Path):
    true = rivals.write_frame(128, tmp_path)
    frame, truth = (np.load(tmp_path / name) for name in (rivals.FRAME, rivals.TRUTH))
    assert (frame.dtype, truth.dtype) == (np.uint16, np.int32) and frame.shape == truth.shape == (128, 128)
    assert len(np.unique(truth[truth > 0])) == true > 0
    files = (str(tmp_path / rivals.FRAME), str(tmp_path / rivals.TRUTH))
    job = NetworkJob(OURS, *files, 1, 2, 1.0, None, str(write_tiny()), "objects")
    times = measure.measure(job)
    with Segmenter.open(job.artifact or "") as segment:
        assert times.objects == len(segment(frame).objects()) > 0
    assert len(times.ms) == 2 and times.ms[0] == sum(stage[0] for stage in times.stages.values())
    assert times.peak_mb > 10
    assert {"python", "openvino"} <= set(times.versions)


def test_the_stages_of_a_rival_take_what_the_one_before_returned():
    frame = np.full((4, 4), 7, np.uint16)
    labels = np.eye(4, dtype=np.int32) * np.arange(1, 5, dtype=np.int32)
    given: list[float] = []

    def network(value: float) -> float:
        given.append(value)
        return value + 1

    def post(value: float) -> np.ndarray:
        given.append(value)
        return labels

    run = in_stages(frame, "objects", pre=lambda frame: frame.max(), network=network, labels=post)
    timed = run()
    assert given == [7, 8] and timed.objects == 4
    assert list(timed.ms) == ["pre", "network", "labels", "objects"] and all(ms >= 0 for ms in timed.ms.values())
    rows = object_rows(labels, frame)
    assert rows["label"].tolist() == [1, 2, 3, 4] and rows["intensity_mean"].tolist() == [7.0] * 4


def test_each_tile_is_tried_once_and_none_beyond_the_frame(plan: RivalsPlan):
    tiles = replace(plan, students=("first",), networks=(), frame_tiles=("frame", "256", "64x128", "512"))
    assert [subject.tile for subject in tiles.subjects(256)] == [(256, 256), (64, 128)]
    assert [subject.tile for subject in tiles.subjects(512)] == [(512, 512), (256, 256), (64, 128)]


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


OURS_64, OUR = (Subject(OURS, "nuclei-fast", (side, side)) for side in (64, 256))
STARDIST = Subject("stardist")


def test_ratios_are_paired_by_round():
    ours = [answer(10.0), answer(100.0)]  # the second round of a busy machine
    theirs = [answer(40.0, network=0.5), answer(400.0, network=0.5)]
    _, row = results(64, {OUR: ours, STARDIST: theirs}, {})
    assert row.ratios == {OUR.title: 4.0}
    assert row.network_ratios == {OUR.title: 8.0}
    assert row.ms == 220.0 and row.stages == {"pre": 110.0, "network": 110.0}


def test_the_table_says_what_it_is_and_what_is_missing():
    times = {OUR: [answer(9.6)], STARDIST: [answer(96.0, peak=800.0)], Subject("cellpose"): []}
    rows = results(256, times, {Subject("cellpose"): "no such package"})
    text = to_markdown(comparison(rows))
    ours = "nuclei-fast, tile 256x256"
    assert f"| 256x256 | pre | network | ms | times {ours} | network: times {ours} | CPU ms | count | peak MB |" in text
    assert f"| {ours} | 7.2 | 2.4 | 9.6 | 1.0x | 1.0x | 19 | 12 | 100 |" in text
    assert "| StarDist 2D | 72 | 24 | 96 | 10.0x | 10.0x | 192 | 12 | 800 |" in text
    assert "| Cellpose 3 | - | - | - | - | - | - | - | - |" in text
    assert "Cellpose 3 at 256x256 was not measured: no such package" in text
    assert "untrained" in text and "2 threads" in text and "true ones: 5 in 256x256" in text


def test_the_table_compares_with_the_quickest_tile_of_a_student():
    times = {OURS_64: [answer(25.0)], OUR: [answer(20.0)], STARDIST: [answer(400.0)]}
    text = to_markdown(comparison(results(256, times, {})))
    assert "times nuclei-fast, tile 256x256" in text and "times nuclei-fast, tile 64x64" not in text
    assert "| nuclei-fast, tile 64x64 | 19 | 6.2 | 25 | 1.2x | 1.2x |" in text
    assert "| StarDist 2D | 300 | 100 | 400 | 20.0x | 20.0x |" in text


def comparison(rows: tuple[NetworkResult, ...]) -> RivalComparison:
    noise = judge(calibrate(2), calibrate(2))
    return RivalComparison(
        SCHEMA_VERSION,
        "now",
        "0.1.0",
        fingerprint(),
        noise,
        "synthetic",
        2,
        1,
        rows,
        ("nuclei-fast",),
        "objects",
        {"256": 5},
    )


@pytest.mark.parametrize(
    "change", [{"schema_version": 3}, {"until": 5}, {"schema_version": True}, {"results": 5}, {"surprise": 1}]
)
def test_what_is_no_comparison_is_refused(tmp_path: Path, change: dict):
    file = tmp_path / "rivals.json"
    file.write_text(json.dumps({**comparison(()).to_dict(), **change}))
    with pytest.raises(InputError, match="no comparison"):
        read_comparison(file)


@pytest.mark.parametrize("tiles", ["0", "a", "64x", "64x64x64", "-1", "", "none"])
def test_wrong_tiles_are_refused(bench, tiles: str, tmp_path: Path):
    refused = bench("rivals", "--frame-tiles", tiles, "--folder", tmp_path)
    assert refused.code == 2
    assert "cut into tiles" in refused.err


def test_an_unknown_end_of_a_frame_is_refused(bench, tmp_path: Path):
    refused = bench("rivals", "--until", "mask", "--folder", tmp_path)
    assert refused.code == 2
    assert "give one of network, labels, objects" in refused.err


def test_students_of_one_name_are_refused(bench, tmp_path: Path):
    refused = bench("rivals", "--student", "runs/a", "--student", "other/a", "--folder", tmp_path)
    assert refused.code == 2
    assert "rename" in refused.err


def test_slow_networks_are_called_twice_at_least(tmp_path: Path):
    job = NetworkJob("stardist", "", "", 1, 30, 0.0, None, None, "objects")
    calls, cpu_ms = measure.sample(lambda: TimedFrame({"network": 1.0}, None), job)
    assert len(calls) == 2 and cpu_ms >= 0


@pytest.mark.parametrize(("sides", "said"), [("300", "stride"), ("a", "not sizes"), ("16", "not sizes"), ("", "not")])
def test_wrong_sides_are_refused(bench, sides: str, said: str, tmp_path: Path):
    refused = bench("rivals", "--sides", sides, "--folder", tmp_path)
    assert refused.code == 2
    assert said in refused.err


def test_an_unknown_network_is_refused(bench, tmp_path: Path):
    said = bench("rivals", "abacus", "--folder", tmp_path)
    assert said.code == 2
    assert "choose one of cellpose, instanseg, stardist" in said.err
