"""Down to the microcontroller: the INT8 file compiled for an Arm Ethos-U NPU by Arm's compiler Vela.

What runs and is verified here stays the plain .tflite file; Vela's file is added beside it. No NPU is here, so it has
been compiled and not run, and its cycles are Vela's estimate.

The plain file takes and gives float32, which an NPU does not compute: its first and last operators would be left to
the microcontroller's CPU. So Vela is given the same operators without these two. Its file takes and gives int8, and
the manifest holds scale and zero-point of both ends.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compile.target import TargetReport
from runtime.errors import EdgescopeError, InputError
from runtime.system import extras

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from compile.target import Lowered
    from runtime.artifact.manifest import Manifest

CONFIGURATIONS = {  # family: multiply-adds a cycle that it is sold with
    "ethos-u55": (32, 64, 128, 256),
    "ethos-u65": (256, 512),
    "ethos-u85": (128, 256, 512, 1024, 2048),
}
USUAL = 256  # the one that all three are sold with, so that a family without a number can be compared with the others
CUSTOM = "ethos-u"  # the operator of Vela's files that runs on the NPU
KIB = 1024
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


def check(requested: Sequence[str], precision: str) -> tuple[str, ...]:
    """Full names of NPUs, e.g. ("ethos-u55-256",); InputError when they cannot be had.

    requested : each a family, or one with its multiply-adds a cycle, e.g. "ethos-u55" or "ethos-u85-512"
    """
    names = tuple(dict.fromkeys(_full_name(name) for name in requested))
    if precision != "int8":
        msg = (
            f"An NPU computes in int8 alone, and --precision is {precision}; give --precision int8, or leave out --npu."
        )
        raise InputError(msg)
    if not extras.available("ethosu.vela"):
        msg = f"--npu needs the package ethos-u-vela, which is not installed; run: {extras.install('npu')}"
        raise InputError(msg)
    return names


def add(lowered: Lowered, names: Sequence[str]) -> Lowered:
    """Add a file for every NPU, in payload role "tflite_ethos_u55_256" and so on, and what Vela says of it.

    operators.details["npu"] maps each name to a record; see `_record`. EdgescopeError when Vela fails.
    """
    if not names:
        return lowered
    model = integer_edges(lowered.files[lowered.payload["tflite"]])
    files, payload = dict(lowered.files), dict(lowered.payload)
    found: dict[str, Any] = {}
    for name in names:
        compiled = vela(model, name)
        file = f"model.{name}.tflite"
        files[file], payload["tflite_" + name.replace("-", "_")] = compiled.model, file
        found[name] = {"file": file, "bytes": len(compiled.model), **_record(model, compiled)}
    note = (
        "The files for an NPU were compiled and not run: no NPU is here. Cycles and milliseconds are Vela's estimates."
    )
    operators = replace(lowered.operators, details={**lowered.operators.details, "npu": found})
    return replace(lowered, files=files, payload=payload, operators=operators, notes=(*lowered.notes, note))


@dataclass(frozen=True)
class Compiled:
    """Vela's file, and the one row of its summary by column."""

    model: bytes
    summary: Mapping[str, str]


def vela(model: bytes, accelerator: str) -> Compiled:
    """Compile a .tflite file in a process of its own, for Vela's own assumptions of clock and memories.

    EdgescopeError with the end of what Vela printed when it fails.
    """
    with tempfile.TemporaryDirectory(prefix="edgescope-") as place:
        folder = Path(place)
        source = folder / "model.tflite"
        source.write_bytes(model)
        command = (sys.executable, "-m", "ethosu.vela", "--accelerator-config", accelerator, "--output-dir", place)
        ended = subprocess.run([*command, str(source)], capture_output=True, text=True, errors="replace", check=False)
        result, tables = folder / "model_vela.tflite", [*folder.glob("model_summary_*.csv")]
        if ended.returncode or not result.is_file() or not tables:
            said = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
            msg = (
                f"Vela could not compile for {accelerator} (exit {ended.returncode}): {said[-1] if said else 'no word'}"
            )
            raise EdgescopeError(msg)
        with tables[0].open(newline="") as table:
            summary = next(csv.DictReader(table))
        return Compiled(result.read_bytes(), summary)


