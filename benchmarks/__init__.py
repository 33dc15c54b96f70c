"""Measure artefacts on this machine: what they cost (time, memory, bytes) and what they are worth (quality).

Every artefact is measured in a fresh process of its own, nothing is claimed that was not measured, and the
report keeps every sample, so that reports of several devices can be put side by side. For notebooks:

    import benchmarks
    report = benchmarks.run(["artifacts/NAME"], benchmarks.Selection(data="synthetic:6@7"))
    benchmarks.write_report(Path("report.json"), report)
    print(benchmarks.compare([report, "other-device.json"]).to_markdown())
    answer = benchmarks.choose([report], benchmarks.Limits(latency_ms=20, quality={"dice": 0.9}))
    summary, merged = benchmarks.matrix(Path("benchmarks/matrix.toml"), Path("matrix"))

The commands of `python -m benchmarks` call the same functions. A name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.answers.choose import Choice, choose
    from benchmarks.answers.guard import Judgement, guard, parse_limits
    from benchmarks.answers.requirements import Limits
    from benchmarks.campaign.campaign import RunPlan, devices, run
    from benchmarks.campaign.matrix import Matrix, Summary, matrix, read_matrix
    from benchmarks.host.profiles import constraint
    from benchmarks.inputs.source import Selection
    from benchmarks.inputs.stream import CameraStream
    from benchmarks.page.comparison import Comparison, compare
    from benchmarks.report.files import read_report, write_report
    from benchmarks.report.report import Report
    from benchmarks.roofline.layers import LayerCosts, layers, read_costs
    from benchmarks.roofline.predict import Prediction, predict

__all__ = [
    "CameraStream",
    "Choice",
    "Comparison",
    "Judgement",
    "LayerCosts",
    "Limits",
    "Matrix",
    "Prediction",
    "Report",
    "RunPlan",
    "Selection",
    "Summary",
    "choose",
    "compare",
    "constraint",
    "devices",
    "guard",
    "layers",
    "matrix",
    "parse_limits",
    "predict",
    "read_costs",
    "read_matrix",
    "read_report",
    "run",
    "write_report",
]

PLACES = {
    "answers.choose": ("Choice", "choose"),
    "answers.guard": ("Judgement", "guard", "parse_limits"),
    "answers.requirements": ("Limits",),
    "campaign.campaign": ("RunPlan", "devices", "run"),
    "campaign.matrix": ("Matrix", "Summary", "matrix", "read_matrix"),
    "host.profiles": ("constraint",),
    "inputs.source": ("Selection",),
    "inputs.stream": ("CameraStream",),
    "page.comparison": ("Comparison", "compare"),
    "report.files": ("read_report", "write_report"),
    "report.report": ("Report",),
    "roofline.layers": ("LayerCosts", "layers", "read_costs"),
    "roofline.predict": ("Prediction", "predict"),
}


def __getattr__(name: str) -> Any:
    for module, names in PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
