"""The share of this machine's speed that a network reaches: its multiply-adds per second against bare convolutions.

The roof is the rate of the quickest single convolution that a backend runs here in INT8, or in fp32: no network of
convolutions gets beyond it, whatever its kernels are, and only fewer multiply-adds make it quicker then. Layers and
artefacts are compiled as the runtime compiles them and take turns, so that whatever disturbs a shared machine disturbs
all of them alike; shares are paired by round. The roofline model is Williams, Waterman and Patterson's (Communications
of the ACM, 2009). What a model's work is, the backend tells: see `runtime.profiles`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from benchmarks.host.calibration import NoiseCheck, calibrate, judge
from benchmarks.host.device import Device
from benchmarks.host.fingerprint import fingerprint
from benchmarks.inputs.artifacts import name_of, open_artifacts, unique_names
from benchmarks.report.files import read_record
from runtime import __version__
from runtime import backend as backends
from runtime.artifact.artifact import Artifact
from runtime.artifact.manifest import Manifest
from runtime.errors import EdgescopeError, InputError
from runtime.execution import Execution
from runtime.profiles import ConvolutionLayer, Profile
from runtime.records import Record
from runtime.system import extras
from runtime.system.rounds import in_rounds

SCHEMA_VERSION = 2
PRECISIONS = ("int8", "fp32")
GIGA = 1e9
LAYERS = (  # the 3x3 ones have as many multiply-adds each, 0.6 G
    ConvolutionLayer(64, 64, 3, 128),
    ConvolutionLayer(128, 128, 3, 64),
    ConvolutionLayer(256, 256, 3, 32),
    ConvolutionLayer(512, 512, 3, 16),
    ConvolutionLayer(128, 128, 1, 128),
    ConvolutionLayer(512, 512, 1, 32),
    ConvolutionLayer(256, 256, 3, 64, groups=256),
)


@dataclass(frozen=True)
class RooflinePlan:
    """What the caller asked for.

    backend : None takes that of the first artefact, or without artefacts the first one here that tells about layers
    threads : None leaves their number to the backend; repeats : runs per round of each
    """

    backend: str | None = None
    threads: int | None = None
    rounds: int = 5
    repeats: int = 20
    layers: tuple[ConvolutionLayer, ...] = LAYERS


@dataclass(frozen=True)
class MacRate(Record):
    """How quickly something runs.

    gmac : 10^9 multiply-adds of one run; rounds_ms : the median of each round; ms : their median; gmac_per_s : at that
    """

    gmac: float
    rounds_ms: tuple[float, ...]
    ms: float
    gmac_per_s: float

    @classmethod
    def of(cls, multiply_adds: int, rounds_ms: Sequence[float]) -> "MacRate":
        """From the medians of the rounds."""
        gmac, ms = multiply_adds / GIGA, median(rounds_ms)
        return cls(gmac, tuple(rounds_ms), ms, 1e3 * gmac / ms)


@dataclass(frozen=True)
class BareLayer(Record):
    """One convolution.

    precision : that it was built in; ran_in : that it was run in; runs_in : the library's word for that, and kernel
    """

    name: str
    precision: str
    ran_in: str
    runs_in: str
    kernel: str
    rate: MacRate


@dataclass(frozen=True)
class Roof(Record):
    """The quickest layer that ran in a precision."""

    precision: str
    layer: str
    gmac_per_s: float


@dataclass(frozen=True)
class NetworkShare(Record):
    """One artefact, its network alone, without copies.

    int8_convolutions : of its convolutions, as the backend runs them here
    roof : the precision of the roof that it is measured by; share : of it, the median of the rounds' own shares; None
        where nothing ran here in that precision
    """

    name: str
    student: str
    precision: str
    tile: tuple[int, int]
    convolutions: int
    int8_convolutions: int
    rate: MacRate
    roof: str
    share: float | None


@dataclass(frozen=True)
class Roofline(Record):
    """All of it. library : with its version; settings : what it was told; threads : that it then used."""

    schema_version: int
    created: str
    edgescope: str
    device: Device
    noise: NoiseCheck
    backend: str
    library: str
    settings: Mapping[str, str]
    threads: int
    rounds: int
    repeats: int
    layers: tuple[BareLayer, ...]
    roofs: tuple[Roof, ...]
    networks: tuple[NetworkShare, ...]


Step = Callable[[str], None]


def run(artifacts: Sequence[str | Path | Artifact], plan: RooflinePlan, step: Step = lambda what: None) -> Roofline:
    """Compile layers and artefacts, and time all of them in turns.

    artifacts : folders, .zip files, or folders of artefacts; InputError for one that the backend cannot run here, and
        for a backend that tells nothing about layers. EdgescopeError where its library is not installed.
    step : told what is done next; see `steps`
    """
    opened = open_artifacts(artifacts)
    backend = choose_backend(plan.backend, opened)
    execution = Execution(threads=plan.threads)
    before = calibrate()
    step("compile")
    built = [(layer, precision) for layer in plan.layers for precision in PRECISIONS]
    bare = [_profile(backend.profile_layer(*one, execution), backend) for one in built]
    whole = [_profile(backend.profile(artifact, execution), backend) for artifact in opened]

    def turn(profile: Profile, number: int) -> float:
        """The median; the first run only fills the caches, and is not counted."""
        profile.run()
        return median(profile.run() for _ in range(plan.repeats))

    taken = in_rounds([*bare, *whole], plan.rounds, turn, lambda number: step(f"round {number + 1} of {plan.rounds}"))
    for error in taken.errors.values():
        raise error
    rates = [MacRate.of(p.multiply_adds, ms) for p, ms in zip([*bare, *whole], taken.results, strict=True)]
    layers = [
        BareLayer(layer.name, precision, kernel.precision, kernel.runs_in, kernel.name, rate)
        for (layer, precision), profile, rate in zip(built, bare, rates, strict=False)
        for kernel in profile.kernels[:1]
    ]
    names = unique_names(map(name_of, opened))
    return Roofline(
        schema_version=SCHEMA_VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edgescope=__version__,
        device=fingerprint(),
        noise=judge(before, calibrate()),
        backend=backend.name,
        library=f"{backend.library()} {extras.version(backend.library() or backend.name)}",
        settings=bare[0].settings,
        threads=bare[0].threads,
        rounds=plan.rounds,
        repeats=plan.repeats,
        layers=tuple(layers),
        roofs=tuple(roof for precision in PRECISIONS if (roof := roof_of(layers, precision))),
        networks=tuple(
            judged(name, artifact.manifest, profile, rate, layers)
            for name, artifact, profile, rate in zip(names, opened, whole, rates[len(bare) :], strict=True)
        ),
    )


def steps(plan: RooflinePlan) -> int:
    """How many steps `run` tells."""
    return 1 + plan.rounds


def choose_backend(name: str | None, artifacts: Sequence[Artifact]) -> backends.Backend:
    """The one that was asked for, else the first artefact's own, else the first that tells about layers."""
    telling = [one for one in backends.by_rank() if _tells(backends.load(one))]
    chosen = name or next((artifact.manifest.backend for artifact in artifacts), None) or next(iter(telling), None)
    if chosen not in telling:
        msg = f"The backend {chosen} tells nothing about single layers; these do: {', '.join(telling) or 'none'}."
        raise InputError(msg)
    for artifact in artifacts:
        backends.choose(artifact.manifest, chosen)
    return backends.load(chosen)


