"""One self-contained HTML page over several reports: the tables, what trades for what, and how figures are spread.

Nothing is fetched from anywhere: the page can be mailed, and opened in ten years. Without scripts it shows
everything; its own script only hides what the reader filters out, which the address keeps
(`page.html#target=NAME&precision=int8`). A report is text from elsewhere: the template escapes all of it, and the
page's policy lets a browser run and load nothing but what is hashed here.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, FunctionLoader
from markupsafe import Markup

from benchmarks.answers import wording
from benchmarks.answers.choose import Choice
from benchmarks.answers.requirements import Limits, latency_of, memory_of
from benchmarks.measures.figures import ENDS, Picture
from benchmarks.page import charts
from benchmarks.page.charts import Item
from benchmarks.report import table, warnings
from benchmarks.report.absent import Absent
from benchmarks.report.report import Report
from benchmarks.report.table import Entry
from runtime import metrics

COLOURS = 6  # of Okabe and Ito's that are told apart on white; shapes repeat after as many
PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = 3  # of the worst images of a row
TEXTS = frozenset({"target", "precision", "backend", "tile", "student"})
UNTOLD = frozenset({"also fits", "does not fit", "no candidate"})  # of an answer: the table has these rows
WRAPPED = frozenset({"device", "data"})


@dataclass(frozen=True)
class Filter:
    """A choice of the page: what it is called, and its values with their texts."""

    name: str
    title: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shown:
    """A picture with its item; png is base64 of what was checked to be a PNG."""

    item: Item
    picture: Picture


def render(shown: Sequence[Entry], absent: Sequence[Absent] = (), answer: Choice | None = None) -> str:
    """The page as text. answer : that it begins with"""
    items = list_items(shown)
    head, *lines = table.cells(shown, absent)
    every_head, *every_line = table.cells(shown, wide=True)
    reports = list({id(entry.report): entry.report for entry in shown}.values())
    doubtful = warnings.of_reports(reports)
    style, script = _part("page.css"), _part("page.js")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(_part))
    return environment.get_template("page.html").render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'",
        head=_kinds(head),
        every_head=_kinds(every_head),
        every_line=list(zip(items, every_line, strict=True)),
        lines=list(zip(items, lines, strict=False)),  # without those of absent devices
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
        pictures=list(_pictures(items)),
        colours=list({item.precision: (item.colour, item.precision) for item in items}.values()),
        shapes=list({item.target: (item.shape, item.target) for item in items}.values()),
        reports=reports,
        devices=[(report, device_facts(report)) for report in reports],
    )


def list_items(shown: Sequence[Entry]) -> list[Item]:
    """The rows, numbered from 1. Colours tell precisions apart, and shapes targets."""
    precisions, targets = dict[str, int](), dict[str, int]()
    return [
        Item(
            number=number,
            entry=entry,
            label=table.printable(entry.row.name),
            where=table.printable(table.device_of(entry)),
            device=entry.report.device_id,
            target=entry.row.target,
            precision=(precision := entry.row.precision_hint or entry.row.precision),
            colour=precisions.setdefault(precision, len(precisions)) % COLOURS,
            shape=targets.setdefault(entry.row.target, len(targets)) % COLOURS,
            group=group,
        )
        for number, (entry, group) in enumerate(zip(shown, charts.groups(shown), strict=True), 1)
    ]


def list_filters(items: Sequence[Item]) -> list[Filter]:
    """By device, target and precision; a choice of one is none, and is left out."""
    every = [
        Filter("device", "Device", tuple({item.device: item.where for item in items}.items())),
        Filter("target", "Target", tuple({item.target: item.target for item in items}.items())),
        Filter("precision", "Precision", tuple({item.precision: item.precision for item in items}.items())),
    ]
    return [one for one in every if len(one.values) > 1]


def _kinds(head: Sequence[str]) -> list[tuple[str, str]]:
    """Titles, with the class that aligns what is below."""
    return [(title, "text" if title in WRAPPED else "" if title in TEXTS else "number") for title in head]


def ends_of(items: Sequence[Item]) -> str:
    """Where the timed frames end, e.g. "objects"; several, which the warnings tell, as "mask or objects"."""
    ends = {item.entry.row.until for item in items if item.entry.row.timing}
    return " or ".join(end for end in ENDS if end in ends)


def _scatters(items: Sequence[Item]) -> Iterable[charts.Scatter]:
    yield charts.scatter(
        "accuracy-latency", "Accuracy and latency", f"p50 of a frame until {ends_of(items)}", "ms", items, _latency
    )
    yield charts.scatter("accuracy-memory", "Accuracy and memory", "highest memory", "MB", items, _memory)


def _latency(entry: Entry) -> tuple[float, float, float] | None:
    """The median, and to the right how far the 95th percentile lies."""
    latency = latency_of(entry.row, Limits(percentile=50))
    tail = entry.row.timing and entry.row.timing.frame_ms.p95
    return latency and (latency.value, latency.value, max(latency.value, tail or 0.0))


def _memory(entry: Entry) -> tuple[float, float, float] | None:
    memory = memory_of(entry.row)
    return memory and (memory.value, memory.value, memory.value)


def _pictures(items: Sequence[Item]) -> Iterable[Shown]:
    for item in items:
        quality = item.entry.row.quality
        for picture in quality.worst[:PICTURES] if quality else ():
            if is_png(picture):
                yield Shown(item, picture)


def is_png(picture: Picture) -> bool:
    """Whether the text is a PNG in base64: a report from elsewhere may hold anything."""
    try:
        return base64.b64decode(picture.png, validate=True).startswith(PNG)
    except (binascii.Error, ValueError):
        return False


def _part(name: str) -> str:
    return (resources.files("benchmarks.page") / "web" / name).read_text(encoding="utf-8")


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
