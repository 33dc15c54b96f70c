"""What an artefact says about itself: frozen dataclasses stored as manifest.json.

Everything the frame path needs stands here (normalisation, tile, threshold, scales), so that a host needs
no other source, and so does what a reader wants to know (accuracy, agreement, lineage). A manifest of an
unknown schema version, or with an unknown or missing field, is refused by name; see records.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from ..errors import InputError
from ..metrics import MetricScore
from ..records import OPTIONAL, Record, parse_json

SCHEMA_VERSION = 2  # of 1, core_prominence was the height of a dome, of which half had to be left

LARGEST_AREA = 1 << 40  # pixels: more than any frame has, and far from where the C library's numbers end
NON_COMMERCIAL = re.compile(r"non[- ]?commercial|\bcc[- ]by[- ]nc\b", re.IGNORECASE)

JSON: TypeAlias = Any  # free-form: None, bool, number, text, list or object


def _require(fits: bool, message: str) -> None:
    if not fits:
        raise InputError(message)


@dataclass(frozen=True)
class TensorSpec(Record):
    """One tensor of the payload; `meaning` names its channels, e.g. ("foreground", "core")."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str
    meaning: tuple[str, ...]

    def __post_init__(self) -> None:
        _require(self.layout in ("NCHW", "NHWC"), f"layout is {self.layout!r}; it must be NCHW or NHWC")
        _require(len(self.shape) == 4, f"shape has {len(self.shape)} axes; it must have 4 like {self.layout}")
        _require(min(self.shape) >= 1, f"shape is {self.shape}; every side must be at least 1")
        channels = self.shape[self.layout.index("C")]
        _require(
            len(self.meaning) == channels,
            f"meaning names {len(self.meaning)} channels, but shape {self.shape} in {self.layout} has {channels}",
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[self.layout.index("H")], self.shape[self.layout.index("W")]


@dataclass(frozen=True)
class Normalization(Record):
    """Intensities are scaled to [0, 1] between two percentiles of the whole frame, 0 <= low < high <= 100.

    method : "robust" leaves out padding and debris and inverts a dark sample on a bright background, see
        runtime.frames.intensities; "percentile" takes all pixels as they are
    """

    method: str = "robust"
    low: float = 0.1
    high: float = 99.8

    def __post_init__(self) -> None:
        _require(
            self.method in ("robust", "percentile"),
            f"method is {self.method!r}; this version knows 'robust' and 'percentile'",
        )
        _require(
            0 <= self.low < self.high <= 100,
            f"percentiles must satisfy 0 <= low < high <= 100, not low={self.low}, high={self.high}",
        )


@dataclass(frozen=True)
class QuantScheme(Record):
    """Symmetric int8: zero-point 0 everywhere; `activations` maps a tensor's name to its scale (finite, > 0).

    The scales of weights, one per output channel, follow from the weights by the rule. Weights have 7 bits: see
    distill.int8.quantize.
    """

    activations: Mapping[str, float]
    activation_range: tuple[int, int] = (-128, 127)
    weight_range: tuple[int, int] = (-63, 63)
    weight_rule: str = "symmetric per output channel, amax/63"

    def __post_init__(self) -> None:
        for name, scale in self.activations.items():
            _require(
                math.isfinite(scale) and scale > 0,
                f"the scale of {name} is {scale}; it must be finite and > 0",
            )


@dataclass(frozen=True)
class Objects(Record):
    """How labels() makes objects; those under min_area pixels are dropped.

    core_prominence : 0: objects grow from the connected parts of core > core_threshold. Over 0: from each summit of the
        core map that rises by that much over the pass to a higher one, in units of the map; core_threshold is not used
    core_smoothing : standard deviation in pixels by which the core map is smoothed inside the mask before
    """

    core_threshold: float = 0.5
    min_area: int = 12
    core_prominence: float = field(default=0.0, metadata=OPTIONAL)
    core_smoothing: float = field(default=0.0, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        _require(0 <= self.core_threshold <= 1, f"core_threshold is {self.core_threshold}; it must be in [0, 1]")
        _require(0 <= self.core_prominence < 1, f"core_prominence is {self.core_prominence}; it must be in [0, 1)")
        _require(
            0 <= self.core_smoothing <= 16, f"core_smoothing is {self.core_smoothing}; it must be in [0, 16] pixels"
        )
        _require(0 <= self.min_area <= LARGEST_AREA, f"min_area is {self.min_area}; it must be 0 to 2**40 pixels")


@dataclass(frozen=True)
class ObjectSize(Record):
    """Diameter of the objects that a student was made for, of discs with their areas; in pixels as it sees them.

    median_px : what frames are resized to; low_px, high_px : objects between them are segmented as they are
    median_um : the same as median_px in micrometres, None where it is not known
    certainty : how sure the student is of objects of this size, 0 to 1 (runtime.segmentation.seeing.certainty), in all
        but 5 % of the validation frames; None where it was not measured; 1 where no frame shows the size, as that of
        whole cells
    """

    median_px: float
    low_px: float
    high_px: float
    median_um: float | None = field(default=None, metadata=OPTIONAL)
    certainty: float | None = field(default=None, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        _require(
            0 < self.low_px <= self.median_px <= self.high_px < math.inf,
            f"diameters must satisfy 0 < low_px <= median_px <= high_px, not {self.low_px:g}, {self.median_px:g} and "
            f"{self.high_px:g}",
        )
        _require(
            self.median_um is None or 0 < self.median_um < math.inf,
            f"median_um is {self.median_um}; it must be over 0 micrometres",
        )
        _require(
            self.certainty is None or 0 <= self.certainty <= 1,
            f"certainty is {self.certainty}; it must be from 0 to 1",
        )


@dataclass(frozen=True)
class Probes(Record):
    """Real input tiles and the outputs of the reference, which `reference` describes in words."""

    file: str
    count: int
    reference: str

    def __post_init__(self) -> None:
        _require(self.count >= 1, f"count is {self.count}; an artefact proves itself with at least 1 probe")


@dataclass(frozen=True)
class Tolerance(Record):
    """How far a replay of the probes may be from the reference: max and mean |dp|, and the least mask Dice."""

    probability_max: float
    probability_mean: float
    mask_dice: float

    def __post_init__(self) -> None:
        for name in ("probability_max", "probability_mean", "mask_dice"):
            value: float = getattr(self, name)
            _require(0 <= value <= 1, f"{name} is {value}; it must be in [0, 1]")


@dataclass(frozen=True)
class FileEntry(Record):
    """Checksum and size of one file."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class DataSource(Record):
    """A data set that went into the student."""

    name: str
    licence: str
    note: str


@dataclass(frozen=True)
class Lineage(Record):
    """Where the student comes from. `trained_on` holds 12-hex content hashes of the training frames."""

    teacher: str | None
    weights_sha256: str
    data: tuple[DataSource, ...]
    licences: tuple[str, ...]
    versions: Mapping[str, str]
    command: str
    trained_on: tuple[str, ...] = ()

    @property
    def non_commercial(self) -> bool:
        """Whether one of the licences allows non-commercial use alone: it says so, or is a CC ... NC."""
        return any(NON_COMMERCIAL.search(licence) for licence in self.licences)


@dataclass(frozen=True)
class Intensity(Record):
    """What the frames looked like that a student was calibrated or validated on; see runtime.frames.flags.

    quantiles : which quantiles of a frame's normalised intensities were taken, in percent
    lowest, highest : the least and the greatest value of each of them among the frames, in [0, 1]
    focus : the least sharpness among the frames
    frames : how many there were
    """

    quantiles: tuple[float, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    focus: float
    frames: int

    def __post_init__(self) -> None:
        count = len(self.quantiles)
        _require(count >= 1, "quantiles is empty; it must name at least one")
        values = (*self.lowest, *self.highest, self.focus)
        _require(all(map(math.isfinite, values)), f"the values are {values}; they must be finite")
        _require(
            all(0 <= q <= 100 for q in self.quantiles), f"quantiles are {self.quantiles}; they must be in [0, 100]"
        )
        _require(
            count == len(self.lowest) == len(self.highest),
            f"there are {count} quantiles, {len(self.lowest)} lowest and {len(self.highest)} highest values",
        )


@dataclass(frozen=True)
class Board(Record):
    """The board that an artefact was compiled for, and what is expected there. Nothing of it was measured.

    name : "orin-nano"; words : all of them stand in what the board calls itself; sm : compute capability of its GPU
    memory_gb : in all, of the smallest such board; build_mb, run_mb : megabytes to build an engine and to run it
    software : what the board comes with; precision : which one is expected to be the fastest, and why
    """

    name: str
    words: tuple[str, ...]
    sm: str
    memory_gb: int
    build_mb: int
    run_mb: int
    software: str
    precision: str


@dataclass(frozen=True)
class Accuracy(Record):
    """The accuracy of the compiled file on labelled images, through the runtime, and of the float student.

    data : which images, in words; labels : "nuclei" or "cells"; protocol : how the metrics are defined
    scores, float_scores : metric to its value, of the compiled file and of the fp32 student
    drop_points : how far the mean Dice is below the fp32 student's, in points of 0.01
    drop_interval : 95 %, paired over the images; max_drop_points : what was allowed, None for no limit
    """

    data: str
    labels: str
    images: int
    scores: Mapping[str, MetricScore]
    float_scores: Mapping[str, MetricScore]
    drop_points: float
    drop_interval: tuple[float, float] | None
    max_drop_points: float | None
    protocol: str


@dataclass(frozen=True)
class Agreement(Record):
    """How alike two artefacts, or one and the reference, are on the probes.

    images_mask_dice : mean mask Dice over the images of `Accuracy`, of two targets, each image at the same scale; None
        where it was not measured
    """

    probability_max: float
    probability_mean: float
    mask_dice: float
    images_mask_dice: float | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Operators(Record):
    """What runs in which precision: how many convolutions there are, how many of them in int8, and who says so.

    float_layers : those that a "mixed" artefact keeps in float; details : what else the target tells
    """

    convolutions: int
    int8_convolutions: int
    measured: str
    float_layers: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    details: Mapping[str, JSON] = field(default_factory=dict[str, JSON], metadata=OPTIONAL)


@dataclass(frozen=True)
class Manifest(Record):
    """manifest.json. `tile` is (height, width), `overlap` is in pixels, `payload` maps a role to a file name.

    `accuracy` is None before it was measured. `agreement` maps a peer to how alike both are: "reference", another
    target, or, of a target's further file, "fp16_file: reference" and so on.
    """

    schema_version: int
    student: str
    target: str
    backend: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    normalization: Normalization
    tile: tuple[int, int]
    overlap: int
    threshold: float
    objects: Objects
    scheme: QuantScheme | None
    probes: Probes
    tolerance: Tolerance
    payload: Mapping[str, str]
    files: Mapping[str, FileEntry]
    accuracy: Accuracy | None
    agreement: Mapping[str, Agreement]
    operators: Operators
    hints: Mapping[str, str]
    notes: tuple[str, ...]
    pixel_size_um: float | None
    lineage: Lineage
    object_diameter: ObjectSize | None = field(default=None, metadata=OPTIONAL)
    intensity: Intensity | None = field(default=None, metadata=OPTIONAL)
    board: Board | None = field(default=None, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        _require(len(self.inputs) == 1, f"inputs holds {len(self.inputs)} tensors; this schema knows exactly 1")
        _require(len(self.outputs) == 1, f"outputs holds {len(self.outputs)} tensors; this schema knows exactly 1")
        _require(
            "foreground" in self.channels,
            f"outputs[0].meaning is {self.channels}; 'foreground' must be among it",
        )
        _require(
            self.pixel_size_um is None or 0 < self.pixel_size_um < math.inf,
            f"pixel_size_um is {self.pixel_size_um}; it must be over 0 micrometres, or null",
        )
        _require(min(self.tile) >= 1, f"tile is {self.tile}; both sides must be at least 1 pixel")
        for where, tensor in (("inputs[0]", self.inputs[0]), ("outputs[0]", self.outputs[0])):
            _require(tensor.size == self.tile, f"tile is {self.tile}, and {where} has {tensor.size} pixels")
        _require(
            0 <= self.overlap < min(self.tile),
            f"overlap is {self.overlap} pixels; it must be at least 0 and under the tile {self.tile}",
        )
        _require(0 <= self.threshold <= 1, f"threshold is {self.threshold}; it must be in [0, 1]")

    @property
    def channels(self) -> tuple[str, ...]:
        """Meaning of the channels of the output, in order."""
        return self.outputs[0].meaning

    @property
    def finds_cells(self) -> bool:
        """Whether its accuracy was measured on whole cells, and not on nuclei."""
        return self.accuracy is not None and self.accuracy.labels == "cells"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Parse manifest.json. InputError names the dotted field, or the schema version that is not known."""
        value: object = parse_json(text)
        version = cast("dict[str, object]", value).get("schema_version") if isinstance(value, dict) else None
        if type(version) is int and version != SCHEMA_VERSION:
            msg = (
                f"schema_version is {version}, and this edgescope reads version {SCHEMA_VERSION}; "
                f"update edgescope, or compile the student again with this one."
            )
            raise InputError(msg)
        return cls.from_dict(cast("object", value))