def _tells(backend: backends.Backend) -> bool:
    return type(backend).profile_layer is not backends.Backend.profile_layer


def _profile(profile: Profile | None, backend: backends.Backend) -> Profile:
    if profile is None:
        msg = f"The backend {backend.name} tells nothing about this model."
        raise EdgescopeError(msg)
    return profile


def roof_of(layers: Sequence[BareLayer], precision: str) -> Roof | None:
    """The quickest of the layers that were built in a precision, and that did run in it."""
    best = _quickest(layers, precision)
    return best and Roof(precision, best.name, best.rate.gmac_per_s)


def _quickest(layers: Sequence[BareLayer], precision: str) -> BareLayer | None:
    ran = [layer for layer in layers if layer.precision == precision == layer.ran_in]
    return max(ran, key=lambda layer: layer.rate.gmac_per_s, default=None)


def judged(name: str, manifest: Manifest, profile: Profile, rate: MacRate, layers: Sequence[BareLayer]) -> NetworkShare:
    """Measured by the roof of what most of its convolutions run in."""
    in_int8, of_all = sum(kernel.precision == "int8" for kernel in profile.kernels), len(profile.kernels)
    roof = "int8" if 2 * in_int8 > of_all else "fp32"
    best = _quickest(layers, roof)
    network = NetworkShare(
        name, manifest.student, manifest.precision, manifest.tile, of_all, in_int8, rate, roof, share=None
    )
    return replace(network, share=share_of(rate, best.rate)) if best else network


def share_of(own: MacRate, best: MacRate) -> float:
    """Of the roof: the median over the rounds, each compared with itself."""
    rounds = zip(own.rounds_ms, best.rounds_ms, strict=True)
    return median((own.gmac / mine) / (best.gmac / theirs) for mine, theirs in rounds)


def read_roofline(path: Path) -> Roofline:
    """Read what `roofline --json` wrote; InputError names the file, and the field or version that does not fit."""
    return read_record(path, Roofline, SCHEMA_VERSION, "no roofline")
