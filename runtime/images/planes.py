"""Image files -> frames, and masks -> OME-TIFF. The libraries behind it come with the extras `io` and `readers`."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..system import atomic, extras
from .files import foreign, open_image
from .ome_zarr import choose_scene
from .scene import Spacing

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from .scene import ImageFile, Scene

ALL, MAX, MEAN = "all", "max", "mean"  # of the planes along Z
NUCLEAR = re.compile(
    r"dapi|hoechst|(?<![a-z0-9])h ?-?33(?:342|258)|(?<![a-z0-9])h ?-?3342|draq ?-?5|draq ?-?7|nucle(?:us|i|ar)|"
    r"(?<![a-z0-9])nuc(?![a-z])|sytox|syto ?-?\d+|histone|(?<![a-z0-9])h[23][ab]?(?![a-z0-9])|to-?pro|"
    r"propidium|(?<![a-z0-9])dna(?![a-z])|picogreen|siR-?dna|nls",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PlaneChoice:
    """What is taken of an image file.

    channel : number from 0, or name; None takes the only one, or the one that is nuclear by its name
    scene : number from 0, or name; None takes the only one
    z : "all" planes along Z, one of them by its number, or their "max" or "mean"
    pixel_size_um : instead of what the file states
    """

    channel: int | str | None = None
    scene: int | str | None = None
    z: int | str = ALL
    pixel_size_um: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.z, str) and self.z not in (ALL, MAX, MEAN):
            msg = f"--z is {self.z!r}; give {ALL}, {MAX}, {MEAN}, or the number of a plane, from 0."
            raise InputError(msg)
        if self.pixel_size_um is not None and not 0 < self.pixel_size_um < float("inf"):
            msg = f"The pixel size is {self.pixel_size_um}; give micrometres above 0, such as 0.325."
            raise InputError(msg)


EVERYTHING = PlaneChoice()


def number_or_name(text: str | None) -> int | str | None:
    """A channel, scene or plane as an option says it: whole numbers count from 0, all else is a name."""
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,9}", text) else text


@dataclass(frozen=True)
class Plane:
    """One frame (H, W) of a file; `label` tells it from the others of a stack, "" when it is the only one.

    frame : uint8, uint16 or float32
    time, focus : its index along T and along Z, 0 where there is no such axis
    spacing : as the file states it, or as the choice says; channel : its number and name, "" where there is only one
    """

    frame: NDArray[Any]
    pixel_size_um: float | None
    label: str
    time: int = 0
    focus: int = 0
    spacing: Spacing = field(default=Spacing())
    channel: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:
    """The chosen planes of an open scene, read one at a time.

    loops : lengths of the axes that are left, by letter; T and Z have a meaning, others are pages
    channel : the index along each channel axis, and the channel's number and name
    """

    path: str
    scene: Scene
    choice: PlaneChoice
    loops: dict[str, int]
    at: dict[str, int]
    channel: str

    @property
    def indices(self) -> list[tuple[int, ...]]:
        """Of all planes, in order."""
        return list(product(*(range(size) for size in self.loops.values())))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the frames."""
        own = frame_type(self.scene.dtype, self.path)
        return np.dtype(np.float32) if self.choice.z == MEAN and "Z" in self.scene.loops else own

    @property
    def spacing(self) -> Spacing:
        """As the file states it, unless the choice says otherwise."""
        um, stated = self.choice.pixel_size_um, self.scene.spacing
        return stated if um is None else Spacing(um, um, stated.z_um, stated.t_s)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the file."""
        spacing = self.spacing
        if spacing.is_square:
            return self.scene.notes
        sides = f"its pixels are not square ({spacing.y_um:.4g} x {spacing.x_um:.4g} um, rows x columns)"
        return (*self.scene.notes, f"{sides}: lengths are of a square of the same area")

    def frame(self, index: tuple[int, ...]) -> NDArray[Any]:
        """One frame (H, W): uint8, uint16 or float32; exact but for whole numbers above 2**24 and float64."""
        at = {**self.at, **dict(zip(self.loops, index, strict=True))}
        with foreign(self.path):
            if "Z" in self.scene.loops and self.choice.z in (MAX, MEAN):
                frame = self._projected(at)
            else:
                frame = self.scene.read(tuple(at[axis] for axis in self.scene.loops))
        return _as_frame(frame, self.dtype, self.path)

    @property
    def can_read_parts(self) -> bool:
        """Whether a part of a frame is read without the rest of it."""
        return self.scene.region is not None and self.choice.z not in (MAX, MEAN)

    def part(self, index: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        """Some rows and columns of a frame."""
        if self.scene.region is None or not self.can_read_parts:
            return self.frame(index)[rows, cols]
        at = {**self.at, **dict(zip(self.loops, index, strict=True))}
        with foreign(self.path):
            part = self.scene.region(tuple(at[axis] for axis in self.scene.loops), rows, cols)
        return _as_frame(part, self.dtype, self.path)

    def _projected(self, at: dict[str, int]) -> NDArray[Any]:
        total: Any = None
        depth = self.scene.loops["Z"]
        for z in range(depth):
            frame: Any = self.scene.read(tuple({**at, "Z": z}[axis] for axis in self.scene.loops))
            if self.choice.z == MAX:
                total = frame.copy() if total is None else np.maximum(total, frame, out=total)
            else:
                total = frame.astype(np.float64) if total is None else np.add(total, frame, out=total)
        result: NDArray[Any] = total if self.choice.z == MAX else total / depth
        return result

    def plane(self, index: tuple[int, ...]) -> Plane:
        """One frame and what belongs to it."""
        time, focus = _place(self.loops, index)
        spacing = self.spacing
        label = _label(self.loops, index)
        um = spacing.pixel_size_um
        return Plane(self.frame(index), um, label, time, focus, spacing, self.channel, self.notes)


def stack_of(image: ImageFile, path: str, choice: PlaneChoice = EVERYTHING) -> Stack:
    """The planes that are chosen of an open file; InputError where something is missing, unknown or unclear."""
    names = [scene.name for scene in image.scenes]
    unique = [name if name and names.count(name) == 1 else str(k) for k, name in enumerate(names)]
    scene = image.scenes[unique.index(choose_scene(path, unique, choice.scene, image.default))]
    loops = {axis: size for axis, size in scene.loops.items() if axis not in "CS"}
    at, channel = _channel_of(scene, path, choice.channel)
    if "Z" in loops and choice.z != ALL:
        depth = loops.pop("Z")
        if isinstance(choice.z, int):
            if not 0 <= choice.z < depth:
                msg = f"{path} has {depth} planes along Z, and no plane {choice.z}; give --z 0 to {depth - 1}."
                raise InputError(msg)
            at["Z"] = choice.z
    frame_type(scene.dtype, path)
    return Stack(path, scene, choice, loops, at, channel)


def planes_of(path: Path, choice: PlaneChoice = EVERYTHING) -> Generator[Plane]:
    """The chosen planes of a file one after the other; it stays open meanwhile. InputError as read_planes."""
    with open_image(path) as image:
        stack = stack_of(image, str(path), choice)
        for index in stack.indices:
            yield stack.plane(index)


def read_planes(
    path: Path, channel: int | str | None = None, scene: int | str | None = None, z: int | str = ALL
) -> list[Plane]:
    """Read all planes (time points, focal planes, pages) of one channel of an image file or OME-Zarr; see PlaneChoice.

    InputError when the file is empty, damaged, of another kind, or when the channel is missing, unknown or unclear.
    """
    with closing(planes_of(Path(path), PlaneChoice(channel, scene, z))) as planes:
        return list(planes)


def write_mask_ome_tiff(
    path: Path, array: NDArray[Any], pixel_size_um: float | Spacing | None, axis: str = "T"
) -> None:
    """Write a mask, labels or a probability map as OME-TIFF, as a whole or not at all.

    array : (H, W), or with more axes before, which `axis` names: "T" time, "Z" focus, "TZ" both. Labels, int32, become
        uint16, or uint32 where there are numbers over 65,535
    pixel_size_um : the side of a pixel, or the spacing along all axes
    """
    tifffile = extras.load("tifffile", extra="io")
    if array.dtype.kind == "i":
        array = array.astype(np.uint16 if array.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32)
    metadata: dict[str, Any] = {"axes": "YX" if array.ndim == 2 else f"{axis}YX"}
    spacing = pixel_size_um if isinstance(pixel_size_um, Spacing) else Spacing(pixel_size_um, pixel_size_um)
    stated = {  # in um and s, the units of OME when none is given
        "PhysicalSizeX": spacing.x_um,
        "PhysicalSizeY": spacing.y_um,
        "PhysicalSizeZ": spacing.z_um if "Z" in metadata["axes"] else None,
        "TimeIncrement": spacing.t_s if "T" in metadata["axes"] else None,
    }
    metadata |= {name: value for name, value in stated.items() if value is not None}
    with atomic.replacing(Path(path)) as partial:
        tifffile.imwrite(partial, array, ome=True, photometric="minisblack", compression="zlib", metadata=metadata)


def frame_type(dtype: np.dtype[Any], path: str) -> np.dtype[Any]:
    """The type of an image's frames: the smallest of uint8, uint16, float32 that holds it; InputError if none does."""
    if dtype.kind not in "buif":
        msg = f"{path} holds {dtype}, no grey values; save its magnitude as float32."
        raise InputError(msg)
    for type_ in (np.uint8, np.uint16, np.float32):
        if np.can_cast(dtype, type_, "safe"):
            return np.dtype(type_)
    return np.dtype(np.float32)  # whole numbers above 2**24 and float64 are rounded


