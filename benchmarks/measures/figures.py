"""What a row of a report holds: time, memory, energy, rates, a sustained run, and quality.

A figure that was not measured, or that the samples cannot carry, is None; never 0. Milliseconds, megabytes (10^6
bytes), joules, degrees Celsius and megahertz, as the fields' names say.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.host.sensors import Trace
from benchmarks.measures.latency import Histogram, Latency
from runtime import metrics
from runtime.errors import InputError
from runtime.metrics import MetricScore
from runtime.records import OPTIONAL, Record

NETWORK, MASK, LABELS, OBJECTS = ENDS = ("network", "mask", "labels", "objects")  # where a timed frame ends, in order


def check_until(until: str) -> None:
    """InputError for a word that is no end of a timed frame."""
    if until not in ENDS:
        msg = f"A frame cannot be timed until {until!r}; give one of {', '.join(ENDS)}."
        raise InputError(msg)


@dataclass(frozen=True)
class StageSamples(Record):
    """Milliseconds of each stage, frame by frame; None for a stage that the backend cannot tell apart from inference,
    and for one after the end of the timed frame.

    preprocess : checks, intensity range, normalisation, cutting into tiles
    host_to_device : the copy of the tiles into the backend's input tensor; on a CPU a copy within memory
    inference : the model alone, all tiles of the frame
    device_to_host : the copy of the result out of the backend's output tensor
    postprocess : blending and clipping; the mask, where the frame ends there (`labels()` needs none)
    labels : `labels()`; objects : `objects()`, of labels that are known
    total : the whole call, measured by itself
    """

    preprocess: tuple[float, ...]
    host_to_device: tuple[float, ...] | None
    inference: tuple[float, ...]
    device_to_host: tuple[float, ...] | None
    postprocess: tuple[float, ...] | None
    total: tuple[float, ...]
    labels: tuple[float, ...] | None = field(default=None, metadata=OPTIONAL)
    objects: tuple[float, ...] | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Stages(Record):
    """The distribution of each stage over all rounds; see StageSamples."""

    preprocess: Latency
    host_to_device: Latency | None
    inference: Latency
    device_to_host: Latency | None
    postprocess: Latency | None
    total: Latency
    labels: Latency | None = field(default=None, metadata=OPTIONAL)
    objects: Latency | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Memory(Record):
    """Memory in megabytes.

    baseline_mb : resident before the artefact is opened: Python, numpy, the frame
    steady_mb : resident after all timed frames
    peak_mb : the highest resident memory of the process
    device_mb : taken from the device's own memory; None where it has none of its own, or does not tell
    available_drop_mb : by how much the system's MemAvailable fell from before loading to the steady state, where
        processor and accelerator share one memory; None elsewhere
    """

    baseline_mb: float
    steady_mb: float | None
    peak_mb: float
    device_mb: float | None
    available_drop_mb: float | None


@dataclass(frozen=True)
class Round(Record):
    """What one fresh process measured. first_frame_ms, frame_ms : from the frame to the row's `until`.

    `stages` are of other calls than `frame_ms`: clocks within cost a little.
    """

    load_ms: float
    first_frame_ms: float
    tile_ms: tuple[float, ...]
    frame_ms: tuple[float, ...]
    stages: StageSamples | None
    memory: Memory


@dataclass(frozen=True)
class Timing(Record):
    """All rounds of one row. Load and first frame are medians over the rounds, latencies pool them.

    speedup : how many times faster per frame than the report's reference row; the median of the ratios that
        the rounds gave, each against the reference in the same round"""

    load_ms: float
    first_frame_ms: float
    tile_ms: Latency
    frame_ms: Latency
    frame_shape: tuple[int, int]
    stages: Stages | None
    speedup: float
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class Energy(Record):
    """Energy of one frame, without what the machine takes when idle.

    sensor : where it was read: "RAPL package-0", "Jetson VDD_IN", ...
    joules_per_frame : (busy_w - idle_w) * seconds / frames; None where the difference is within the sensor's noise
    """

    sensor: str
    joules_per_frame: float | None
    busy_w: float
    idle_w: float
    frames: int
    seconds: float
    frame_shape: tuple[int, int]


@dataclass(frozen=True)
class Rate(Record):
    """Tiles per second in one way of asking for them; samples: the rate of each repeat, tiles_per_s is their median.

    batch : tiles in one call
    requests : calls that were under way at once
    """

    batch: int
    requests: int
    tiles_per_s: float
    samples: tuple[float, ...]


@dataclass(frozen=True)
class Throughput(Record):
    """How many tiles per second a stream of tiles reaches, which latency alone does not tell.

    sequential : one tile after the other, as a live camera does
    batches : several tiles in one call
    requests : several calls at once
    not_measured : why "batches" or "requests" are missing
    """

    sequential: Rate
    batches: tuple[Rate, ...]
    requests: tuple[Rate, ...]
    not_measured: Mapping[str, str]

    @property
    def best(self) -> Rate:
        """The fastest way."""
        return max((self.sequential, *self.batches, *self.requests), key=lambda rate: rate.tiles_per_s)


@dataclass(frozen=True)
class Window(Record):
    """Frames of one stretch of a sustained run: its middle in seconds from the start, and what they took."""

    at_s: float
    frames: int
    p50_ms: float
    p95_ms: float | None
    max_ms: float


@dataclass(frozen=True)
class Sustained(Record):
    """One process that segments frame after frame for minutes.

    minutes : as asked for; seconds : what it took
    frame_ms : all frames, as a distribution; histogram : the same, to within 1 % of each duration
    drift_ms_per_minute : slope of the windows' medians (Theil-Sen); drift_interval: its 95 % interval (Sen 1968);
        both None for fewer than five windows
    drift_percent : the drift over the whole run, relative to the first window
    traces : clocks, temperatures and power, where the machine tells them
    throttled : what the machine said about throttling during the run, each once
    """

    minutes: float
    seconds: float
    frames: int
    frame_shape: tuple[int, int]
    frames_per_s: float
    frame_ms: Latency
    histogram: Histogram
    windows: tuple[Window, ...]
    drift_ms_per_minute: float | None
    drift_interval: tuple[float, float] | None
    drift_percent: float | None
    traces: tuple[Trace, ...]
    throttled: tuple[str, ...]


@dataclass(frozen=True)
class ProbeAgreement(Record):
    """The artefact's probes, replayed, against the reference outputs that it carries."""

    probes: int
    mask_dice: float
    probability_max: float
    probability_mean: float
    within_tolerance: bool


