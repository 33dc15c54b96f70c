"""The search: what a plan may say, that one bad candidate loses no other, and what the page says of made-up times."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from distill.networks.spec import StudentSpec
from runtime.commands import command_line
from runtime.errors import InputError
from tools.search import candidates, flow, plan, table, timing
from tools.search.__main__ import app
from tools.search.candidates import DIED, BuiltStudent, Made
from tools.search.flow import Search, SearchRow
from tools.search.timing import TileLatency
from tools.search.untrained import untrained

TINY = StudentSpec("tiny", "plain", encoder=(8, 8, 8), decoder=(8, 8), head_stride=2, tile=(64, 64))
PLAN = """
[timing]
tile = 64
rounds = 2
repeats = 1
[[candidate]]
name = "tiny"
family = "plain"
encoder = [8, 8, 8]
decoder = [8, 8]
head_stride = 2
[[candidate]]
name = "other"
family = "mobilenetv3"
decoder = [8, 8]
head_stride = 2
[[change]]
what = "all of it"
before = "tiny"
after = "other"
"""


@pytest.fixture
def write(tmp_path: Path):
    def write_plan(text: str) -> Path:
        path = tmp_path / "plan.toml"
        path.write_text(text)
        return path

    return write_plan


def test_a_candidate_is_what_student_would_be(write):
    found = plan.read(write(PLAN))
    spec = found.spec(found.candidates[0])
    assert (spec.name, spec.family, spec.encoder, spec.decoder) == ("tiny", "plain", (8, 8, 8), (8, 8))
    assert (spec.head_stride, spec.tile) == (2, (64, 64))


def test_the_search_of_the_project_can_be_read():
    found = plan.read(Path(__file__).parents[2] / "configs" / "search.toml")
    assert len(found.candidates) >= 16
    assert found.changes


def test_rounds_of_the_call_replace_those_of_the_plan(write):
    assert plan.read(write(PLAN), rounds=7).timing.rounds == 7
    assert plan.read(write(PLAN)).timing.rounds == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('family = "plain"', 'family = "giant"', "candidate 'tiny'.*giant"),
        ("encoder =", "width =", "candidate 'tiny'.width"),
        ('name = "tiny"', 'name = "other"', "Two candidates are called 'other'"),
        ('name = "tiny"', "", "Candidate 1 has no name"),
        ("tile = 64", "tile = 65", "multiple of 32"),
        ("rounds = 2", "rounds = 0", "at least 1"),
        ("rounds = 2", 'rounds = "2"', "timing.rounds must be a whole number"),
        ('after = "other"', 'after = "none"', "no candidate 'none'"),
        ("[timing]", "[clock]", "Unknown key 'clock'"),
        ("[[candidate]]", "[[student]]", "Unknown key 'student'"),
        ("decoder = [8, 8]", "decoder = []", "one to four"),
        ("head_stride = 2", 'head_stride = 2\nchannels = ["nucleus", "membrane"]', "sees nucleus, membrane"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_key(write, old: str, new: str, said: str):
    with pytest.raises(InputError, match=said):
        plan.read(write(PLAN.replace(old, new)))


def test_a_missing_plan_points_to_the_one_of_the_project(tmp_path):
    with pytest.raises(InputError, match=r"configs/search\.toml"):
        plan.read(tmp_path / "none.toml")


@pytest.mark.slow
def test_a_process_that_dies_loses_its_own_item_alone():
    texts = ["1 + 1", "__import__('os')._exit(3)", "3"]
    assert dict(candidates.gather(eval, texts, 2)) == {0: 2, 1: DIED, 2: 3}


def test_an_untrained_student_is_the_same_for_the_same_seed():
    one, other, third = untrained(TINY), untrained(TINY), untrained(TINY, seed=1)
    assert one.lineage.weights_sha256 == other.lineage.weights_sha256 != third.lineage.weights_sha256
    assert one.scheme == other.scheme
    assert set(one.scheme.activations) > {"input"}


def test_what_a_family_refuses_is_the_reason_of_the_candidate(tmp_path):
    swin = replace(TINY, name="swin", family="swin_tiny", encoder=())
    found = candidates.build(swin, ("intel",), tmp_path, 0)
    assert "the decoder of swin_tiny ends at 1" in found.refused


@pytest.mark.slow
def test_a_candidate_is_built_for_a_target_and_timed_while_another_target_fails(tmp_path, monkeypatch):
    from compile.targets.microscope import Microscope

    def fail(self, graph, options):
        raise RuntimeError("no such\nkernel")

    monkeypatch.setattr(Microscope, "lower", fail)
    found = candidates.build(TINY, ("intel", "microscope"), tmp_path, 0)
    made = {(one.target, one.precision): one for one in found.made}
    assert made["microscope", "int8"].refused == "RuntimeError: no such kernel"
    assert made["intel", "int8"].int8 == made["intel", "int8"].convolutions > 0
    assert made["intel", "fp32"].int8 == 0
    assert found.parameters_m > 0 and found.gmac > 0
    paths = [Path(made["intel", precision].path) for precision in ("int8", "fp32")]
    times = timing.in_turns(paths, plan.TimingSection(tile=64, rounds=3, repeats=1))
    assert all(len(one.rounds) == 3 and one.ms > 0 for one in times)


def test_the_command_keeps_the_others_when_a_candidate_is_refused(write, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        flow, "build_all", lambda specs, *rest: [made_up("tiny"), BuiltStudent(specs[1], refused="too odd")]
    )
    monkeypatch.setattr(flow, "in_turns", lambda paths, timed, step: [TileLatency((2.0, 2.0)) for _ in paths])
    out, rows = tmp_path / "s.md", tmp_path / "s.json"
    call = [str(write(PLAN)), "--target", "intel", "--out", str(out), "--json", str(rows)]
    assert command_line.run(lambda: app, "tools.search", "compile", call) == 0
    assert "- other: too odd" in out.read_text()
    assert out.read_text().strip() in capsys.readouterr().out
    assert "plan.toml --target intel`." in out.read_text()
    tiny, other = json.loads(rows.read_text())["candidates"]
    assert (tiny["targets"]["intel"]["int8_ms"], other["refused"]) == (2.0, "too odd")


def made_up(name: str, gmac: float = 0.5) -> BuiltStudent:
    made = [
        Made("intel", precision, f"/{name}/{precision}", None, 3 * (precision == "int8"), 3)
        for precision in ("int8", "fp32")
    ]
    return BuiltStudent(replace(TINY, name=name), 0.1, gmac, tuple(made))


def row(name: str, int8: tuple[float, ...], fp32: tuple[float, ...], **more) -> SearchRow:
    return SearchRow(
        made_up(name), {("intel", "int8"): TileLatency(int8), ("intel", "fp32"): TileLatency(fp32)}, **more
    )


@pytest.fixture
def page(write) -> str:
    read = plan.read(write(PLAN.replace("tile = 64", "tile = 256")))
    rows = (row("tiny", (2.0, 4.0), (6.0, 12.0), dice=0.9, ap50=0.7), row("other", (8.0, 16.0), (8.0, 16.0)))
    return table.to_markdown(Search(read, ("intel",), rows, "Measured on paper."), "python -m tools.search")


def test_a_row_has_times_gain_rate_and_convolutions(page):
    assert "| tiny | 3.00 | 9.00 | 3.00 | 167 | 3/3 |" in page


def test_what_was_trained_has_its_accuracy_and_the_rest_a_dash(page):
    assert "| 0.9000 | 0.700 |" in page
    assert "| - | - |" in page


def test_the_page_says_what_limits_whom(page):
    assert "- Fastest in int8: tiny (3.00 ms). Slowest: other (12.00 ms)." in page
    assert "- int8 gains most over fp32: tiny (3.00x). Least: other (1.00x)." in page


def test_a_change_is_paired_by_round(page):
    assert "| all of it | tiny | other | 1.00x | 4.00x |" in page


def test_noise_is_stated(page):
    assert "Noise: the middle half of the rounds lies within 33.3 %" in page


def test_a_single_round_has_no_spread():
    assert TileLatency((2.0,)).spread == 0.0