def _as_frame(frame: NDArray[Any], dtype: np.dtype[Any], path: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        cast = frame.astype(dtype, copy=False)
    if frame.dtype.kind == "f" and frame.dtype.itemsize > 4 and np.isinf(cast).any() and np.isfinite(frame).all():
        msg = f"{path} holds values up to {np.abs(frame).max():.3g}, too large for float32; scale them down."
        raise InputError(msg)
    return cast


# Channels


def _channel_of(scene: Scene, path: str, channel: int | str | None) -> tuple[dict[str, int], str]:
    """The index along each channel axis, and the channel in words."""
    axes = [axis for axis in scene.loops if axis in "CS"]
    several = [axis for axis in axes if scene.loops[axis] > 1]
    if len(several) > 1:
        msg = f"{path} has the axes {scene.axes} {scene.shape}, of which no frame can be made; save it as OME-TIFF."
        raise InputError(msg)
    at = dict.fromkeys(axes, 0)
    count = scene.loops[several[0]] if several else 1
    names = scene.channels if len(scene.channels) == count else ("",) * count
    if channel is None and several == ["S"] and _is_grey(scene, path):
        channel = 0
    number = choose_channel(names, channel, path)
    if several:
        at[several[0]] = number
    return at, f"{number} {names[number]}".strip() if count > 1 else ""


def choose_channel(names: Sequence[str], channel: int | str | None, path: str, option: str = "--channel N") -> int:
    """The number of a channel: by number or name, the only one, or the only one that is nuclear by its name.

    names : one for each channel, "" where a channel has none. InputError lists them, and names the option to use.
    """
    if channel is None and len(names) == 1:
        return 0
    if isinstance(channel, int) and 0 <= channel < len(names):
        return channel
    if isinstance(channel, str) and len(hits := _named(names, channel)) == 1:
        return hits[0]
    nuclear = [k for k, name in enumerate(names) if NUCLEAR.search(name)]
    if channel is None and len(nuclear) == 1:
        return nuclear[0]
    listed = ", ".join(f"{i} {name}".strip() for i, name in enumerate(names))
    if channel is not None:
        asked = f"there is no channel {channel}, give one of them"
    elif any(names) and not nuclear:
        asked = "none is nuclear by its name, give one"
    else:
        asked = "several may be nuclear, give one" if nuclear else "give one"
    msg = f"{path} has {len(names)} channel(s): {listed}; {asked} with {option}."
    raise InputError(msg)


def _named(names: Sequence[str], name: str) -> list[int]:
    """The channels of that name, whatever its case; else those that have it in their name."""
    wanted = name.strip().lower()
    exact = [k for k, own in enumerate(names) if own.strip().lower() == wanted]
    return exact or [k for k, own in enumerate(names) if wanted and wanted in own.lower()]


def _is_grey(scene: Scene, path: str) -> bool:
    """Whether a picture of colours shows grey alone; its first plane decides."""
    others = [axis for axis in scene.loops if axis != "S"]
    if any(scene.loops[axis] > 1 for axis in others):
        return False
    count = min(3, scene.loops["S"])  # a fourth is transparency
    with foreign(path):
        planes = [scene.read(tuple(k if axis == "S" else 0 for axis in scene.loops)) for k in range(count)]
    return all(np.array_equal(planes[0], plane) for plane in planes[1:])


# Places


def _place(loops: dict[str, int], index: tuple[int, ...]) -> tuple[int, int]:
    """Index along T and along Z."""
    at = dict(zip(loops, index, strict=True))
    return at.get("T", 0), at.get("Z", 0)


def _label(loops: dict[str, int], index: tuple[int, ...]) -> str:
    """E.g. "t003-z010"; axes of length 1 are left out, and pages without a meaning are "p"."""
    parts = zip(loops.items(), index, strict=True)
    return "-".join(f"{axis.lower() if axis in 'TZ' else 'p'}{i:03d}" for (axis, size), i in parts if size > 1)
