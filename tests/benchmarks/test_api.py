"""What notebooks import: `benchmarks.run`, `compare`, `choose`, ... The commands call the same functions."""

import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks


@pytest.mark.parametrize("name", benchmarks.__all__)
def test_every_public_name_is_there_and_documented(name: str):
    assert getattr(benchmarks, name).__doc__


def test_another_name_is_told():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = benchmarks.nothing


def test_importing_the_package_imports_nothing_else():
    code = "import sys, benchmarks; print(*(name for name in sys.modules if name.startswith(('benchmarks.', 'numpy'))))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert ended.stdout.strip() == ""


def test_a_notebook_asks_which_device(write_tiny, monkeypatch: pytest.MonkeyPatch):
    from benchmarks.campaign import campaign

    asked: list[object] = []
    monkeypatch.setattr(campaign, "run", lambda *given: asked.append(given))
    camera = benchmarks.CameraStream(64, 64, 5)
    benchmarks.devices(["a"], camera, plan=benchmarks.RunPlan(rounds=2))
    ((artifacts, selection, plan, _),) = asked
    assert (artifacts, selection.data, plan.rounds) == (["a"], "synthetic:3@2026", 2)
    assert (plan.every_device, plan.camera, plan.rate) == (True, camera, 5)


def test_a_notebook_measures_compares_and_chooses(write_tiny, tmp_path: Path):
    plan = benchmarks.RunPlan(rounds=2, repeats=10)
    steps: list[str] = []
    report = benchmarks.run([write_tiny()], benchmarks.Selection(data="synthetic:1@3?size=64"), plan, steps.append)
    assert [row.name for row in report.rows] == ["tiny-intel-fp32"]
    assert steps[0] == "tiny-intel-fp32: quality"
    benchmarks.write_report(tmp_path / "report.json", report)
    compared = benchmarks.compare([tmp_path / "report.json"], expect=["intel:Another Device"])
    assert compared.reports == (report,)
    assert "| intel | fp32 | openvino |" in compared.to_markdown()
    answer = benchmarks.choose([report], benchmarks.Limits(latency_ms=1e4))
    assert answer.best is not None and answer.best.row == "tiny-intel-fp32"
    (judged,) = benchmarks.guard(report, report, benchmarks.parse_limits("latency:0%"))
    assert judged.verdict == "holds"
