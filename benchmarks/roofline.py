"""How near a network comes to what this machine can do: its multiply-adds per second beside those of bare convolutions.

The roof is the rate of the quickest single convolution that OpenVINO runs here in INT8, or in fp32: no network of
convolutions gets beyond it, whatever its kernels are, and only fewer multiply-adds make it quicker then. Layers and
artefacts are compiled with the settings of `runtime.backends.openvino` and take turns, so that whatever disturbs a
shared machine disturbs all of them alike; shares are paired by round. The roofline model is Williams, Waterman and
Patterson's (Communications of the ACM, 2009).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from runtime import __version__, extras
from runtime import backend as backends
from runtime.artifact import Artifact
from runtime.backends.openvino import load_openvino, settings
from runtime.errors import EdgescopeError, InputError
from runtime.manifest import Manifest
from runtime.records import Record, parse_json

from . import roofline_layers as layers
from .device import Device
from .fingerprint import fingerprint
from .latency import timed
from .noise import Noise, calibrate, judge
from .roofline_layers import LAYERS, Kernel, Layer, Precision
from .table import short_name

SCHEMA_VERSION = 1
PRECISIONS: tuple[Precision, ...] = ("int8", "fp32")
GIGA = 1e9


@dataclass(frozen=True)
class Plan:
    """What the caller asked for. threads : None leaves their number to OpenVINO; repeats : runs per round of each."""

    threads: int | None = None
    rounds: int = 5
    repeats: int = 20
    layers: tuple[Layer, ...] = LAYERS


@dataclass(frozen=True)
class Rate(Record):
    """How quickly something runs.

    gmac : 10^9 multiply-adds of one run; rounds_ms : the median of each round; ms : their median; gmac_per_s : at that
    """

    gmac: float
    rounds_ms: tuple[float, ...]
    ms: float
    gmac_per_s: float

    @classmethod
    def of(cls, multiply_adds: int, rounds_ms: Sequence[float]) -> "Rate":
        """From the medians of the rounds."""
        gmac, ms = multiply_adds / GIGA, median(rounds_ms)
        return cls(gmac, tuple(rounds_ms), ms, 1e3 * gmac / ms)


@dataclass(frozen=True)
class BareLayer(Record):
    """One convolution. precision : that it was built in; runs_in : what OpenVINO ran it in, e.g. "u8", and kernel."""

    name: str
    precision: str
    runs_in: str
    kernel: str
    rate: Rate


@dataclass(frozen=True)
class Roof(Record):
    """The quickest layer that ran in a precision."""

    precision: str
    layer: str
    gmac_per_s: float


@dataclass(frozen=True)
class Network(Record):
    """One artefact, its network alone, without copies.

    int8_convolutions : of its convolutions, by OpenVINO's runtime model here
    roof : the precision of the roof that it is measured by; share : of it, the median of the rounds' own shares; None
        where nothing ran here in that precision
    """

    name: str
    student: str
    precision: str
    tile: tuple[int, int]
    convolutions: int
    int8_convolutions: int
    rate: Rate
    roof: str
    share: float | None


@dataclass(frozen=True)
class Roofline(Record):
    """All of it. settings : what OpenVINO was told; threads : that it then used."""

    schema_version: int
    created: str
    edgescope: str
    device: Device
    noise: Noise | None
    openvino: str
    settings: Mapping[str, str]
    threads: int
    rounds: int
    repeats: int
    layers: tuple[BareLayer, ...]
    roofs: tuple[Roof, ...]
    networks: tuple[Network, ...]


Step = Callable[[str], None]


@dataclass(frozen=True)
class Runner:
    """Something compiled. run : runs it once and returns its milliseconds."""

    multiply_adds: int
    kernels: tuple[Kernel, ...]
    threads: int
    run: Callable[[], float]


def run(artifacts: Mapping[str, Artifact], plan: Plan, step: Step) -> Roofline:
    """Compile layers and artefacts, and time all of them in turns.

    artifacts : by name; InputError for one that OpenVINO cannot run here. EdgescopeError where there is no OpenVINO.
    step : told what is done next; see `steps`
    """
    openvino = load_openvino()
    for artifact in artifacts.values():
        backends.choose(artifact.manifest, "openvino")
    before, core = calibrate(), openvino.Core()
    step("compile")
    bare = {(layer, how): _layer(core, layer, how, plan.threads) for layer in plan.layers for how in PRECISIONS}
    loaded = {name: _network(core, artifact, plan.threads) for name, artifact in artifacts.items()}
    runners = [*bare.values(), *loaded.values()]
    times = _in_turns(runners, plan, step)
    rates = [Rate.of(r.multiply_adds, ms) for r, ms in zip(runners, times, strict=True)]
    found = [
        BareLayer(layer.name, how, runner.kernels[0].precision, runner.kernels[0].name, rate)
        for ((layer, how), runner), rate in zip(bare.items(), rates, strict=False)
    ]
    networks = [
        _judged(name, artifacts[name].manifest, runner, rate, found)
        for (name, runner), rate in zip(loaded.items(), rates[len(found) :], strict=True)
    ]
    return Roofline(
        schema_version=SCHEMA_VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edgescope=__version__,
        device=fingerprint(),
        noise=judge(before, calibrate()),
        openvino=extras.version("openvino"),
        settings={name: str(value) for name, value in _settings(plan.threads).items()},
        threads=runners[0].threads,
        rounds=plan.rounds,
        repeats=plan.repeats,
        layers=tuple(found),
        roofs=tuple(roof for how in PRECISIONS if (roof := _roof(found, how))),
        networks=tuple(networks),
    )


def steps(plan: Plan) -> int:
    """How many steps `run` tells."""
    return 1 + plan.rounds


def _in_turns(runners: Sequence[Runner], plan: Plan, step: Step) -> list[list[float]]:
    """The medians of the rounds of each; the first run of each turn only fills the caches, and is not counted."""
    times: list[list[float]] = [[] for _ in runners]
    for number in range(plan.rounds):
        step(f"round {number + 1} of {plan.rounds}")
        for runner, found in zip(runners, times, strict=True):
            runner.run()
            found.append(median(runner.run() for _ in range(plan.repeats)))
    return times


def _settings(threads: int | None, manifest: Manifest | None = None) -> dict[str, Any]:
    """Those of the backend: the latency hint, and f32 pinned where an artefact does not say otherwise."""
    return settings({} if manifest is None else manifest.hints, threads=threads)


def _layer(core: Any, layer: Layer, precision: Precision, threads: int | None) -> Runner:
    """Timed by OpenVINO's own counter of the convolution, without what comes before and after it."""
    model = layers.build(layer, precision)
    compiled = core.compile_model(model, "CPU", {**_settings(threads), "PERF_COUNT": True})
    request = _request(compiled)

    def run() -> float:
        request.infer(share_outputs=True)
        return layers.convolution_ms(request)

    return _runner(model, compiled, run)


