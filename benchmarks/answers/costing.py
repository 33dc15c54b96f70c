"""What a frame of another size takes, cut into tiles or as one tile, and what an image costs in energy and money.

Times of a frame come from the stages that were measured: the network's grows with the pixels of all tiles, which
overlap, and everything else with the pixels of the frame. As one tile a frame has no overlap, so it is quicker; its
memory is another one, so it is no choice where memory is limited. All of this is an estimate until it is measured, and
says so.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.frames.tiling import Grid
from runtime.records import Record

if TYPE_CHECKING:
    from benchmarks.report.report import Row

OVERLAP = 32  # pixels, at most half a tile: what `compile` lays between neighbouring tiles; a report does not say it
STRIDE = 32  # pixels: sides of a tile are multiples of it
LARGEST_TILE = 4096  # pixels of a side: beyond it nothing was tried
HOURS = 10_000.0  # of work in which a device's price is spread: five years of 2,000 hours
NETWORK_STAGES = ("host_to_device", "inference", "device_to_host")
OTHER_STAGES = ("preprocess", "postprocess", "labels", "objects")


@dataclass(frozen=True)
class FramePlan(Record):
    """How a frame of the requested size is segmented, and by how much the measured times change for it.

    tile, tiles : (height, width), and how many cover the frame
    factor : by which a measured frame's time is multiplied; 1 for a frame of the measured size
    estimated : whether it rests on an assumption instead of a measurement of such a frame; assumed : in words
    command : makes an artefact of this tile, where that is another one than was measured
    as_measured : the factor with the tile that was measured
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    tiles: int
    factor: float
    estimated: bool
    assumed: str
    command: str | None
    as_measured: float


def plan_frame(row: Row, measured: tuple[int, int], shape: tuple[int, int], *, one_tile: bool = True) -> FramePlan:
    """How an artefact segments a frame most quickly.

    measured : (height, width) of the frame that was timed; shape : of the requested one
    one_tile : whether an artefact with the frame as its only tile may be proposed
    """
    before, after = tiles_of(row, measured), tiles_of(row, shape)
    as_measured = FramePlan(shape, row.tile, after, 1.0, False, f"measured on frames of {sides(shape)}", None, 1.0)
    network = _network_share(row)
    pixels = prod(shape) / prod(measured)
    if shape != measured:
        factor = after / before if network is None else network * after / before + (1 - network) * pixels
        how = "time" if network is None else "the network's time"
        rest = "" if network is None else f" ({network:.0%} of the frame), and the rest with its pixels"
        assumed = (
            f"measured on frames of {sides(measured)}; assumed: {how} grows with the number of tiles of "
            f"{sides(row.tile)}{rest}, from {before} to {after} tiles with as many objects each"
        )
        as_measured = FramePlan(shape, row.tile, after, factor, True, assumed, None, factor)
    whole = (_up(shape[0]), _up(shape[1]))
    if not one_tile or after == 1 or network is None or max(whole) > LARGEST_TILE:
        return as_measured
    of_network = prod(whole) / (before * prod(row.tile))
    factor = network * of_network + (1 - network) * pixels
    assumed = (
        f"estimated from frames of {sides(measured)} in {before} tile{'s' if before > 1 else ''} of {sides(row.tile)}: "
        f"one tile without overlap has {prod(whole) / (after * prod(row.tile)):.0%} of the pixels of {after} tiles; "
        "its memory was not measured"
    )
    command = compile_command(row, whole)
    quicker = FramePlan(shape, whole, 1, factor, True, assumed, command, as_measured.factor)
    return quicker if factor < as_measured.factor else as_measured


def compile_command(row: Row, tile: tuple[int, int]) -> str:
    """What makes the same artefact with another tile."""
    words = ["python", "-m", "compile", "--target", row.target, "--student", row.student]
    words += [] if row.precision == "int8" else ["--precision", row.precision]
    return shlex.join([*words, "--tile", sides(tile)])


