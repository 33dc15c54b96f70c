"""Reports of version 1, as edgescope 0.1.0 wrote them, in today's form: what they do not have is None."""

from collections.abc import Mapping
from typing import Any

from runtime.errors import InputError

Json = dict[str, Any]

DEVICE = (
    *("board", "distribution", "logical_cores", "quota_cores", "clocks", "memory_limit_mb", "container"),
    *("virtual_machine", "on_battery", "jetson", "throttled"),
)
PROTOCOL = ("dice", "iou", "object_ap")


def convert(value: Mapping[str, Any]) -> Json:
    """The JSON of version 1 as JSON of version 2, which the caller reads as strictly as any other.

    `schema_version` stays 1 and `digest` is None: nothing proves that the file is as it was written."""
    try:
        return {
            **value,
            "device": _device(value["device"]),
            "constrained": None,
            "data": {**value["data"], "content": None},
            "protocol": {**value["protocol"], "throughput": False, "sustain_minutes": None},
            "noise": None,
            "rows": [_row(row, value["protocol"]["threads"]) for row in value["rows"]],
            "digest": None,
        }
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        msg = f"It says that its schema_version is 1, but is not built like that ({type(error).__name__}: {error})."
        raise InputError(msg) from error


def _device(device: Json) -> Json:
    unknown = dict.fromkeys(DEVICE)
    return {**device, **unknown, "affinity": [], "numa": [], "drivers": {}, "warnings": []}


def _row(row: Json, threads: int | None) -> Json:
    timing = row["timing"]
    return {
        **row,
        "threads": threads,
        "quality": row["quality"] and _quality(row["quality"]),
        "timing": timing and _timing(timing),
        "memory": timing and _memory(timing),
        "throughput": None,
        "sustained": None,
        "energy": None,
        "not_measured": {},
    }


def _timing(timing: Json) -> Json:
    kept = {name: item for name, item in timing.items() if name not in ("baseline_mb", "peak_mb")}
    return {
        **kept,
        "tile_ms": _latency(timing["tile_ms"]),
        "frame_ms": _latency(timing["frame_ms"]),
        "stages": None,
        "rounds": [_round(one) for one in timing["rounds"]],
    }


def _round(one: Json) -> Json:
    kept = {name: item for name, item in one.items() if name not in ("baseline_mb", "peak_mb")}
    return {**kept, "stages": None, "memory": _memory(one)}


def _memory(holder: Json) -> Json:
    known = {name: holder[name] for name in ("baseline_mb", "peak_mb")}
    return {**known, "steady_mb": None, "device_mb": None, "available_drop_mb": None}


def _latency(latency: Json) -> Json:
    return {**latency, "mean": None, "sd": None, "mad": None, "iqr": None}


def _quality(quality: Json) -> Json:
    """Object F1 and the error in the count follow from the objects that version 1 counted; outlines do not."""
    images = quality["images"]
    counts = [image["objects"] for image in images]
    f1 = [_f1(count) for count in counts]
    errors = [abs(invented - missed) for _, invented, missed in counts]
    found, invented, missed = (sum(count[i] for count in counts) for i in range(3))
    labelled = found + missed
    return {
        "labels": quality["labels"],
        "protocol": dict.fromkeys(PROTOCOL, quality["protocol"]),
        "dice": _figure(quality["dice"], quality["interval"], quality["dice_pooled"], images),
        "iou": _figure(quality["iou"], None, quality["iou_pooled"], images),
        "boundary_f1": None,
        "hd95_px": None,
        "object_f1": _figure(sum(f1) / len(f1), None, _f1([found, invented, missed]), images),
        "object_ap": _figure(quality["object_ap"], None, quality["object_ap_pooled"], images),
        "panoptic_quality": None,
        "count_error": _figure(
            sum(errors) / len(errors), None, (invented - missed) / labelled if labelled else None, images
        ),
        "images": [{**image, "boundary_f1": None, "hd95_px": None, "matched_iou": None} for image in images],
        "worst": [],
    }


def _figure(mean: float, interval: list[float] | None, pooled: float | None, images: list[Json]) -> Json:
    return {"mean": mean, "interval": interval, "pooled": pooled, "images": len(images)}


def _f1(count: list[int]) -> float:
    found, invented, missed = count
    return 2 * found / (2 * found + invented + missed) if found + invented + missed else 1.0