def _network(core: Any, artifact: Artifact, threads: int | None) -> Runner:
    """Timed as a whole."""
    model = core.read_model(artifact.payload("openvino_xml"), artifact.payload("openvino_bin"))
    try:
        compiled = core.compile_model(model, "CPU", _settings(threads, artifact.manifest))
    except RuntimeError as error:
        msg = f"OpenVINO cannot load {artifact.path} on CPU: {error}"
        raise EdgescopeError(msg) from error
    request = _request(compiled)
    return _runner(model, compiled, lambda: timed(lambda: request.infer(share_outputs=True)))


def _request(compiled: Any) -> Any:
    """A request that was given pixels: what memory happens to hold may be numbers that are slow to multiply."""
    request = compiled.create_infer_request()
    pixels = request.get_input_tensor(0).data
    pixels[:] = np.random.default_rng(0).random(pixels.shape, np.float32)
    return request


def _runner(model: Any, compiled: Any, run: Callable[[], float]) -> Runner:
    threads = int(compiled.get_property("INFERENCE_NUM_THREADS"))
    return Runner(layers.multiply_adds(model), tuple(layers.kernels(compiled)), threads, run)


def _roof(found: Sequence[BareLayer], precision: str) -> Roof | None:
    best = _quickest(found, precision)
    return best and Roof(precision, best.name, best.rate.gmac_per_s)


def _quickest(found: Sequence[BareLayer], precision: str) -> BareLayer | None:
    """Of the layers that were built in a precision, and that OpenVINO did run in it."""
    ran = [layer for layer in found if layer.precision == precision == _really(layer.runs_in)]
    return max(ran, key=lambda layer: layer.rate.gmac_per_s, default=None)


def _really(runs_in: str) -> str:
    return "int8" if runs_in in layers.INT8 else "fp32" if runs_in == "f32" else runs_in


