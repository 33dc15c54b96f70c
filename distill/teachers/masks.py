"""Any segmenter's saved output teaches: label images, masks or probability maps, as TIFF, PNG or .npy.

    weights = "PATH"              label images (foreground is what is not 0), masks, or float probabilities
    weights = "probability:PATH"  the same, whole numbers being probabilities: 255 (or 65535) is 1
    weights = "labels:cells"      the data's own labels of that kind

PATH is a folder with a file for each sample, called as the sample or, where fields were cut into tiles, as the field;
or one file, where the data are one field. A tile finds its place in the field by its name, FIELD@y{row}x{column}.
An image without a file is left out of what the teacher teaches, and counted; or another teacher speaks for it:

    [teacher.options.missing]
    name, weights = "unet", "PATH"    as in [teacher]

Labels are hard, 0 and 1, unless ``soften`` blurs them: the expectation of a mask whose outline is uncertain by
that many pixels (normally distributed).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from distill.config.sections import Section, TeacherSection, require
from distill.datasets.pictures import PNG, TIFF, decode
from distill.teachers import Teacher, TeacherKind, Untaught, open_teacher
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from distill.datasets import Sample

NPY = (".npy",)
LABELS, PROBABILITY = "labels:", "probability:"
TILE = re.compile(r"(?P<field>.+)@y(?P<row>\d+)x(?P<col>\d+)")
LICENCE = "unknown: of the segmenter that wrote the masks (teacher.options.licence says it)"


@dataclass(frozen=True)
class MaskOptions(Section):
    """[teacher.options] of saved masks."""

    soften: float = 0.0
    """Standard deviation in pixels by which masks are blurred; 0 leaves them hard."""
    licence: str = ""
    """Of the masks, which do not say theirs."""
    missing: TeacherSection = field(default_factory=TeacherSection)
    """A teacher as in [teacher], for images without a saved mask; without a name these are left out."""

    def __post_init__(self) -> None:
        require(0 <= self.soften < 100, f"soften is {self.soften}; give pixels, 0 to 100, for example 1.5.")


class Masks(Teacher):
    """Saved planes by sample; ``reference`` finds them, ``probability`` says what they mean."""

    name = "masks"
    needs_instances = True

    def __init__(self, section: TeacherSection, options: MaskOptions) -> None:
        self.weights, self.soften, self.licence = section.weights, options.soften, options.licence or LICENCE
        self.other: Teacher | None = open_teacher(options.missing) if options.missing.name else None
        self.channels: tuple[str, ...] = ()
        if self.other is not None:
            if self.other.needs_instances:
                msg = (
                    f"teacher.options.missing names {self.other.name!r}, which is given labels with each image; name "
                    "one that looks at pixels alone."
                )
                raise InputError(msg)
            self.channels, self.licence = self.other.channels, f"{self.licence}; {self.other.licence}"
        self.kind = self.weights.removeprefix(LABELS) if self.weights.startswith(LABELS) else None
        self.path = Path(self.weights.removeprefix(PROBABILITY)).expanduser()
        self.whole_numbers = "probabilities" if self.weights.startswith(PROBABILITY) else "labels"
        self.files = _files(self.path) if self.kind is None else {}
        self.field: str | None = None
        self.read = lru_cache(maxsize=1)(_read)

    def key(self) -> Mapping[str, str]:
        """How planes are understood; the planes themselves go into the key as the reference."""
        other = {} if self.other is None else {f"missing {key}": value for key, value in self.other.key().items()}
        return {"whole numbers": self.whole_numbers, "soften": repr(self.soften), **other}

    def reference(self, sample: Sample) -> NDArray[Any] | None:
        """The saved plane (H, W) of a sample, as it is stored; None where the other teacher speaks for it.

        Untaught where there is none, and no other teacher; InputError for one of another size.
        """
        if self.kind is not None:
            return sample.labels_of(self.kind, 'choose among these in teacher.weights = "labels:KIND"')
        place = TILE.fullmatch(sample.name)
        field = place["field"] if place else sample.name
        file = self._file(sample.name, field)
        if file is None:
            return None
        plane, shape = self.read(file), sample.image.shape[1:]
        if plane.shape != shape and place:
            row, col = int(place["row"]), int(place["col"])
            plane = plane[row : row + shape[0], col : col + shape[1]]
        if plane.shape != shape:
            where = f" at row {place['row']}, column {place['col']}" if place else ""
            msg = (
                f"Masks {str(file)!r} have {self.read(file).shape} pixels, and {sample.name} has {shape}{where}; "
                "give masks of the image's size, or of the whole field."
            )
            raise InputError(msg)
        if self.whole_numbers == "labels":
            _check_labels(plane, file)
        return plane

    def probability(self, image: NDArray[Any], instances: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """What the saved plane (instances, of any dtype) says, whatever the image."""
        if instances is None and self.other is not None:
            return self.other.probability(image)
        if instances is None:
            msg = "The teacher 'masks' has nothing to say of pixels; give the saved plane, Masks.reference(sample)."
            raise InputError(msg)
        if instances.dtype.kind == "f":
            return instances.astype(np.float32)
        if self.whole_numbers == "probabilities" and instances.dtype.kind != "b":
            return (instances / np.iinfo(instances.dtype).max).astype(np.float32)
        foreground = (instances > 0).astype(np.float32)
        if not self.soften:
            return foreground
        return np.asarray(ndimage.gaussian_filter(foreground, self.soften, mode="nearest"), np.float32)

    def _file(self, name: str, field: str) -> Path | None:
        """The masks of an image; None where the other teacher speaks for it."""
        if self.path.is_dir():
            for stem in (name, field):
                if stem in self.files:
                    return self.files[stem]
            if self.other is not None:
                return None
            there = ", ".join(sorted(self.files)[:3])
            msg = f"{str(self.path)!r} has no masks of {name} (or {field}); it has {len(self.files)}, such as {there}."
            raise Untaught(msg)
        self.field = self.field or field
        if field != self.field:
            msg = (
                f"{str(self.path)!r} is the masks of one field, and the data hold {self.field} and {field}; "
                "name a folder with a file a field."
            )
            raise InputError(msg)
        return self.path


class MasksKind(TeacherKind):
    """See TeacherKind."""

    name = "masks"
    options = MaskOptions

    def open(self, section: TeacherSection, options: MaskOptions) -> Masks:
        """Lists the files; they are read when a sample asks for them."""
        if not section.weights.removeprefix(LABELS).removeprefix(PROBABILITY):
            msg = f"teacher.weights is {section.weights!r}; name a folder of masks, one file, or {LABELS}cells."
            raise InputError(msg)
        return Masks(section, options)


def _files(path: Path) -> dict[str, Path]:
    """Stem -> file, of a folder or of one file."""
    if not path.exists():
        msg = f"There are no masks {str(path)!r}; name a folder of TIFF, PNG or .npy files, or one such file."
        raise InputError(msg)
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    found: dict[str, Path] = {}
    for file in candidates:
        if file.suffix.lower() not in TIFF + PNG + NPY or file.name.startswith("."):
            continue
        stem = file.stem.removesuffix(".ome")
        if stem in found:
            msg = f"{found[stem].name!r} and {file.name!r} in {str(path)!r} have the same stem; remove one of them."
            raise InputError(msg)
        found[stem] = file
    if not found:
        msg = f"{str(path)!r} holds no TIFF, PNG or .npy; save the masks as one of them, called as the samples."
        raise InputError(msg)
    return found


def _read(file: Path) -> NDArray[Any]:
    """One plane (H, W): bool, whole numbers from 0, or probabilities as float."""
    try:
        plane = _array(file) if file.suffix.lower() in NPY else decode(file.read_bytes(), str(file))
    except OSError as error:
        msg = f"Masks {str(file)!r} cannot be read: {error.strerror or error}."
        raise InputError(msg) from error
    plane = plane[0] if plane.ndim == 3 and len(plane) == 1 else plane
    if plane.ndim != 2 or plane.dtype.kind not in "buif":
        msg = f"Masks {str(file)!r} are {plane.dtype} of shape {plane.shape}; save one plane (H, W)."
        raise InputError(msg)
    low, high = (plane.min(), plane.max()) if plane.size else (0, 0)
    if plane.dtype.kind == "f" and not (low >= 0 and high <= 1):
        msg = (
            f"Masks {str(file)!r} are {plane.dtype} from {low} to {high}; save labels as whole numbers (uint16), "
            "probabilities from 0 to 1."
        )
        raise InputError(msg)
    if low < 0:
        msg = f"Masks {str(file)!r} hold {low}; labels begin at 0, the background."
        raise InputError(msg)
    return plane


def _array(file: Path) -> NDArray[Any]:
    """What numpy.save wrote; objects, which would have to be unpickled, are refused."""
    try:
        with file.open("rb") as source:
            return np.lib.format.read_array(source, allow_pickle=False)
    except (ValueError, EOFError) as error:
        msg = f"Masks {str(file)!r} are no whole array of numbers; save them with numpy.save, one plane (H, W)."
        raise InputError(msg) from error


def _check_labels(plane: NDArray[Any], file: Path) -> None:
    """Refuse what may be either: 8 bits that reach 255 and have values between may be ids or probabilities."""
    if plane.dtype == np.uint8 and plane.max(initial=0) == 255 and len(np.unique(plane)) > 2:
        msg = (
            f"Masks {str(file)!r} are uint8 up to 255: labels or probabilities? Write weights = "
            f'"{PROBABILITY}PATH" for probabilities, or save labels as uint16.'
        )
        raise InputError(msg)


TEACHER = MasksKind()
