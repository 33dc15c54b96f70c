"""One self-contained HTML page over several reports: the tables, what trades for what, and how figures are spread.

Nothing is fetched from anywhere: the page can be mailed, and opened in ten years. Without scripts it shows
everything; its own script only hides what the reader filters out, which the address keeps
(`page.html#target=NAME&precision=int8`). A report is text from elsewhere: the template escapes all of it, and the
page's policy lets a browser run and load nothing but what is hashed here.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader
from markupsafe import Markup

from benchmarks.answers import wording
from benchmarks.answers.choose import Choice, shortened
from benchmarks.answers.requirements import Limits, latency_of, memory_of
from benchmarks.measures.figures import ENDS, Picture
from benchmarks.page import charts
from benchmarks.page.charts import Item
from benchmarks.report import table, warnings
from benchmarks.report.absent import Absent
from benchmarks.report.report import Report
from benchmarks.report.table import TableEntry
from runtime import metrics

COLOURS, FILLS = 6, 3  # of Okabe and Ito's that are told apart on white; marks repeat after as many
CROWD = 40  # rows: beyond them charts are closed until they are opened, and only the front is numbered
PNG = b"\x89PNG\r\n\x1a\n"
PICTURES, MOST_PICTURES = 3, 24  # of the worst images of a row, and of all
UNTOLD = frozenset({wording.ALSO, wording.MISSES, wording.NOT_CONSIDERED})  # of an answer: the table has these rows


@dataclass(frozen=True)
class Filter:
    """A choice of the page: what it is called, and its values with their texts."""

    name: str
    title: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shown:
    """A picture with the row that it is of, and all rows that have this image among their worst.

    picture.png is base64 of what was checked to be a PNG"""

    item: Item
    picture: Picture
    items: tuple[Item, ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """What the runtime found odd about the image."""
        quality = self.item.entry.row.quality
        images = quality.images if quality else ()
        return next((image.flags for image in images if image.name == self.picture.image), ())


def render(shown: Sequence[TableEntry], absent: Sequence[Absent] = (), answer: Choice | None = None) -> str:
    """The page as text. answer : that it begins with"""
    items = list_items(shown)
    every = table.columns_of_all(shown)
    reports = table.reports_of(shown)
    doubtful = warnings.of_reports(reports)
    style, script = _part("page.css"), _part("page.js")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(_part))
    return environment.get_template("page.html").render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'",
        rows=key_rows(items, shown),
        every=[(item, [(column.title, column.cell(item.entry)) for column in every]) for item in items],
        csv="data:text/csv;charset=utf-8," + quote("\ufeff" + table.to_csv(shown, absent).replace("\n", "\r\n")),
        crowded=len(items) > CROWD,
        absent=absent,
        notes=[note for note in table.notes(shown, absent) if note not in doubtful],
        doubts=list(dict.fromkeys([*(wording.doubts(answer) if answer else ()), *doubtful])),
        verdict=[one for one in wording.statements(answer) if one.label not in UNTOLD] if answer else [],
        filters=list_filters(items),
        scatters=[chart for chart in _scatters(items) if chart.points],
        latencies=charts.latencies(items),
        ends=ends_of(items),
        stages=charts.stages(items),
        stage_names=[name for _, name in charts.STAGES],
        scores=charts.scores(items),
        metric=metrics.load(metrics.HEADLINES[0]).title,
        endurance=charts.endurance(items),
        pictures=list_pictures(items),
        legend=legend(items),
        reports=reports,
        devices=[(name, device_facts(report)) for report, name in _machines(shown)],
    )


ASPECTS = ("device", "data", "student", "target", "precision", "threads")  # the page's filters, in their order
ENCODED = ("device", "threads", "precision", "target", "student")  # by colour, shape and filling, as far as they differ
WAYS = (COLOURS, COLOURS, FILLS)


def list_items(shown: Sequence[TableEntry]) -> list[Item]:
    """The rows, numbered from 1. Colour, shape and filling stand for what differs; see `legend`."""
    facts = [_facts(entry) for entry in shown]
    varying = [name for name in ASPECTS if len({one[name] for one in facts}) > 1]
    encoded = encoding(facts)
    values = {name: list(dict.fromkeys(one[name] for one in facts)) for name in ENCODED}
    marks = [
        [values[name].index(one[name]) % most if name else 0 for name, most in zip(encoded, WAYS, strict=True)]
        for one in facts
    ]
    in_name = {"student", "target", "precision"}
    return [
        Item(
            number=number,
            entry=entry,
            label=table.printable(entry.row.name),
            where=", ".join(_in_words(name, one[name]) for name in varying if name not in in_name),
            facts=one,
            colour=colour,
            shape=shape,
            fill=fill,
            group=group,
        )
        for number, (entry, one, (colour, shape, fill), group) in enumerate(
            zip(shown, facts, marks, charts.groups(shown), strict=True), 1
        )
    ]


def _facts(entry: TableEntry) -> dict[str, str]:
    row = entry.row
    facts = {
        "device": table.device_of(entry),
        "data": shortened(entry.report.data.spec),
        "student": row.student,
        "target": row.target,
        "precision": row.precision_hint or row.precision,
        "threads": "any" if row.threads is None else str(row.threads),
    }
    return {name: table.printable(value) for name, value in facts.items()}


def _in_words(name: str, value: str) -> str:
    return f"{value} thread{'' if value == '1' else 's'}" if name == "threads" else value


def encoding(facts: Sequence[Mapping[str, str]]) -> tuple[str, str, str]:
    """What colour, shape and filling stand for: the first that differ; "" for nothing."""
    differing = [name for name in ENCODED if len({one[name] for one in facts}) > 1]
    others = [name for name in ("precision", "target") if name not in differing]
    chosen = [*differing, *others, "", "", ""]
    return chosen[0], chosen[1], chosen[2] if chosen[2] in differing else ""


def legend(items: Sequence[Item]) -> list[tuple[str, int, int, int, str]]:
    """What each mark stands for: which way of marking, colour, shape, fill, and the text."""
    colour, shape, fill = encoding([item.facts for item in items])
    entries: dict[tuple[str, str], tuple[str, int, int, int, str]] = {}
    for item in items:
        for way, name in (("colour", colour), ("shape", shape), ("fill", fill)):
            if name:
                text = _in_words(name, item.facts[name])
                entries.setdefault((way, text), (way, item.colour, item.shape, item.fill, text))
    return sorted(entries.values(), key=lambda one: ("colour", "shape", "fill").index(one[0]))


def list_filters(items: Sequence[Item]) -> list[Filter]:
    """By what the rows differ in; a choice of one is none, and is left out."""
    every = [
        Filter(name, name.capitalize(), tuple((value, value) for value in dict.fromkeys(i.facts[name] for i in items)))
        for name in ASPECTS
    ]
    return [one for one in every if len(one.values) > 1]


@dataclass(frozen=True)
class KeyCell:
    """A figure in the first table: its title, its text, and the number by which rows are sorted; "" for none."""

    title: str
    text: str
    sort: str


def key_rows(items: Sequence[Item], shown: Sequence[TableEntry]) -> list[tuple[Item, str, list[KeyCell]]]:
    """Each row with what it is, in words, and the figures that matter."""
    chosen = table.key_columns(shown)
    return [(item, _identity(item), [_key_cell(column, item.entry) for column in chosen]) for item in items]


def _key_cell(column: table.Column, entry: TableEntry) -> KeyCell:
    value = column.value(entry)
    return KeyCell(column.title, column.cell(entry), f"{value:.10g}" if isinstance(value, (int, float)) else "")


def _identity(item: Item) -> str:
    """E.g. "int8, openvino, tiles of 256x256, 2 threads"; what differs from row to row is in `where`."""
    entry = item.entry
    words = [table.precision_of(entry), table.backend_of(entry), f"tiles of {table.tile_of(entry.row)}"]
    return table.printable(", ".join([*words, *filter(None, [item.where])]))


def ends_of(items: Sequence[Item]) -> str:
    """Where the timed frames end, e.g. "objects"; several, which the warnings tell, as "mask or objects"."""
    ends = {item.entry.row.until for item in items if item.entry.row.timing}
    return " or ".join(end for end in ENDS if end in ends)


def _scatters(items: Sequence[Item]) -> Iterable[charts.Scatter]:
    yield charts.scatter(
        "accuracy-latency", "Accuracy and latency", f"p50 of a frame until {ends_of(items)}", "ms", items, _latency
    )
    yield charts.scatter("accuracy-memory", "Accuracy and memory", "highest memory", "MB", items, _memory)


def _latency(entry: TableEntry) -> tuple[float, float, float] | None:
    """The median, and to the right how far the 95th percentile lies."""
    latency = latency_of(entry.row, Limits(percentile=50))
    tail = entry.row.timing and entry.row.timing.frame_ms.p95
    return latency and (latency.value, latency.value, max(latency.value, tail or 0.0))


def _memory(entry: TableEntry) -> tuple[float, float, float] | None:
    memory = memory_of(entry.row)
    return memory and (memory.value, memory.value, memory.value)


def list_pictures(items: Sequence[Item]) -> list[Shown]:
    """Each image once, of the row that is worst on it, with all rows that it is among the worst of; the worst first."""
    found: dict[tuple[int, str], list[tuple[Item, Picture]]] = {}
    for item in items:
        quality = item.entry.row.quality
        for picture in quality.worst[:PICTURES] if quality else ():
            if is_png(picture):
                found.setdefault((item.group, picture.image), []).append((item, picture))
    best_is_high = metrics.load(metrics.HEADLINES[0]).better == "higher"
    shown = [
        Shown(*min(rows, key=lambda pair: pair[1].score if best_is_high else -pair[1].score), tuple(i for i, _ in rows))
        for rows in found.values()
    ]
    order = sorted(shown, key=lambda one: one.picture.score, reverse=not best_is_high)
    return order[:MOST_PICTURES]


def is_png(picture: Picture) -> bool:
    """Whether the text is a PNG in base64: a report from elsewhere may hold anything."""
    try:
        return base64.b64decode(picture.png, validate=True).startswith(PNG)
    except (binascii.Error, ValueError):
        return False


def _part(name: str) -> str:
    return (resources.files("benchmarks.page") / "web" / name).read_text(encoding="utf-8")


def _machines(shown: Sequence[TableEntry]) -> list[tuple[Report, str]]:
    """The reports with the names of their machines, as the rows have them."""
    return list({id(entry.report): (entry.report, table.printable(table.device_of(entry))) for entry in shown}.values())


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def device_facts(report: Report) -> list[tuple[str, str]]:
    """What a figure was measured on: names and values, without what is not known."""
    device, clocks, jetson, noise = report.device, report.device.clocks, report.device.jetson, report.noise
    facts = {
        "id": report.device_id,
        "held back": report.constrained and report.constrained.label,
        "board": device.board,
        "processor": device.cpu,
        "cores": f"{device.usable_cores} usable of {device.cores}",
        "instruction sets": ", ".join(device.isa) or None,
        "memory": f"{device.memory_mb / 1000:.0f} GB",
        "clocks": clocks and _clocks(clocks.governor, clocks.min_mhz, clocks.max_mhz),
        "power mode": jetson and jetson.nvpmodel,
        "JetPack": jetson and jetson.jetpack,
        "system": ", ".join(filter(None, (device.distribution, device.os))),
        "container": device.container and device.container.name,
        "virtual machine": device.virtual_machine and device.virtual_machine.name,
        "libraries": ", ".join(f"{name} {version}" for name, version in {**device.versions, **device.drivers}.items()),
        "quiet": noise and ("no" if noise.is_noisy else "yes"),
        "measured": f"{report.created} with edgescope {report.edgescope}, Python {device.python}",
        "data": f"{report.data.images} images of {report.data.spec}",
    }
    return [(name, table.printable(value)) for name, value in facts.items() if value]


def _clocks(governor: str | None, low: float | None, high: float | None) -> str | None:
    span = f"{low:.0f} to {high:.0f} MHz" if low and high else None
    return ", ".join(filter(None, (governor, span))) or None