def tiles_of(row: Row, shape: tuple[int, int]) -> int:
    """How many tiles cover a frame."""
    return len(Grid.over(shape, row.tile, min(OVERLAP, min(row.tile) // 2)))


def sides(shape: tuple[int, int]) -> str:
    """E.g. "512x2048"."""
    return f"{shape[0]}x{shape[1]}"


def _up(side: int) -> int:
    return -(-side // STRIDE) * STRIDE


def _network_share(row: Row) -> float | None:
    """Of a frame's time, by the medians of its stages; None for a report without stages."""
    stages = row.timing and row.timing.stages
    if not stages:
        return None
    medians = {name: stage.p50 or 0.0 for name in (*NETWORK_STAGES, *OTHER_STAGES) if (stage := getattr(stages, name))}
    total = sum(medians.values())
    return sum(medians.get(name, 0.0) for name in NETWORK_STAGES) / total if total else None


# Energy and money.


@dataclass(frozen=True)
class Rates(Record):
    """What the caller says of his devices and of electricity.

    price, power_w : by a part of a device's name, "" for all others; in any currency, and watts while it works
    kwh_price : of a kilowatt hour, in the same currency
    hours : of work in which the price is spread
    plate : images of a plate; None: no figures of a plate
    """

    price: Mapping[str, float] = field(default_factory=dict)
    power_w: Mapping[str, float] = field(default_factory=dict)
    kwh_price: float | None = None
    hours: float = HOURS
    plate: int | None = None

    def __post_init__(self) -> None:
        amounts = [("--price", value) for value in self.price.values()]
        amounts += [("--power", value) for value in self.power_w.values()]
        amounts += [("--kwh-price", self.kwh_price or 0.0), ("--hours", self.hours)]
        for option, value in amounts:
            if not 0 <= value < 1e12:
                msg = f"{option} is {value:g}; it must be a number from 0 on, in whole units."
                raise InputError(msg)
        if self.hours <= 0:
            msg = f"--hours is {self.hours:g}; a price is spread over more than 0 hours of work."
            raise InputError(msg)


def parse_amounts(option: str, texts: tuple[str, ...]) -> dict[str, float]:
    """Read "[DEVICE=]AMOUNT" each; InputError names the option and the part that is none."""
    amounts: dict[str, float] = {}
    for text in texts:
        device, _, amount = text.rpartition("=")
        try:
            amounts[device.strip()] = float(amount)
        except ValueError as error:
            msg = f"{option} {text!r} is no amount; give AMOUNT, or DEVICE=AMOUNT with a part of the device's name."
            raise InputError(msg) from error
    return amounts


@dataclass(frozen=True)
class ImageCost(Record):
    """What one image costs on a device; a figure that nothing is known for is None.

    seconds : between one image and the next: what it takes, or the camera's pace where that is slower
    joules, images_per_kwh : with what the device draws while it waits; energy_from : where that comes from
    money : of device and energy together, in the caller's currency; money_of : what is counted in it
    plate_minutes, plate_kwh, plate_money : of a whole plate
    """

    seconds: float
    joules: float | None
    images_per_kwh: float | None
    energy_from: str
    money: float | None
    money_of: str
    plate_minutes: float | None
    plate_kwh: float | None
    plate_money: float | None


def cost_of_image(row: Row, names: tuple[str, ...], frame_s: float, pace_s: float, rates: Rates) -> ImageCost:
    """names : of the device, to find its price and power; frame_s : of work; pace_s : the camera's, or 0"""
    seconds = max(frame_s, pace_s)
    joules, energy_from = _joules(row, frame_s, seconds, _of_device(rates.power_w, names))
    price = _of_device(rates.price, names)
    of_device = None if price is None else price * seconds / 3600 / rates.hours
    of_energy = None if joules is None or rates.kwh_price is None else joules / 3.6e6 * rates.kwh_price
    parts = [part for part in (of_device, of_energy) if part is not None]
    counted = [
        *([] if of_device is None else [f"the device in {rates.hours:,.0f} hours of work"]),
        *([] if of_energy is None else ["energy"]),
    ]
    money = sum(parts) if parts else None
    return ImageCost(
        seconds=seconds,
        joules=joules,
        images_per_kwh=3.6e6 / joules if joules else None,
        energy_from=energy_from,
        money=money,
        money_of=" and ".join(counted),
        plate_minutes=rates.plate and rates.plate * seconds / 60,
        plate_kwh=rates.plate and (None if joules is None else rates.plate * joules / 3.6e6),
        plate_money=rates.plate and (None if money is None else rates.plate * money),
    )


def _joules(row: Row, frame_s: float, seconds: float, power_w: float | None) -> tuple[float | None, str]:
    """What was given counts before what was measured: a meter at the wall sees the whole machine."""
    if power_w is not None:
        return power_w * seconds, f"{power_w:g} W, as --power says"
    if row.energy is None:
        return None, f"not measured: {row.not_measured.get('energy', 'the report has no energy')}"
    waits = max(0.0, seconds - frame_s) * row.energy.idle_w
    return row.energy.busy_w * frame_s + waits, f"measured: {row.energy.sensor}, idle included"


def _of_device(amounts: Mapping[str, float], names: tuple[str, ...]) -> float | None:
    text = " ".join(names).lower()
    return next((value for part, value in amounts.items() if part and part.lower() in text), amounts.get(""))
