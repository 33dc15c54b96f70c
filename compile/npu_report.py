"""What Vela made of a model, as cells of a table and lines of text: for the terminal and for CARD.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COLUMNS = (
    "NPU",
    "operators on it",
    "multiply-adds on it",
    "SRAM, MB",
    "flash, MB",
    "DRAM, MB",
    "estimated cycles",
    "estimated ms",
    "file, MB",
)


def cells(name: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of the table under COLUMNS."""
    operators, macs, memory, estimate = (
        record[key] for key in ("operators", "multiply_adds", "memory_bytes", "estimate")
    )
    flash = memory["on_chip_flash"] + memory["off_chip_flash"]
    return (
        name,
        f"{operators['npu']}/{operators['total']}, {100 * operators['share']:.1f} %",
        f"{100 * macs['share']:.1f} % of {macs['total'] / 1e9:.2f} G",
        *(f"{bytes_ / 1e6:.2f}" for bytes_ in (memory["sram"], flash, memory["dram"])),
        f"{estimate['cycles'] / 1e6:.1f} M",
        f"{estimate['milliseconds']:.1f} at {estimate['clock_hz'] / 1e6:.0f} MHz",
        f"{record['bytes'] / 1e6:.2f}",
    )


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What the table does not say: assumptions, what is left on the CPU, and how int8 is read and written."""
    for name, record in found.items():
        left = ", ".join(record["cpu"]) or "nothing"
        yield f"{name} in {record['system']}, {record['memory_mode']} ({record['compiler']}); left on the CPU: {left}."
    image, probability = (next(iter(found.values()))[end] for end in ("input", "output"))
    yield (
        f"These files take and give int8: code = round(image / {image['scale']:.9g}){_signed(image['zero_point'])}, "
        f"probability = {probability['scale']:.9g} * (code{_signed(-probability['zero_point'])})."
    )


def _signed(number: int) -> str:
    return f" {'-' if number < 0 else '+'} {abs(number)}" if number else ""
