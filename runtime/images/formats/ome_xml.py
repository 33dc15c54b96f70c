"""What OME-XML says about the images of a file, also where it is not quite XML: a bare `&`, decimal commas."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from ..scene import Spacing, micrometres, number, seconds

BARE = re.compile(r"&(?!#?\w+;)")
DOCTYPE = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)  # OME-XML has none; entities may grow without end
SIZES = re.compile(r'(\s(?:PhysicalSize[XYZ]|TimeIncrement)=")(\d+),(\d+)(")')


@dataclass(frozen=True)
class OmeImage:
    """One Image element: its name, size (width, height), how many planes it promises, channels and spacing."""

    name: str
    size: tuple[int, int]
    planes: int
    channels: tuple[str, ...]
    spacing: Spacing


def mended(xml: str) -> str | None:
    """The same XML in a form that strict parsers read; None where it is fit as it is, or beyond mending."""
    try:
        ElementTree.fromstring(xml)
        return SIZES.sub(r"\1\2.\3\4", xml) if SIZES.search(xml) else None
    except ElementTree.ParseError:
        pass
    better = SIZES.sub(r"\1\2.\3\4", BARE.sub("&amp;", xml).rstrip("\0 \r\n"))
    try:
        ElementTree.fromstring(better)
    except ElementTree.ParseError:
        return None
    return better


def images_of(xml: str) -> list[OmeImage]:
    """Its images; none where it cannot be parsed."""
    if DOCTYPE.search(xml):
        return []
    try:
        root = ElementTree.fromstring(mended(xml) or xml)
    except ElementTree.ParseError:
        return []
    return [_image(image) for image in root.iter() if _kind(image) == "Image"]


def _image(image: ElementTree.Element) -> OmeImage:
    pixels = next((child for child in image if _kind(child) == "Pixels"), ElementTree.Element("Pixels"))
    sizes = {axis: _count(pixels.get(f"Size{axis}")) for axis in "XYZCT"}
    channels = [child for child in pixels if _kind(child) == "Channel"]
    names = tuple((channel.get("Name") or channel.get("Fluor") or "").strip() for channel in channels)
    length = {a: micrometres(pixels.get(f"PhysicalSize{a}"), pixels.get(f"PhysicalSize{a}Unit", "um")) for a in "XYZ"}
    step = seconds(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    return OmeImage(
        image.get("Name", ""),
        (sizes["X"], sizes["Y"]),
        sizes["Z"] * sizes["T"] * max(1, sizes["C"]),
        names if any(names) else (),
        Spacing(length["Y"], length["X"], length["Z"], step),
    )


def _count(text: str | None) -> int:
    value = number(text or "")
    return int(value) if value and value > 0 else 0


def _kind(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
