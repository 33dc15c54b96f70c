"""The search as Markdown: what each candidate costs on each backend, what one change does, and what limits whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.search.timing import LABELS, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tools.search.flow import Search, SearchRow

TILE = 256  # pixels: what multiply-adds are counted for


def to_markdown(found: Search, command: str) -> str:
    """The whole page."""
    lines = [
        "# The search for an architecture",
        "",
        f"By `{command}`.",
        "",
        found.hardware,
        "",
        *_protocol(found),
        "",
        "## The candidates",
        "",
        *_overview(found),
        "",
        *_refusals(found),
    ]
    for target in found.targets:
        lines += [f"## {LABELS.get(target, target)}", "", *_backend(found, target), "", *_lessons(found, target)]
    if found.plan.changes:
        lines += ["## One change at a time", "", *_changes(found), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _protocol(found: Search) -> Iterator[str]:
    timed = found.plan.timing
    yield (
        f"Random weights (seed {timed.seed}), for the time of a network does not depend on them; scales observed on "
        f"random tiles. A tile of {timed.tile}x{timed.tile} pixels, all candidates in turns: {timed.rounds} rounds, "
        f"each one tile that is not timed and {timed.repeats} that are; the median of the rounds' medians. int8 and "
        "fp32 are paired by round. OpenVINO has its precision hint pinned to f32, LiteRT one thread, and a jetson "
        "bundle is run by onnxruntime with its own optimisations, which says nothing of a Jetson."
    )
    if spreads := sorted(found.spreads):
        middle, worst = spreads[len(spreads) // 2], spreads[-1]
        yield ""
        yield (
            f"Noise: the middle half of the rounds lies within {100 * middle:.1f} % of its median for the typical "
            f"figure, and within {100 * worst:.1f} % for the worst."
        )


def _overview(found: Search) -> Iterator[str]:
    worth = ("Dice", "AP at 0.5") if any(row.dice is not None for row in found.rows) else ()
    heads = [
        "name", "family", "encoder", "decoder", "head stride", "M parameters", "GMAC",
        *(f"{LABELS.get(target, target)}, int8 ms" for target in found.targets), *worth,
    ]  # fmt: skip
    yield from _head(heads, text=4)
    for row in found.rows:
        spec = row.candidate.spec
        decoder = "-".join(map(str, spec.decoder)) + (", separable" if spec.separable else "")
        encoder = "-".join(map(str, spec.encoder)) or ("its own, gates" if spec.squeeze_excite else "its own")
        cells = [
            spec.name, spec.family, encoder, decoder, str(spec.head_stride), _cell(row.candidate.parameters_m, 2),
            _cell(row.candidate.gmac, 3), *(_cell(row.ms(target, "int8"), 2) for target in found.targets),
            *((_cell(row.dice, 4), _cell(row.ap50, 3)) if worth else ()),
        ]  # fmt: skip
        yield _line(cells)
    yield ""
    yield (
        f'GMAC: 10^9 multiply-adds of {TILE}x{TILE} pixels. "Its own": the family decides about the encoder\'s widths; '
        "gates: with squeeze-excite."
    )
    if worth:
        yield "Dice and AP: int8, of the validation images that a trained student carries; a dash was not trained."


def _refusals(found: Search) -> Iterator[str]:
    said = [f"- {row.candidate.spec.name}: {reason}" for row in found.rows for reason in _reasons(row)]
    if said:
        yield from ("Refused:", "", *said, "")


def _reasons(row: SearchRow) -> Iterator[str]:
    if row.candidate.refused:
        yield row.candidate.refused
    for made in row.candidate.made:
        if made.refused:
            yield f"{made.target}, {made.precision}: {made.refused}"


def _backend(found: Search, target: str) -> Iterator[str]:
    yield from _head(["name", "int8 ms", "fp32 ms", "fp32 / int8", "int8 GMAC/s", "int8 convolutions"], text=1)
    for row in found.rows:
        int8 = row.made(target, "int8")
        counted = "-" if int8 is None or int8.int8 is None else f"{int8.int8}/{int8.convolutions}"
        cells = [
            row.candidate.spec.name, _cell(row.ms(target, "int8"), 2), _cell(row.ms(target, "fp32"), 2),
            _cell(row.gain(target), 2), _cell(row.rate(target, found.plan.timing.tile), 0), counted,
        ]  # fmt: skip
        yield _line(cells)


def _lessons(found: Search, target: str) -> Iterator[str]:
    """The ends of the columns in words: the fastest, the limits of counting multiply-adds, and the gain of int8."""
    tile = found.plan.timing.tile
    told = [
        ("Fastest in int8", "{:.2f} ms", lambda row: row.ms(target, "int8"), "Slowest", False),
        ("Most multiply-adds a second", "{:.0f} GMAC/s", lambda row: row.rate(target, tile), "Fewest", True),
        ("int8 gains most over fp32", "{:.2f}x", lambda row: row.gain(target), "Least", True),
    ]
    ends = [said for title, form, of, other, most in told for said in _ends(found.rows, title, form, of, other, most)]
    if ends:
        yield from (*ends, "")


def _ends(
    rows: Sequence[SearchRow], title: str, form: str, of: Callable[[SearchRow], float | None], other: str, most: bool
) -> Iterator[str]:
    known = sorted(((value, row.candidate.spec.name) for row in rows if (value := of(row)) is not None), reverse=most)
    if known:
        (first, best), (last, worst) = known[0], known[-1]
        yield f"- {title}: {best} ({form.format(first)}). {other}: {worst} ({form.format(last)})."


def _changes(found: Search) -> Iterator[str]:
    yield from _head(
        ["what changes", "from", "to", "multiply-adds", *(LABELS.get(name, name) for name in found.targets)], text=3
    )
    rows = {row.candidate.spec.name: row for row in found.rows}
    for change in found.plan.changes:
        before, after = rows[change.before], rows[change.after]
        cells = [change.what, change.before, change.after, _factor(before.candidate.gmac, after.candidate.gmac)]
        yield _line([*cells, *(_time(before, after, target) for target in found.targets)])
    yield ""
    yield "How many times as much as before, in int8; under 1 is less. Times are paired by round."


def _factor(before: float | None, after: float | None) -> str:
    return "-" if not before or not after else f"{after / before:.2f}x"


def _time(before: SearchRow, after: SearchRow, target: str) -> str:
    one, other = before.latency.get((target, "int8")), after.latency.get((target, "int8"))
    return "-" if one is None or other is None else f"{ratio(other, one):.2f}x"


def _head(heads: Sequence[str], text: int) -> Iterator[str]:
    yield _line(heads)
    yield f"|{'---|' * text}{'---:|' * (len(heads) - text)}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
