"""`benchmarks rivals`: environments, pairing and the table. The rivals themselves are gigabytes: a stand-in runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import rival_networks, rivals
from benchmarks.fingerprint import fingerprint
from benchmarks.rival_networks import OURS, Question, measure
from benchmarks.rival_networks.measure import Answer
from benchmarks.rivals import Comparison, Missing, Plan
from runtime.errors import EdgescopeError
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
    """Two rounds of the stand-in on small frames."""
    return Plan(tmp_path / "rivals", ("stand_in",), (64,), 1, 2, 3, 5.0, "nuclei-mobilenetv3")


def test_ours_comes_first_and_helpers_are_no_networks():
    assert rival_networks.names() == (OURS, "cellpose", "instanseg", "stardist")


@pytest.mark.parametrize("name", rival_networks.names())
def test_a_network_imports_its_library_only_when_it_is_opened(name: str):
    network = rival_networks.load(name)
    assert network.title and network.description and network.packages


def test_both_are_timed_in_rounds_and_paired(stand_in, plan: Plan, write_tiny, monkeypatch: pytest.MonkeyPatch):
    artifact = write_tiny()
    monkeypatch.setattr(rivals, "_ours", lambda plan, side: artifact)
    kept: list[Comparison] = []
    found = rivals.run(plan, lambda what: None, kept.append)
    assert kept == [found]
    ours, theirs = found.results
    assert (ours.network, ours.ratio) == (OURS, 1.0)
    assert theirs.ms is not None and theirs.not_measured is None
    assert len(theirs.answers) == 2 and len(theirs.answers[0].ms) == 3
    assert Comparison.from_dict(parse_json(found.to_json())) == found


def test_a_rival_that_does_not_run_says_why_and_the_rest_goes_on(
    stand_in, plan: Plan, write_tiny, monkeypatch: pytest.MonkeyPatch
):
    artifact = write_tiny()
    monkeypatch.setattr(rivals, "_ours", lambda plan, side: artifact)
    found = rivals.run(replace(plan, threads=7, rounds=1), lambda what: None, lambda found: None)
    ours, theirs = found.results
    assert ours.ms is not None
    assert "no room" in (theirs.not_measured or "")
    assert "| Stand-in | - | - | - |" in rivals.to_markdown(found)


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


def test_ratios_are_paired_by_round():
    ours = [answer(10.0), answer(100.0)]  # the second round of a busy machine
    theirs = rivals.result("stardist", 64, [answer(40.0), answer(400.0)], ours, None)
    assert theirs.ratio == 4.0
    assert theirs.ms == 220.0


def test_the_table_says_what_it_is_and_what_is_missing():
    ours = rivals.result(OURS, 256, [answer(9.4)], [answer(9.4)], None)
    theirs = rivals.result("stardist", 256, [answer(94.0, peak=800.0)], [answer(9.4)], None)
    missing = rivals.result("cellpose", 256, [], [answer(9.4)], "no such package")
    found = Comparison(1, "now", "0.1.0", fingerprint(), None, "synthetic", 2, 1, (ours, theirs, missing))
    text = rivals.to_markdown(found)
    assert "| edgescope | 9.4 | 1.0x | 100 |" in text
    assert "| StarDist 2D | 94 | 10.0x | 800 |" in text
    assert "Cellpose 3 at 256x256 was not measured: no such package" in text
    assert "untrained" in text and "2 threads" in text


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
