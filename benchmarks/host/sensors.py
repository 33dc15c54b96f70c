"""Temperatures, clocks, power and throttling while something runs, where the system's files tell them.

A sensor that is not there, or that this user may not read, does not exist; nothing is estimated in its stead.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic

from benchmarks.host.machine import CPUS, Machine
from runtime.records import Record

RAPL = "sys/class/powercap"
JETSON_RAIL = "VDD_IN"  # what the whole module takes
MICRO, MILLI = 1e-6, 1e-3


@dataclass(frozen=True)
class Trace(Record):
    """One sensor over time: its name, the unit ("MHz", "°C", "W"), seconds from the start, and the readings."""

    sensor: str
    unit: str
    at_s: tuple[float, ...]
    values: tuple[float, ...]


class Rapl:
    """Energy of all processor packages, as Intel's and AMD's processors count it (Linux's powercap)."""

    name = "RAPL"

    def __init__(self, machine: Machine, zones: list[str]) -> None:
        self._machine = machine
        self._zones = zones
        self._last = self._read()
        self._joules = 0.0

    def joules(self) -> float:
        """Since it was made; ask at least every minute, since the counters start again from 0."""
        now = self._read()
        for zone, value in now.items():
            gone = value - self._last.get(zone, value)
            if gone < 0:
                gone += self._machine.number(f"{zone}/max_energy_range_uj") or 0.0
            self._joules += max(0.0, gone) * MICRO
        self._last = now
        return self._joules

    def _read(self) -> dict[str, float]:
        values = {zone: self._machine.number(f"{zone}/energy_uj") for zone in self._zones}
        return {zone: value for zone, value in values.items() if value is not None}


class Rail:
    """Power on one rail, as a Jetson's INA3221 measures it: volts times amperes, summed up over time."""

    name = f"Jetson {JETSON_RAIL}"

    def __init__(self, machine: Machine, volts: str, amperes: str) -> None:
        self._machine = machine
        self._volts, self._amperes = volts, amperes
        self._joules = 0.0
        self._at, self._power = monotonic(), self.watts()

    def watts(self) -> float:
        """Now."""
        volts, amperes = (self._machine.number(path) or 0.0 for path in (self._volts, self._amperes))
        return volts * MILLI * amperes * MILLI

    def joules(self) -> float:
        """Since it was made, by the trapezoid between two calls: ask often."""
        now, power = monotonic(), self.watts()
        self._joules += (now - self._at) * (self._power + power) / 2
        self._at, self._power = now, power
        return self._joules


def meter(machine: Machine) -> Rapl | Rail | None:
    """What counts the machine's energy; None where nothing does, or this user may not read it."""
    for path in machine.glob("sys/class/hwmon/hwmon[0-9]*/in[0-9]*_label"):
        if machine.text(machine.relative(path)) == JETSON_RAIL:
            folder, number = machine.relative(path.parent), re.sub(r"\D", "", path.name)
            return Rail(machine, f"{folder}/in{number}_input", f"{folder}/curr{number}_input")
    zones = [machine.relative(path) for path in machine.glob(f"{RAPL}/intel-rapl:[0-9]*")]
    packages = [zone for zone in zones if zone.count(":") == 1 and "package" in (machine.text(f"{zone}/name") or "")]
    readable = [zone for zone in packages if machine.number(f"{zone}/energy_uj") is not None]
    return Rapl(machine, readable) if readable else None


@dataclass
class Recorder:
    """Reads every sensor at most once a second, when it is called between two frames."""

    machine: Machine
    every_s: float = 1.0
    _at: list[float] = field(default_factory=list)
    _values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    _throttled: dict[str, None] = field(default_factory=dict)  # a set that keeps its order

    def __post_init__(self) -> None:
        self._start = self._due = monotonic()
        self._meter = meter(self.machine)
        self._joules, self._joules_at = 0.0, self._start
        self._counts = self._throttle_counts()

    def look(self) -> None:
        """Read, if it is time."""
        now = monotonic()
        if now < self._due:
            return
        self._due = now + self.every_s
        self._at.append(now - self._start)
        for name, unit, value in self._readings(now):
            self._values.setdefault((name, unit), []).append(value)
        for flag in self.machine.throttled() or ():
            if flag.endswith(" now"):
                self._throttled[flag] = None

    def traces(self) -> tuple[Trace, ...]:
        """Each sensor that could be read every time."""
        at = tuple(self._at)
        return tuple(
            Trace(name, unit, at[-len(values) :], tuple(values))
            for (name, unit), values in self._values.items()
            if len(at) - 1 <= len(values) <= len(at)  # power needs two looks for its first value
        )

    def throttled(self) -> tuple[str, ...]:
        """What the machine said about throttling since the start."""
        counts = self._throttle_counts()
        more = {name: count - self._counts.get(name, count) for name, count in counts.items()}
        return (*self._throttled, *(f"{name}: {int(count)} times" for name, count in more.items() if count > 0))

    def _readings(self, now: float) -> Iterator[tuple[str, str, float]]:
        if (clock := self.machine.clock_mhz()) is not None:
            yield "processor", "MHz", clock
        for name, celsius in temperatures(self.machine):
            yield name, "\u00b0C", celsius
        if self._meter:
            joules = self._meter.joules()
            if now > self._joules_at:
                yield self._meter.name, "W", (joules - self._joules) / (now - self._joules_at)
            self._joules, self._joules_at = joules, now

    def _throttle_counts(self) -> dict[str, float]:
        """Of Intel's processors: how often each kind of throttling began, on the first core."""
        folder = f"{CPUS}/cpu0/thermal_throttle"
        names = ("core_throttle_count", "package_throttle_count")
        counts = {name: self.machine.number(f"{folder}/{name}") for name in names}
        return {name.removesuffix("_count"): count for name, count in counts.items() if count is not None}


def temperatures(machine: Machine) -> Iterator[tuple[str, float]]:
    """Each sensor's name and degrees Celsius: first the thermal zones, then other sensors of hwmon."""
    seen: set[str] = set()
    for path in machine.glob("sys/class/thermal/thermal_zone[0-9]*"):
        zone = machine.relative(path)
        yield from _named(seen, machine.text(f"{zone}/type"), machine.number(f"{zone}/temp"))
    for path in machine.glob("sys/class/hwmon/hwmon[0-9]*/temp[0-9]*_input"):
        folder, number = machine.relative(path.parent), re.sub(r"\D", "", path.name)
        chip, label = machine.text(f"{folder}/name"), machine.text(f"{folder}/temp{number}_label")
        name = " ".join(filter(None, (chip, label)))
        if chip not in seen:
            yield from _named(seen, name, machine.number(machine.relative(path)))


def _named(seen: set[str], name: str | None, millidegrees: float | None) -> Iterator[tuple[str, float]]:
    """A sensor under a name of its own. Zones that are switched off give no number, or absurd ones."""
    if not name or millidegrees is None or not -40_000 < millidegrees < 200_000:
        return
    count = sum(other == name or other.startswith(f"{name} #") for other in seen)
    unique = name if not count else f"{name} #{count + 1}"
    seen.add(unique)
    yield unique, millidegrees * MILLI