def integer_edges(model: bytes) -> bytes:
    """The same model without the QUANTIZE at its start and the DEQUANTIZE at its end: int8 in, int8 out.

    EdgescopeError when it does not start and end so.
    """
    from compile.targets.microscope.file import operator_name, pack, unpack

    held = unpack(model)
    (graph,) = held.subgraphs
    first, last = graph.operators[0], graph.operators[-1]
    kinds = (operator_name(held, first), operator_name(held, last))
    if kinds != ("QUANTIZE", "DEQUANTIZE") or first.inputs[0] != graph.inputs[0] or last.outputs[0] != graph.outputs[0]:
        msg = f"The int8 file starts with {kinds[0]} and ends with {kinds[1]}, where QUANTIZE and DEQUANTIZE are due."
        raise EdgescopeError(msg)
    inner = (first.outputs[0], last.inputs[0])
    for outside, inside in zip((graph.inputs[0], graph.outputs[0]), inner, strict=True):
        graph.tensors[inside].name, graph.tensors[outside].name = graph.tensors[outside].name, b""
    graph.operators = graph.operators[1:-1]
    graph.inputs, graph.outputs = ([index] for index in inner)
    for signature in held.signatureDefs or ():
        signature.inputs[0].tensorIndex, signature.outputs[0].tensorIndex = inner
    return pack(held)


def _full_name(name: str) -> str:
    family, _, number = name.removeprefix("ethos-").partition("-")
    full = f"ethos-{family}-{number or USUAL}"
    known = [f"{each}-{macs}" for each, sold in CONFIGURATIONS.items() for macs in sold]
    if full not in known or not name.startswith("ethos-"):
        msg = (
            f"There is no NPU {name!r}; there are {', '.join(known)}. "
            f"{', '.join(CONFIGURATIONS)} without a number are those with {USUAL} multiply-adds a cycle."
        )
        raise InputError(msg)
    return full


def placement(model: bytes, compiled: bytes) -> dict[str, Any]:
    """How much of a model is on the NPU, counted in the file that was given to Vela and the one that it wrote.

    operators, multiply_adds : {"total", "npu", "share" in [0, 1]}; cpu : what is left on the CPU, kind and output
    """
    from compile.targets.microscope.file import unpack

    everything = _work(unpack(model))
    left = [item for item in _work(unpack(compiled)) if item.kind != CUSTOM]
    return {
        "operators": _share(len(everything), len(left)),
        "multiply_adds": _share(sum(item.macs for item in everything), sum(item.macs for item in left)),
        "cpu": [f"{item.kind} ({item.output})" for item in left],
    }


def _record(model: bytes, compiled: Compiled) -> dict[str, Any]:
    """What is on the NPU, and what Vela says that it needs.

    input, output : the int8 tensors; a value is scale * (code - zero_point)
    """
    said = compiled.summary
    return {
        "compiler": f"ethos-u-vela {extras.version('ethos-u-vela')}",
        "system": said["system_config"],
        "memory_mode": said["memory_mode"],
        **placement(model, compiled.model),
        "memory_bytes": {
            area: int(float(said[f"{area}_memory_used"]) * KIB)
            for area in ("sram", "dram", "on_chip_flash", "off_chip_flash")
        },
        "estimate": {
            "by": "Vela's model of the NPU; not a measurement",
            "cycles": int(float(said["cycles_total"])),
            "clock_hz": float(said["core_clock"]),
            "milliseconds": round(1e3 * float(said["inference_time"]), 3),
        },
        **_edges(compiled.model),
    }


@dataclass(frozen=True)
class Work:
    """One operator: its kind, the tensor that it makes, and its multiply-adds."""

    kind: str
    output: str
    macs: int


def _work(held: Any) -> list[Work]:
    from compile.targets.microscope.file import operator_name, tensor_name

    (graph,) = held.subgraphs
    found: list[Work] = []
    for operator in graph.operators:
        kind, output = operator_name(held, operator), graph.tensors[operator.outputs[0]]
        macs = 0
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):  # every weight once for each pixel of the output
            weights = 1
            for side in graph.tensors[operator.inputs[1]].shape:
                weights *= int(side)
            macs = weights * int(output.shape[1]) * int(output.shape[2])
        found.append(Work(kind, tensor_name(output), macs))
    return found


def _share(total: int, left: int) -> dict[str, Any]:
    return {"total": total, "npu": total - left, "share": round(1 - left / total, 4) if total else 0.0}


def _edges(model: bytes) -> dict[str, Any]:
    from compile.targets.microscope.file import tensor_name, unpack

    (graph,) = unpack(model).subgraphs
    ends = {"input": graph.tensors[graph.inputs[0]], "output": graph.tensors[graph.outputs[0]]}
    return {
        end: {
            "name": tensor_name(tensor),
            "shape": [int(side) for side in tensor.shape],
            "dtype": "int8",
            "scale": float(tensor.quantization.scale[0]),
            "zero_point": int(tensor.quantization.zeroPoint[0]),
        }
        for end, tensor in ends.items()
    }


def reports(manifest: Manifest) -> Iterator[TargetReport]:
    """What Vela made of an artefact's model: a row for every NPU, and how int8 is read and written."""
    if records := manifest.operators.details.get("npu"):
        rows = tuple(cells(name, record) for name, record in records.items())
        yield TargetReport("On an Ethos-U NPU", COLUMNS, rows, tuple(_lines(records)))


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


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
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