@dataclass(frozen=True)
class ImageScore(Record):
    """What one image adds to each metric (`runtime.metrics.Metric.parts`); a metric without a value is left out.

    flags : what the runtime found odd about the image and its objects, see runtime.frames.flags
    """

    name: str
    parts: Mapping[str, tuple[float, ...]]
    flags: tuple[str, ...] = field(default=(), metadata=OPTIONAL)

    def value(self, metric: str) -> float | None:
        """The value of one metric; None where the image has none."""
        return metrics.load(metric).of_image(self.parts[metric]) if metric in self.parts else None


@dataclass(frozen=True)
class Picture(Record):
    """One image with the outlines found (orange) and labelled (blue): a PNG in base64, shown next to a score.

    score : of the first headline metric
    """

    image: str
    score: float
    width: int
    height: int
    png: str


@dataclass(frozen=True)
class Quality(Record):
    """How well masks and objects fit the labels.

    labels : their kind, e.g. "nuclei"; mismatch : what is wrong where the student learnt to find another kind
    definitions : how each metric is counted
    worst : the images with the lowest score of the first headline metric, the lowest first
    """

    labels: str
    mismatch: str | None
    definitions: Mapping[str, str]
    metrics: Mapping[str, MetricScore]
    images: tuple[ImageScore, ...]
    worst: tuple[Picture, ...]

    @property
    def flagged(self) -> Mapping[str, int]:
        """How many images have each flag, the most frequent first."""
        return dict(Counter(flag for image in self.images for flag in image.flags).most_common())

    @property
    def headline(self) -> MetricScore | None:
        """The score of the metric that ranks images and models."""
        return self.metrics.get(metrics.HEADLINES[0])

    def figure(self, metric: str) -> float | None:
        """The one number of a metric, for tables and limits; None where it was not measured.

        Shares of objects are pooled over all images; everything else, signed errors included, is the mean over images.
        """
        score = self.metrics.get(metric)
        if score is None:
            return None
        return score.mean if score.pooled is None or not is_pooled(metric) else score.pooled


def is_pooled(metric: str) -> bool:
    """Whether the one number of a metric is counted over the objects of all images together."""
    if metric not in metrics.names():  # of a distribution that is not installed here
        return False
    one = metrics.load(metric)
    return one.objects and one.better == "higher"
