"""What a student is, apart from its weights: family, decoder, outputs and how its input is prepared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distill.config.sections import OUTPUTS
from runtime.artifact.manifest import Normalization, Objects, ObjectSize
from runtime.records import OPTIONAL, Record

if TYPE_CHECKING:
    from distill.config.sections import Config


@dataclass(frozen=True)
class StudentSpec(Record):
    """A student's construction plan and the numbers chosen on its validation images.

    channels : planes of the image that it sees, "nucleus" first; a student for deployment sees that one alone
    decoder : channels of the decoder's stages, deepest first; five where it ends at full resolution
    squeeze_excite : whether the encoder keeps its channel gates
    encoder : channels of the encoder's stages, finest first, of families that leave them open; () is their default
    head_stride : resolution at which the decoder ends: 1 full, 2 half, 4 a quarter (see distill.networks.lean)
    separable : whether the decoder's convolutions are depthwise and pointwise ones (head_stride over 1)
    outputs : meaning of the logit channels; "core" is each object's interior (see distill.training.crops.training_maps)
    tile : (h, w) of the training crops, pixels
    threshold : foreground probability above which a pixel belongs to the mask
    pixel_size_um : of the training images, or None when they do not share one
    object_diameter : size of the objects in its training crops; None for a student of objects of any size
    """

    name: str
    family: str
    channels: tuple[str, ...] = ("nucleus",)
    decoder: tuple[int, ...] = (64, 48, 32, 24, 16)
    squeeze_excite: bool = True
    encoder: tuple[int, ...] = field(default=(), metadata=OPTIONAL)
    head_stride: int = field(default=1, metadata=OPTIONAL)
    separable: bool = field(default=False, metadata=OPTIONAL)
    outputs: tuple[str, ...] = OUTPUTS
    tile: tuple[int, int] = (256, 256)
    normalization: Normalization = field(default_factory=Normalization)
    threshold: float = 0.5
    objects: Objects = field(default_factory=lambda: Objects(core_threshold=0.5, min_area=12))
    pixel_size_um: float | None = None
    object_diameter: ObjectSize | None = field(default=None, metadata=OPTIONAL)

    @property
    def depth(self) -> int:
        """How many halvings the encoder makes: those that the decoder takes back, and those that the head does."""
        return len(self.decoder) + self.head_stride.bit_length() - 1


def spec_of(config: Config) -> StudentSpec:
    """The spec of the student that a configuration trains, its thresholds not yet chosen."""
    section = config.student
    return StudentSpec(
        name=section.name,
        family=section.family,
        channels=section.channels,
        decoder=section.decoder,
        squeeze_excite=section.squeeze_excite,
        encoder=section.encoder,
        head_stride=section.head_stride,
        separable=section.separable,
        outputs=section.outputs,
        tile=(config.data.crop, config.data.crop),
        normalization=Normalization(low=section.low_percentile, high=section.high_percentile),
        objects=Objects(core_threshold=0.5, min_area=config.data.min_area),
        object_diameter=_object_size(config.data.object_diameter, config.augment.scale),
    )


def _object_size(diameter: float, jitter: float) -> ObjectSize | None:
    """The size of object that is asked for; training measures the range (TrainingData.object_size)."""
    return ObjectSize(diameter, diameter / jitter, diameter * jitter) if diameter else None
