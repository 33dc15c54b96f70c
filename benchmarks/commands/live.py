"""The commands that measure live segmentation: `live`, `soak` and `split`."""

from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from benchmarks.camera import live as live_run
from benchmarks.camera import soak as soak_run
from benchmarks.camera import split as split_run
from benchmarks.camera.camera import open_camera
from benchmarks.commands.options import Json, Until, progress
from benchmarks.inputs.stream import CameraStream
from benchmarks.measures.figures import OBJECTS, check_until
from benchmarks.measures.latency import Latency
from runtime.artifact.artifact import open_artifact
from runtime.commands.output import write_json
from runtime.errors import BudgetMissed, EdgescopeError, InputError
from runtime.live import LiveSegmenter, Policy
from runtime.live import Until as End

Artifact = Annotated[Path, typer.Option(metavar="A", help="The artefact: a folder or a .zip.")]
Threads = Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of threads. Default: all cores but one.")]
SIDES = (512, 2048)


def live(
    camera: Annotated[
        str, typer.Option(metavar="HxWxBITS@RATE", help="Size, bits and rate of the camera, e.g. 2048x2048x16@20.")
    ],
    artifact: Artifact,
    policy: Annotated[
        str,
        typer.Option(metavar="P", help="What to do when the model is slower than the camera: latest, block or stop."),
    ] = "latest",
    seconds: Annotated[float, typer.Option(metavar="S", min=0.1, help="How long to run with segmentation.")] = 20.0,
    frames: Annotated[
        int | None, typer.Option(metavar="N", min=4, help="Number of frames with segmentation, instead of --seconds.")
    ] = None,
    source: Annotated[
        str, typer.Option(metavar="S", help="Camera to use: mmcore (Micro-Manager's demo camera) or synthetic.")
    ] = "mmcore",
    slots: Annotated[int, typer.Option(metavar="N", min=3, help="Number of frames in the ring buffer.")] = 8,
    threads: Threads = None,
    until: Until = OBJECTS,
    json_file: Json = None,
) -> int:
    """Measure a camera with and without live segmentation: frame rate, latency, dropped frames."""
    stream = CameraStream.parse(camera)
    chosen = next((one for one in get_args(Policy) if one == policy), None)
    if chosen is None:
        msg = f"Policy is {policy!r}; it must be one of {', '.join(get_args(Policy))}."
        raise InputError(msg)
    live_run.finishing(until)  # refuses a wrong end before a camera is opened
    end = next(one for one in get_args(End) if one == until)
    count = frames or max(4, round(seconds * stream.rate))
    console = Console(stderr=True)
    with open_camera(source, stream) as opened, console.status("") as status:
        report = live_run.measure(
            opened,
            stream,
            source,
            lambda on_result: LiveSegmenter(
                artifact, chosen, slots, stream.frame_bytes, threads=threads, on_result=on_result, until=end
            ),
            policy,
            count,
            until,
            status.update,
        )
    _print_live(report)
    verdicts = {
        what: {True: "yes", False: "no", None: "too few frames"}[kept] for what, kept in report.verdicts.items()
    }
    write_json(json_file, {**report.to_dict(), "verdicts": report.verdicts})
    for what, kept in verdicts.items():
        print(f"{what:<45} {kept}")
    if not report.adds_up:
        msg = f"Frames are not accounted for: {report.acquired} acquired, {report.refused} refused, {report.counters}."
        raise EdgescopeError(msg)
    return 0


def soak(
    artifact: Artifact,
    frames: Annotated[int, typer.Option(metavar="N", min=2 * soak_run.LOOKS, help="Number of frames.")] = 100_000,
    threads: Threads = None,
    json_file: Json = None,
) -> int:
    """Segment very many small frames, and report whether memory grows."""
    with progress(f"{frames} frames", soak_run.LOOKS) as step:
        report = soak_run.soak(
            lambda: LiveSegmenter(artifact, "block", threads=threads, on_result=lambda result: None),
            frames,
            lambda: step(""),
        )
    print(f"{report.done} of {report.frames} frames segmented, {report.restarts} restarts")
    for name, growth in (("host", report.host), ("worker", report.worker)):
        print(
            f"{name:<7} {growth.resident_mb:7.1f} MB resident, {growth.slope_mb:+.3f} MB per 10,000 frames after the "
            f"warm-up, {growth.handles} handles, {growth.handles_gained:+d}"
        )
    write_json(json_file, {**report.to_dict(), "passed": report.passed})
    if not report.passed:
        msg = (
            f"It grows, or frames were lost; the budget is {soak_run.GROWTH_MB:g} MB per 10,000 frames, and no handles."
        )
        raise BudgetMissed(msg)
    return 0


