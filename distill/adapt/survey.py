"""What a laboratory gives: images, labels for some of them, masks of another segmenter for others. No torch."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from distill.datasets.annotations.formats import read_labels
from distill.datasets.annotations.layout import pair
from distill.datasets.members import Members
from distill.datasets.pictures import channels_of
from distill.datasets.sample import frame_fingerprint
from runtime.errors import InputError
from runtime.frames.scale import median_diameter_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from numpy.typing import NDArray

    from distill.datasets.annotations.layout import LabelFile, Layout

Role = Literal["labelled", "taught", "bare"]  # by a person, by another segmenter, not at all
SHOWN = 3  # names in a warning


@dataclass(frozen=True)
class LabField:
    """One image.

    fingerprint : of its frame; digest : of its labels, "" without; objects : how many are labelled
    diameter_px : of the median object, None without any
    """

    name: str
    role: Role
    fingerprint: str
    digest: str = ""
    objects: int = 0
    diameter_px: float | None = None


@dataclass(frozen=True)
class Survey:
    """fields : what was found, by name; warnings : sentences for the user

    layout, masks : where images and labels are, and the masks of another segmenter
    """

    fields: tuple[LabField, ...]
    warnings: tuple[str, ...]
    layout: Layout
    masks: Layout | None = None
    channel: int | None = None
    reference: str = field(default="labels")

    def of(self, role: Role) -> list[LabField]:
        """The images of one role."""
        return [one for one in self.fields if one.role == role]

    @property
    def diameter_px(self) -> float | None:
        """Median over the images of the diameter of their median object; of those that people labelled, if any."""
        fields = self.of("labelled") or self.of("taught")
        sizes = [one.diameter_px for one in fields if one.diameter_px is not None]
        return float(np.median(sizes)) if sizes else None

    def digest(self) -> str:
        """Twelve hex digits for the content of all images, labels and masks."""
        lines = [f"{one.name} {one.role} {one.fingerprint} {one.digest}" for one in self.fields if one.role != "bare"]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]

    def read(self, name: str) -> tuple[NDArray, NDArray[np.int32]]:
        """The frame (H, W) of an image, and its instances, int32 (H, W)."""
        frame = read_frame(self.layout, name, self.channel)
        file = self.layout.labels.get(name) or (self.masks.labels[name] if self.masks else None)
        assert file is not None
        return frame, read_labels(file, (frame.shape[0], frame.shape[1]), name).labels


def survey(
    images: Path,
    labels: Path | None = None,
    masks: Path | None = None,
    channel: int | None = None,
    trained_on: AbstractSet[str] = frozenset(),
) -> Survey:
    """Look at every image and label.

    trained_on : fingerprints of the images that the student to begin with was trained on
    InputError for images and labels that cannot be used, each with its file, and where nothing teaches.
    """
    layout = pair(Members(images), None if labels is None else Members(labels))
    others = pair(Members(images), Members(masks)) if masks is not None else None
    fields: list[LabField] = []
    from_mask: list[str] = []
    empty: list[str] = []
    for name in layout.images:
        frame = read_frame(layout, name, channel)
        file, role = _teacher_of(name, layout, others)
        if file is None:
            fields.append(LabField(name, role, frame_fingerprint(frame)))
        else:
            found = read_labels(file, (frame.shape[0], frame.shape[1]), name)
            count = int(found.labels.max(initial=0))
            (from_mask if found.from_mask else empty if not count else []).append(name)
            digest = hashlib.sha256(found.labels.tobytes()).hexdigest()
            size = median_diameter_of(found.labels)
            fields.append(LabField(name, role, frame_fingerprint(frame), digest, count, size))
    kept, twice = _without_twins(fields)
    taught = [one for one in kept if one.role != "bare"]
    if not taught:
        msg = (
            f"None of the {len(kept)} images in {str(images)!r} has labels or masks; label some (see --labels), or "
            "give another segmenter's with --masks."
        )
        raise InputError(msg)
    if not any(one.objects for one in taught):
        msg = f"The labels of all {len(taught)} images are empty; give labels that hold objects."
        raise InputError(msg)
    seen = [one.name for one in taught if one.fingerprint in trained_on]
    warnings = [
        *_about(from_mask, "labelled by a mask: touching objects count as one; instance labels are better"),
        *_about(empty, "labelled as empty: no object in them"),
        *_about(twice, "the same as another image, left out"),
        *_about(seen, "in the training data of the student to begin with: its scores are too good"),
    ]
    bare = [one.name for one in kept if one.role == "bare"]
    warnings += _about(bare, "without labels or masks, left out: a student learns little from what it draws itself")
    return Survey(tuple(kept), tuple(warnings), layout, others, channel)


def read_frame(layout: Layout, name: str, channel: int | None = None) -> NDArray:
    """The plane (H, W) of an image that a student sees."""
    member = layout.images[name]
    with layout.members.open_image(member) as opened:
        planes, names = channels_of(opened, member, channel, "--channel N")
    if channel is None and len(planes) > 1 and not any(names):
        msg = f"Image {member!r} has {len(planes)} channels; say which one holds the nuclei: --channel N, from 0."
        raise InputError(msg)
    return planes[0]


def _teacher_of(name: str, layout: Layout, others: Layout | None) -> tuple[LabelFile | None, Role]:
    """Who labels an image: a person before another segmenter."""
    if name in layout.labels:
        return layout.labels[name], "labelled"
    if others is not None and name in others.labels:
        return others.labels[name], "taught"
    return None, "bare"


def _without_twins(fields: Sequence[LabField]) -> tuple[list[LabField], list[str]]:
    """Each frame once, the best labelled one of equal frames, and the names of those left out.

    A frame that is held out and trained on, under two names, would be scored too well.
    """
    rank = {"labelled": 0, "taught": 1, "bare": 2}
    count = Counter(one.fingerprint for one in fields)
    best: dict[str, LabField] = {}
    for one in sorted(fields, key=lambda one: (rank[one.role], one.name)):
        best.setdefault(one.fingerprint, one)
    kept = [one for one in fields if best[one.fingerprint] is one]
    return kept, [one.name for one in fields if count[one.fingerprint] > 1 and best[one.fingerprint] is not one]


def _about(names: Sequence[str], what: str) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return [f"{len(names)} image(s) {what} ({shown})"]
