"""The comparison with rivals in words: a table for each size, and what its figures are."""

from collections.abc import Sequence

from benchmarks.report.table import markdown_table
from benchmarks.rivals.record import NetworkResult, RivalComparison


def to_markdown(comparison: RivalComparison) -> str:
    """A table for each size; below them what was measured, and on what."""
    tables = [_of_size(comparison, side) for side in comparison.sides]
    return "\n\n".join([*tables, "\n".join(f"- {note}" for note in notes(comparison))]) + "\n"


def _of_size(comparison: RivalComparison, side: int) -> str:
    """Ours first; then how many times as long as ours each takes, a column per student and what it does."""
    rows = comparison.of_size(side)
    to = [title for student in comparison.students for title in _references(rows, student)]
    head = [f"{side}x{side}", "ms", *(f"times {title}" for title in to), "peak MB"]
    lines = [_line(row, to) for row in rows]
    return "\n".join(markdown_table(head, lines, [column > 0 for column in range(len(head))]))


def _references(rows: Sequence[NetworkResult], student: str) -> list[str]:
    """A student's network, and its whole frame with the tile that makes it quickest."""
    own = [row for row in rows if row.student == student]
    network = [row.title for row in own if not row.is_whole_frame]
    frames = [row for row in own if row.is_whole_frame and row.ms is not None]
    return [*network, *([min(frames, key=lambda row: row.ms or 0.0).title] if frames else [])]


def _line(row: NetworkResult, to: Sequence[str]) -> list[str]:
    if row.ms is None or row.peak_mb is None:
        return [row.title, *["-"] * (len(to) + 2)]
    ratios = [f"{row.ratios[title]:.1f}x" if title in row.ratios else "-" for title in to]
    return [row.title, f"{row.ms:.0f}" if row.ms >= 10 else f"{row.ms:.1f}", *ratios, f"{row.peak_mb:.0f}"]


def notes(comparison: RivalComparison) -> list[str]:
    """What the tables' figures are, and what is missing from them."""
    device = comparison.device
    lines = [
        "The network alone, from a normalised frame to its raw output; the rivals' weights are untrained: how long a "
        "network takes does not depend on them.",
        f"Medians on {device.cpu}, {device.usable_cores} cores, {comparison.threads} thread"
        f"{'s' * (comparison.threads != 1)} each, {device.os}; {comparison.rounds} interleaved rounds, a fresh process "
        "each; ratios are paired by round; peak MB is of that process, with Python and its libraries.",
    ]
    if any(row.is_whole_frame for row in comparison.results):
        lines.insert(
            1,
            "Whole frame: from the bytes of an uncompressed uint16 TIFF in memory to the binary mask: decoded, "
            "normalised, segmented, thresholded.",
        )
    lines += _networks(comparison)
    lines += [
        f"{item.title} at {item.side}x{item.side} was not measured: {item.not_measured}"
        for item in comparison.results
        if item.not_measured
    ]
    return [*lines, *(f"Doubtful: {reason}" for reason in (*device.warnings, *comparison.noise.reasons))]


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