def split(
    artifact: Artifact,
    side: Annotated[
        list[int] | None, typer.Option(metavar="N", min=1, help="Side length of the frames in pixels; may be repeated.")
    ] = None,
    repeats: Annotated[int, typer.Option(metavar="N", min=1, help="Number of frames of each size.")] = 20,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of threads. Default: the backend chooses.")
    ] = None,
    until: Until = OBJECTS,
    json_file: Json = None,
) -> int:
    """Time each stage of a frame: preparation, inference, blending, labels, objects."""
    check_until(until)
    rows = split_run.measure(open_artifact(artifact), side or SIDES, repeats, threads, until)
    print(f"{'frame':>11} {'pre':>8} {'infer':>9} {'post':>8} {'labels':>8} {'objects':>8} {'total ms':>9}  overhead")
    for row in rows:
        size = f"{row.side}x{row.side}"
        budget = split_run.BUDGET.get(row.side)
        verdict = "" if budget is None else f" (at most {100 * budget:g} %: {'yes' if row.passed else 'no'})"
        print(
            f"{size:>11} {row.pre_ms:8.2f} {row.infer_ms:9.2f} {_cell(row.post_ms)} {_cell(row.labels_ms)} "
            f"{_cell(row.objects_ms)} {row.total_ms:9.2f}"
            f"  {100 * row.overhead:.1f} %{verdict}"
        )
    write_json(json_file, {"artifact": str(artifact), "until": until, "splits": [row.to_dict() for row in rows]})
    missed = [f"{row.side}x{row.side}" for row in rows if row.passed is False]
    if missed:
        msg = f"The overhead on {', '.join(missed)} is over its budget."
        raise BudgetMissed(msg)
    return 0


def _cell(ms: float | None) -> str:
    return f"{'-':>8}" if ms is None else f"{ms:8.2f}"


def _print_live(report: live_run.LiveReport) -> None:
    c = report.counters
    print(f"camera {report.camera} ({report.source}), policy {report.policy}, {report.backend}")
    print(
        f"acquired {report.acquired}  submitted {c['seen']}  done {c['done']}  dropped {c['dropped']}  "
        f"failed {c['failed']}  late {c['late']}  refused {report.refused}  restarts {c['restarts']}"
    )
    for name, latency in (
        ("submit", report.submit),
        ("plain copy", report.copy),
        (f"to {report.until}", report.latency),
        ("handed over", report.handover),
    ):
        print(f"{name:<12} {_ms(latency)}")
    p50, p99, most = map(_whole, (report.behind.p50, report.behind.p99, report.behind.max))
    print(f"{'behind':<12} p50 {p50}  p99 {p99}  max {most} frames were newer at the hand-over")
    for name, gap in (("without", report.without), ("attached", report.attached)):
        print(
            f"{name:<12} {gap.rate:8.3f} frames/s, interval {gap.mean_ms:.3f} ms, sd {gap.sd_ms:.3f}, "
            f"p99 {_number(gap.p99_ms)}, max {gap.max_ms:.3f}"
        )
    print(f"{report.frames_per_s:.3f} frames/s to {report.until}")
    print(f"rate with segmentation: {100 * report.rate_share:.2f} % of that without")
    if report.overflowed:
        print("the camera's own buffer overflowed: it lost frames before they could be taken")
    if report.ended:
        print(f"ended early: {report.ended}")


def _ms(latency: Latency) -> str:
    p50, p99, most = map(_number, (latency.p50, latency.p99, latency.max))
    return f"p50 {p50}  p99 {p99}  max {most} ms of {latency.count}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
