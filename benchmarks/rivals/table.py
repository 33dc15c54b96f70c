"""The comparison with rivals in words: a table for each size, and what its figures are."""

from collections.abc import Mapping, Sequence

from benchmarks.report.table import markdown_table
from benchmarks.rivals.network import LABELS, NETWORK, OBJECTS, STAGES
from benchmarks.rivals.record import NetworkResult, RivalComparison


def to_markdown(comparison: RivalComparison) -> str:
    """A table for each size; below them what was measured, and on what."""
    tables = [_of_size(comparison, side) for side in comparison.sides]
    return "\n\n".join([*tables, "\n".join(f"- {note}" for note in notes(comparison))]) + "\n"


def _of_size(comparison: RivalComparison, side: int) -> str:
    """The stages, the whole, and how many times as long as each student's quickest row; ours first."""
    rows = comparison.of_size(side)
    stages = [stage for stage in STAGES if any(stage in row.stages for row in rows)]
    to = [title for student in comparison.students for title in _quickest(rows, student)]
    last = [f"times {title}" for title in to] if comparison.until != NETWORK else []
    head = [
        f"{side}x{side}",
        *stages,
        "ms",
        *last,
        *(f"network: times {title}" for title in to),
        "CPU ms",
        "count",
        "peak MB",
    ]
    lines = [_line(row, stages, to, bool(last)) for row in rows]
    return "\n".join(markdown_table(head, lines, [column > 0 for column in range(len(head))]))


def _quickest(rows: Sequence[NetworkResult], student: str) -> list[str]:
    """A student with the tile that makes it quickest."""
    own = [row for row in rows if row.student == student and row.ms is not None]
    return [min(own, key=lambda row: row.ms or 0.0).title] if own else []


def _line(row: NetworkResult, stages: Sequence[str], to: Sequence[str], has_more: bool) -> list[str]:
    ratios = [
        *(_times(row.ratios, title) for title in to if has_more),
        *(_times(row.network_ratios, title) for title in to),
    ]
    ms = [_ms(row.stages.get(stage)) for stage in stages]
    count = "-" if row.objects is None else str(row.objects)
    return [
        row.title,
        *ms,
        _ms(row.ms),
        *ratios,
        _ms(row.cpu_ms),
        count,
        "-" if row.peak_mb is None else f"{row.peak_mb:.0f}",
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _times(ratios: Mapping[str, float], title: str) -> str:
    return f"{ratios[title]:.1f}x" if title in ratios else "-"


ENDINGS = {
    NETWORK: "A frame ends with the network's raw output.",
    LABELS: "A frame ends with its label image.",
    OBJECTS: "A frame ends with its label image and a row of measures for each object.",
}


def notes(comparison: RivalComparison) -> list[str]:
    """What the tables' figures are, and what is missing from them."""
    device = comparison.device
    lines = [
        f"From the frame, uint16 in memory, {comparison.data}; medians in milliseconds. {ENDINGS[comparison.until]} "
        "pre: checks, normalisation, tiles; each with its own package's functions.",
        "The rivals' weights are untrained, as the time of a network does not depend on them.",
        f"Medians on {device.cpu}, {device.usable_cores} cores, {comparison.threads} thread"
        f"{'s' * (comparison.threads != 1)} each, {device.os}; {comparison.rounds} interleaved rounds, a fresh process "
        "each; ratios are paired by round; CPU ms is the time of all cores for a frame; peak MB is of that process, "
        "with Python and its libraries.",
    ]
    if comparison.until != NETWORK:
        counts = ", ".join(f"{count} in {side}x{side}" for side, count in comparison.truth.items())
        lines[2:2] = [
            "labels: ours from the student's own maps; the rivals' by their packages' own post-processing, from the "
            "maps that their own training targets give for the frame's true labels, after the network has run and its "
            f"output was put aside. count: the objects that result; true ones: {counts}.",
        ]
    if comparison.until == OBJECTS:
        lines[3:3] = [
            "objects, in milliseconds: ours; the rivals' by regionprops_table of scikit-image, with the same columns."
        ]
    lines += _networks(comparison)
    lines += [
        f"{item.title} at {item.side}x{item.side} was not measured: {item.not_measured}"
        for item in comparison.results
        if item.not_measured
    ]
    return [*lines, *(f"Warning: {reason}" for reason in (*device.warnings, *comparison.noise.reasons))]


def _networks(comparison: RivalComparison) -> list[str]:
    """What each row is, exactly, with the versions of what ran: from a row that did run, where there is one."""
    described: dict[str, str] = {}
    for item in sorted(comparison.results, key=lambda item: not item.answers):
        versions = dict(item.answers[0].versions) if item.answers else {}
        shown = ", ".join(f"{name} {version}" for name, version in versions.items())
        name = item.student or item.title
        described.setdefault(name, f"{name}: {item.description}{f' ({shown})' * bool(shown)}.")
    order = dict.fromkeys(item.student or item.title for item in comparison.results)
    return [described[name] for name in order]
