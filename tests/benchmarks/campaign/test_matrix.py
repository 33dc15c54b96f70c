"""`benchmarks matrix`: what its file may say, that an interrupted run goes on, and that a failing cell is one cell."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from benchmarks.campaign import matrix as flow
from benchmarks.campaign.matrix import Made, Matrix, read_matrix
from benchmarks.measures import process
from benchmarks.report.files import read_report
from runtime import open_artifact
from runtime.errors import EdgescopeError, InputError
from runtime.records import parse_json

LINES = {
    "data": '"synthetic:1@3?size=64"',
    "students": '["nuclei-fast"]',
    "targets": '["intel"]',
    "precisions": '["int8", "fp32"]',
    "tiles": "[64]",
    "threads": "[1]",
    "rounds": "2",
    "repeats": "2",
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(tiles="[32]", skip=None): a matrix file with these lines in place of the usual ones."""

    def call(**lines: str) -> Path:
        path = tmp_path / "matrix.toml"
        path.write_text("".join(f"{name} = {value}\n" for name, value in (LINES | lines).items()))
        return path

    return call


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, write_tiny) -> list[flow.Key]:
    """Compiling gives the tiny artefact at once; a list of what was asked for."""
    asked: list[flow.Key] = []
    made = cache(lambda target, precision: write_tiny(name=f"tiny-{target}-{precision}", precision=precision))

    def make(key: flow.Key, folder: Path, step: flow.Step) -> Made:
        asked.append(key)
        step(f"compile {key}")
        return open_artifact(made(key[1], key[2]))

    monkeypatch.setattr(flow, "make", make)
    return asked


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was really measured: task and artefact."""
    told: list[str] = []
    measure = process.measure

    def telling(task, job, result):
        told.append(f"{task} {job.name}")
        return measure(task, job, result)

    monkeypatch.setattr(process, "measure", telling)
    return told


def test_cells_leave_a_report_each_and_one_of_all(bench, write: Write, compiled, tmp_path: Path):
    said = bench("matrix", write(), "--out", tmp_path / "out")
    assert said.code == 0, said.err
    merged = read_report(tmp_path / "out" / "report.json")
    names = [f"nuclei-fast-intel-{precision}-64px-1t" for precision in ("int8", "fp32")]
    assert [row.name for row in merged.rows] == names
    for name, row in zip(names, merged.rows, strict=True):
        (alone,) = read_report(tmp_path / "out" / "cells" / f"{name}.json").rows
        assert alone.timing == row.timing
        assert row.timing is not None and row.threads == 1
        assert name in said.out


def test_an_interrupted_run_goes_on_where_it_stopped(
    write: Write, compiled, measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    matrix, out = read_matrix(write()), tmp_path / "out"
    steps: list[str] = []

    def interrupt(what: str) -> None:
        steps.append(what)
        if len(steps) == 6:  # two artefacts, two scores and one round
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flow.matrix(matrix, out, interrupt)
    assert measured == ["score tiny-intel-int8", "score tiny-intel-fp32", "time tiny-intel-int8"]
    measured.clear()
    flow.matrix(matrix, out, lambda what: None)
    assert measured == ["time tiny-intel-fp32", "time tiny-intel-fp32", "time tiny-intel-int8"]
    measured.clear()
    flow.matrix(matrix, out, lambda what: None)
    assert measured == []


def test_the_frames_of_a_matrix_end_where_it_says(write: Write, compiled, measured: list[str], tmp_path: Path):
    for until in ("objects", "network"):
        _, merged = flow.matrix(write(precisions='"int8"', until=f'"{until}"'), tmp_path / "out")
        assert {row.until for row in merged.rows} == {until}
    assert [told.split()[0] for told in measured].count("time") == 4  # what was timed until objects is not taken


def test_another_number_of_repeats_is_measured_anew(write: Write, compiled, measured: list[str], tmp_path: Path):
    for repeats in ("2", "3"):
        matrix = read_matrix(write(repeats=repeats, rounds="1", precisions='"int8"'))
        flow.matrix(matrix, tmp_path / "out", lambda what: None)
    assert measured.count("time tiny-intel-int8") == 2


def test_a_failing_cell_leaves_its_error_and_the_rest_goes_on(
    bench, write: Write, compiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    measure = process.measure

    def failing(task, job, result):
        if "int8" in job.name:
            raise EdgescopeError("the lamp went out")
        return measure(task, job, result)

    monkeypatch.setattr(process, "measure", failing)
    said = bench("matrix", write(rounds="1"), "--out", tmp_path / "out")
    assert said.code == 1
    assert "the lamp went out" in said.out
    outcomes = parse_json((tmp_path / "out" / "matrix.json").read_text())["outcomes"]
    assert [outcome["state"] for outcome in outcomes] == ["failed", "done"]


def test_what_a_target_refuses_is_skipped_and_what_fails_to_compile_has_failed(
    bench, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = {"int8": InputError("no such operator"), "fp32": EdgescopeError("out of memory")}
    monkeypatch.setattr(flow, "make", lambda key, folder, step: made[key[2]])
    said = bench("matrix", write(), "--out", tmp_path / "out")
    assert said.code == 1
    assert "skipped: no such operator" in said.out
    assert "failed: out of memory" in said.out
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ({"tile": "[64]"}, "Unknown field tile"),
        ({"students": '["nuclei"]'}, "neither bundled"),
        ({"targets": '["abacus"]'}, "choose of intel, jetson, microscope"),
        ({"precisions": '["int4"]'}, "choose of int8, fp16, fp32"),
        ({"tiles": "[64, 64]"}, "none twice"),
        ({"tiles": "[]"}, "one value at least"),
        ({"tiles": "[8]"}, "from 32 to 8192"),
        ({"threads": "[0]"}, "from 1 to 8192"),
        ({"threads": '["two"]'}, "threads\\[0\\] must be a whole number"),
        ({"rounds": "0"}, "must be 1 at least"),
        ({"skip": '[{target = "jetson", reason = "none here"}]'}, "covers no cell"),
        ({"skip": '[{target = "intel"}]'}, "reason is missing"),
        ({"data": "}"}, "is no TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_name(write: Write, lines: dict[str, str], said: str):
    path = write(**lines)
    with pytest.raises(InputError, match=said) as raised:
        read_matrix(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(InputError, match="There is no matrix"):
        read_matrix(tmp_path / "none.toml")


def test_cells_are_left_out_by_what_they_have_in_common(bench, write: Write):
    path = write(threads="[1, 2]", skip='[{precision = "fp32", threads = 2, reason = "slow"}]')
    said = bench("matrix", path, "--dry-run")
    assert [line for line in said.out.splitlines() if "left out" in line] == [
        "nuclei-fast-intel-fp32-64px-2t: left out, slow"
    ]
    assert len(said.out.splitlines()) == 4


def test_the_matrix_that_comes_with_the_project_is_right():
    matrix = read_matrix(Path(flow.__file__).parents[1] / "matrix.toml")
    assert {cell.target for cell in matrix.cells()} == {"intel", "microscope", "jetson"}


def test_rounds_are_interleaved_within_a_tile_size_and_number_of_threads(write: Write):
    matrix: Matrix = read_matrix(write(tiles="[64, 96]", threads="[1, 2]"))
    groups = flow.groups(matrix.cells())
    assert [(group[0].tile, group[0].threads, len(group)) for group in groups] == [
        (64, 1, 2),
        (64, 2, 2),
        (96, 1, 2),
        (96, 2, 2),
    ]