def _judged(name: str, manifest: Manifest, runner: Runner, rate: Rate, found: Sequence[BareLayer]) -> Network:
    """Measured by the roof of what most of its convolutions run in."""
    in_int8, of_all = layers.in_int8(runner.kernels), len(runner.kernels)
    roof: Precision = "int8" if 2 * in_int8 > of_all else "fp32"
    best = _quickest(found, roof)
    network = Network(
        name, manifest.student, manifest.precision, manifest.tile, of_all, in_int8, rate, roof, share=None
    )
    return replace(network, share=_share(rate, best.rate)) if best else network


def _share(own: Rate, best: Rate) -> float:
    """Of the roof: the median over the rounds, each compared with itself."""
    rounds = zip(own.rounds_ms, best.rounds_ms, strict=True)
    return median((own.gmac / mine) / (best.gmac / theirs) for mine, theirs in rounds)


def read_roofline(path: Path) -> Roofline:
    """Read what `roofline --json` wrote; InputError names the file, and the field or version that does not fit."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
        version = value.get("schema_version") if isinstance(value, dict) else None
        if version != SCHEMA_VERSION:
            msg = f"Its schema_version is {version!r}, this edgescope reads {SCHEMA_VERSION}; measure again, or update."
            raise InputError(msg)
        return Roofline.from_dict(value)
    except (OSError, UnicodeDecodeError, InputError) as error:
        msg = f"{str(path)!r} is no roofline that this edgescope reads. {error}"
        raise InputError(msg) from error


# In words.


def to_markdown(found: Roofline) -> str:
    """Three tables: the artefacts, the roofs they are measured by, and every layer; below them how it was measured."""
    parts = [_table(ROOF_HEAD, [_roof_line(roof) for roof in found.roofs])]
    if found.networks:
        parts.insert(0, _table(NETWORK_HEAD, [_network_line(network) for network in found.networks]))
    parts.append(_table(LAYER_HEAD, [_layer_line(layer) for layer in found.layers]))
    parts.append("\n".join(f"- {note}" for note in notes(found)))
    return "\n\n".join(parts) + "\n"


NETWORK_HEAD = ("artefact", "tile", "GMAC", "ms", "GMAC/s", "of the roof", "convolutions in INT8")
ROOF_HEAD = ("roof", "GMAC/s", "reached by")
LAYER_HEAD = ("convolution", "built in", "ran in", "kernel", "GMAC", "ms", "GMAC/s")


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    figures = {"GMAC", "ms", "GMAC/s", "of the roof"}
    rule = ["---:" if title in figures else "---" for title in head]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines))


def _network_line(network: Network) -> tuple[str, ...]:
    share = "-" if network.share is None else f"{100 * network.share:.0f} % ({network.roof})"
    tile = f"{network.tile[0]}x{network.tile[1]}"
    return network.name, tile, *_figures(network.rate), share, f"{network.int8_convolutions}/{network.convolutions}"


def _roof_line(roof: Roof) -> tuple[str, ...]:
    return roof.precision, f"{roof.gmac_per_s:.0f}", roof.layer


def _layer_line(layer: BareLayer) -> tuple[str, ...]:
    return layer.name, layer.precision, layer.runs_in, layer.kernel, *_figures(layer.rate)


def _figures(rate: Rate) -> tuple[str, str, str]:
    return f"{rate.gmac:.3g}", f"{rate.ms:.3g}", f"{rate.gmac_per_s:.0f}"


def notes(found: Roofline) -> list[str]:
    """How it was measured, what is missing, and what makes it doubtful."""
    device = found.device
    said = [
        "GMAC: 10^9 multiply-adds of convolutions and matrix products, counted in the model; a roof is the quickest of "
        "the single convolutions, by OpenVINO's own counter; artefacts are timed as a whole, without copies.",
        f"{short_name(device.cpu)}, {device.usable_cores} cores, {found.threads} thread{'s' * (found.threads != 1)}, "
        f"{device.os}, OpenVINO {found.openvino}, latency hint, f32 pinned.",
        f"Medians of {found.rounds} rounds of {found.repeats} runs, layers and artefacts in turns; shares are paired "
        "by round.",
    ]
    said += [
        f"There is no roof of {how}: OpenVINO ran no layer in it on this processor."
        for how in PRECISIONS
        if how not in {roof.precision for roof in found.roofs}
    ]
    doubts = (*device.warnings, *(found.noise.reasons if found.noise else ()))
    return [*said, *(f"Doubtful: {reason}" for reason in doubts)]
