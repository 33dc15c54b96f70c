"""The comparison with rivals in words: a table for each size, and what its figures are."""

from collections.abc import Sequence

from .rivals_record import Comparison, Result


def to_markdown(found: Comparison) -> str:
    """A table for each size; below them what was measured, and on what."""
    tables = [_of_size(found, side) for side in found.sides]
    return "\n\n".join([*tables, "\n".join(f"- {note}" for note in notes(found))]) + "\n"


def _of_size(found: Comparison, side: int) -> str:
    """Ours first; then how many times as long as ours each takes, a column per student and what it does."""
    rows = found.of_size(side)
    to = [title for student in found.students for title in _references(rows, student)]
    head = [f"{side}x{side}", "ms", *(f"times {title}" for title in to), "peak MB"]
    lines = [_line(row, to) for row in rows]
    return "\n".join([_joined(head), "|---|" + "---:|" * (len(head) - 1), *map(_joined, lines)])


def _joined(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _references(rows: Sequence[Result], student: str) -> list[str]:
    """A student's network, and its whole frame with the tile that makes it quickest."""
    own = [row for row in rows if row.student == student]
    network = [row.title for row in own if not row.is_whole_frame]
    frames = [row for row in own if row.is_whole_frame and row.ms is not None]
    return [*network, *([min(frames, key=lambda row: row.ms or 0.0).title] if frames else [])]


def _line(row: Result, to: Sequence[str]) -> list[str]:
    if row.ms is None or row.peak_mb is None:
        return [row.title, *["-"] * (len(to) + 2)]
    ratios = [f"{row.ratios[title]:.1f}x" if title in row.ratios else "-" for title in to]
    return [row.title, f"{row.ms:.0f}" if row.ms >= 10 else f"{row.ms:.1f}", *ratios, f"{row.peak_mb:.0f}"]


def notes(found: Comparison) -> list[str]:
    """What the tables' figures are, and what is missing from them."""
    device = found.device
    said = [
        "The network alone, from a normalised frame to its raw output; the rivals' weights are untrained: how long a "
        "network takes does not depend on them.",
        f"Medians on {device.cpu}, {device.usable_cores} cores, {found.threads} thread"
        f"{'s' * (found.threads != 1)} each, {device.os}; {found.rounds} interleaved rounds, a fresh process each; "
        "ratios are paired by round; peak MB is of that process, with Python and its libraries.",
    ]
    if any(row.is_whole_frame for row in found.results):
        said.insert(
            1,
            "Whole frame: from the bytes of an uncompressed uint16 TIFF in memory to the binary mask: decoded, "
            "normalised, segmented, thresholded.",
        )
    said += _networks(found)
    said += [
        f"{item.title} at {item.side}x{item.side} was not measured: {item.not_measured}"
        for item in found.results
        if item.not_measured
    ]
    doubts = (*device.warnings, *(found.noise.reasons if found.noise else ()))
    return [*said, *(f"Doubtful: {reason}" for reason in doubts)]


def _networks(found: Comparison) -> list[str]:
    """What each row is, exactly, with the versions of what ran: from a row that did run, where there is one."""
    described: dict[str, str] = {}
    for item in sorted(found.results, key=lambda item: not item.answers):
        versions = dict(item.answers[0].versions) if item.answers else {}
        shown = ", ".join(f"{name} {version}" for name, version in versions.items())
        name = item.student or item.title
        described.setdefault(name, f"{name}: {item.description}{f' ({shown})' * bool(shown)}.")
    order = dict.fromkeys(item.student or item.title for item in found.results)
    return [described[name] for name in order]
