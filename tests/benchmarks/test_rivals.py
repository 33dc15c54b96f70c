"""`benchmarks rivals`: environments, pairing and the table. The rivals themselves are gigabytes: a stand-in runs."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from benchmarks import rival_networks, rivals
from benchmarks.fingerprint import fingerprint
from benchmarks.noise import calibrate
from benchmarks.rival_networks import OURS, WHOLE_FRAME, Question, measure
from benchmarks.rival_networks.measure import Answer
from benchmarks.rivals import Missing, Plan
from benchmarks.rivals_record import Comparison, Result, Subject, read_comparison, results
from benchmarks.rivals_table import to_markdown
from runtime import Segmenter
from runtime.errors import EdgescopeError, InputError
from runtime.records import parse_json

STAND_IN = "from stand_in_library import NETWORK\n"
LIBRARY = """
from dataclasses import dataclass

@dataclass(frozen=True)
class StandIn:
    title: str = "Stand-in"
    description: str = "a sum"
    requirements: tuple = ()
    with_torch: bool = False
    packages: tuple = ("numpy",)

    def open(self, frame, question):
        if question.threads == 7:
            raise MemoryError("no room")
        return lambda: frame.sum()

NETWORK = StandIn()
"""


def answer(*ms: float, peak: float = 100.0) -> Answer:
    return Answer(ms, 50.0, 30.0, peak, {"python": "3.11"})


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network called `stand_in`, here and in the measuring process."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    (tmp_path / "stand_in_library.py").write_text(LIBRARY)
    start = "from benchmarks import rival_networks; rival_networks.__path__.append(%r)\n" % str(tmp_path)  # noqa: UP031
    (tmp_path / "sitecustomize.py").write_text(start)
    monkeypatch.setattr(rival_networks, "__path__", [*rival_networks.__path__, str(tmp_path)])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{rivals.ROOT}:{tmp_path}")
    monkeypatch.setattr(rival_networks, "NOT_NETWORKS", frozenset({"measure", "stand_in_library", "sitecustomize"}))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """One round of the stand-in, and of two students of ours, on small frames."""
    return Plan(tmp_path / "rivals", ("stand_in",), (64,), 1, 1, 3, 5.0, ("first", "second"), ("frame", "64", "256"))


def test_ours_comes_first_and_helpers_are_no_networks():
    assert rival_networks.names() == (OURS, "cellpose", "instanseg", "stardist")


@pytest.mark.parametrize("name", rival_networks.names())
def test_a_network_imports_its_library_only_when_it_is_opened(name: str):
    network = rival_networks.load(name)
    assert network.title and network.description and network.packages


@pytest.fixture
def compiled(write_tiny, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, int]]]:
    """The tiny artefact in place of every student of ours; which were asked for, with which tiles."""
    artifact = write_tiny()
    asked: list[tuple[str, tuple[int, int]]] = []

    def ours(plan: Plan, student: str, tile: tuple[int, int]) -> Path:
        asked.append((student, tile))
        return artifact

    monkeypatch.setattr(rivals, "_ours", ours)
    monkeypatch.setattr(rivals, "calibrate", partial(calibrate, 2))
    return asked


def test_all_are_timed_and_compared_with_every_row_of_ours(stand_in, plan: Plan, compiled):
    kept: list[Comparison] = []
    steps: list[str] = []
    found = rivals.run(plan, steps.append, kept.append)
    assert kept == [found] and len(steps) == rivals.steps(plan) - 1  # the stand-in needs no installation
    first, second, *frames, theirs = found.results
    assert [row.title for row in (first, second)] == list(found.students) == ["first", "second"]
    assert first.ratio == 1.0 and second.ratio == second.ratios["first"]
    assert [row.title for row in frames] == [f"{name}, whole frame, tile 64x64" for name in found.students]
    assert all(row.tile == (64, 64) and row.ms and row.ratios[row.title] == 1.0 for row in frames)
    assert theirs.ms is not None and theirs.not_measured is None and len(theirs.ratios) == 4
    assert len(theirs.answers) == 1 and len(theirs.answers[0].ms) == 3
    assert compiled == [(name, (64, 64)) for name in ("first", "second")] * 2
    assert Comparison.from_dict(parse_json(found.to_json())) == found


def test_a_rival_that_does_not_run_says_why_and_the_rest_goes_on(stand_in, plan: Plan, compiled):
    few = replace(plan, threads=7, students=("first",), frame_tiles=())
    found = rivals.run(few, lambda what: None, lambda found: None)
    ours, theirs = found.results
    assert ours.ms is not None
    assert "no room" in (theirs.not_measured or "")
    assert "| Stand-in | - | - | - |" in to_markdown(found)


def test_a_student_that_is_not_compiled_says_why(plan: Plan, monkeypatch: pytest.MonkeyPatch):
    def refuse(plan: Plan, student: str, tile: tuple[int, int]) -> Path:
        raise EdgescopeError("no such student")

    monkeypatch.setattr(rivals, "_ours", refuse)
    monkeypatch.setattr(rivals, "calibrate", partial(calibrate, 2))
    found = rivals.run(replace(plan, networks=()), lambda what: None, lambda found: None)
    assert {row.not_measured for row in found.results} == {"no such student"}


def test_a_whole_frame_is_read_from_the_bytes_of_a_file_and_becomes_a_mask(write_tiny, tmp_path: Path):
    frame = rivals._write_frames(128, tmp_path)[True]
    question = Question(WHOLE_FRAME, str(frame), 1, 2, 1.0, None, str(write_tiny()))
    mask = rival_networks.load(WHOLE_FRAME).open(frame.read_bytes(), question)()
    pixels = tifffile.imread(frame)
    assert pixels.dtype == np.uint16
    with Segmenter.open(question.artifact or "") as segment:
        assert np.array_equal(mask, segment(pixels).mask)
    assert mask.any() and not mask.all()
    assert measure.measure(question).peak_mb > 10


def test_each_tile_is_tried_once_and_none_beyond_the_frame(plan: Plan):
    tiles = replace(plan, students=("first",), networks=(), frame_tiles=("frame", "256", "64x128", "512"))
    assert [subject.tile for subject in tiles.subjects(256)] == [None, (256, 256), (64, 128)]
    assert [subject.tile for subject in tiles.subjects(512)][1:] == [(512, 512), (256, 256), (64, 128)]


def test_an_artefact_is_compiled_again_when_its_student_was_trained_again(tmp_path: Path):
    (tmp_path / "student.safetensors").write_bytes(b"1")
    before = rivals._state(str(tmp_path))
    assert rivals._state(str(tmp_path)) == before
    (tmp_path / "student.safetensors").write_bytes(b"2")
    assert rivals._state(str(tmp_path)) != before


def test_the_student_left_out_is_the_one_that_compile_takes():
    from distill.student import DEFAULT, PRETRAINED

    assert rivals.DEFAULT_STUDENT == DEFAULT
    assert rivals.PRETRAINED == PRETRAINED


def test_what_cannot_be_installed_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(network, home, python):
        raise EdgescopeError("no such package")

    monkeypatch.setattr(rivals, "_install", refuse)
    assert rivals._python("stardist", tmp_path, lambda what: None) == Missing("no such package")
    assert not (tmp_path / "stardist" / "installed.txt").exists()


def test_an_environment_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    installed: list[str] = []
    monkeypatch.setattr(rivals, "_install", lambda network, home, python: installed.append(network.title))
    for _ in range(2):
        assert rivals._python("stardist", tmp_path, lambda what: None) == rivals.python_of(tmp_path / "stardist")
    assert installed == ["StarDist 2D"]


def test_the_small_torch_is_tried_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rivals, "_has_uv", lambda: True)
    for_cpu, usual = rivals.installations(rival_networks.load("cellpose"), Path("python"))
    assert "--torch-backend" in for_cpu and "cellpose>=3,<4" in for_cpu
    assert "--torch-backend" not in usual
    assert len(rivals.installations(rival_networks.load("stardist"), Path("python"))) == 1
    monkeypatch.setattr(rivals, "_has_uv", lambda: False)
    (with_pip,) = rivals.installations(rival_networks.load("cellpose"), Path("python"))
    assert with_pip[:3] == ["python", "-m", "pip"]


OUR = Subject(OURS, "nuclei-fast")
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


def comparison(rows: tuple[Result, ...]) -> Comparison:
    return Comparison(2, "now", "0.1.0", fingerprint(), None, "synthetic", 2, 1, rows, ("nuclei-fast",))


def test_a_comparison_of_version_1_is_read(tmp_path: Path):
    file = tmp_path / "rivals.json"
    new = comparison(results(256, {OUR: [answer(10.0)], STARDIST: [answer(40.0)]}, {})).to_dict()
    rows = [{k: v for k, v in row.items() if k not in ("student", "tile", "ratios")} for row in new["results"]]
    rows[0]["title"] = OURS
    old = {k: v for k, v in new.items() if k != "students"} | {"schema_version": 1, "results": rows}
    file.write_text(json.dumps(old))
    read = read_comparison(file)
    assert read.schema_version == 1 and read.students == (OURS,)
    assert "| StarDist 2D | 40 | 4.0x | 100 |" in to_markdown(read)


@pytest.mark.parametrize("change", [{"schema_version": 3}, {"schema_version": True}, {"results": 5}, {"surprise": 1}])
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
    question = Question("stardist", "", 1, 30, 0.0, None, None)
    assert len(measure._sample(lambda: calls.append(1), question)) == 2


@pytest.mark.parametrize(("sides", "said"), [("300", "stride"), ("a", "not sizes"), ("16", "not sizes"), ("", "not")])
def test_wrong_sides_are_refused(bench, sides: str, said: str, tmp_path: Path):
    refused = bench("rivals", "--sides", sides, "--folder", tmp_path)
    assert refused.code == 2
    assert said in refused.err


def test_an_unknown_network_is_refused(bench, tmp_path: Path):
    said = bench("rivals", "abacus", "--folder", tmp_path)
    assert said.code == 2
    assert "choose of cellpose, instanseg, stardist" in said.err
