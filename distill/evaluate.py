"""How well a student segments labelled images: per image, and over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from distill.predict import seen
from runtime.boundary import boundary_f1
from runtime.instances import label_objects
from runtime.overlap import confusion, dice, dice_of, iou_of, match_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from distill.datasets import Sample
    from distill.spec import StudentSpec

PROTOCOL = (
    "Dice and IoU of the foreground; an image without labels scores 1 if nothing was found, else 0. "
    "Objects match at IoU > 0.5; score = TP / (TP + FP + FN), an image without objects and detections counts 1. "
    "Labelled objects are counted whatever their size; detections under the student's min_area are dropped. "
    "Boundary F1: outlines within 2 pixels of each other. Object count error: |found - labelled| / labelled of an "
    "image, where none is labelled / 1."
)


def evaluate(
    predict: Callable[[NDArray[Any]], NDArray[np.float32]],
    spec: StudentSpec,
    samples: Iterable[Sample],
    labels: str,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Score ``predict`` (what the spec's student sees, to probabilities (C, H, W)) on samples; a JSON-ready result.

    labels : "nuclei" or "cells". The spec gives the meaning of the channels and the thresholds.
    """
    rows = []
    for sample in samples:
        rows.append(_score(predict(seen(sample, spec)), spec, sample, labels))
        progress()
    return summarize(rows)


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over images, and figures pooled over all pixels and all objects, of rows from one image each."""
    total = {key: sum(row[key] for row in rows) for key in ("tp", "fp", "fn", "matched", "extra", "missed")}
    pixels = total["tp"], total["fp"], total["fn"]
    objects = total["matched"] + total["extra"] + total["missed"]
    return {
        "images": len(rows),
        "dice_mean": float(np.mean([row["dice"] for row in rows])),
        "dice_pooled": dice_of(*pixels),
        "iou_mean": float(np.mean([row["iou"] for row in rows])),
        "iou_pooled": iou_of(*pixels),
        "ap50_mean": float(np.mean([row["ap50"] for row in rows])),
        "ap50_pooled": total["matched"] / objects if objects else 1.0,
        "boundary_f1": float(np.mean([row["boundary_f1"] for row in rows])),
        "object_count_error": float(np.mean([row["object_count_error"] for row in rows])),
        "protocol": PROTOCOL,
        "per_image": rows,
    }


def _score(probability: NDArray[np.float32], spec: StudentSpec, sample: Sample, labels: str) -> dict[str, Any]:
    truth = sample.labels[labels]
    mask = probability[0] > spec.threshold
    core = probability[spec.outputs.index("core")] if "core" in spec.outputs else None
    found = label_objects(probability[0], core, spec.threshold, spec.objects)
    tp, fp, fn = confusion(truth > 0, mask)
    counts = match_objects(truth, found)
    return {
        "name": sample.name,
        "dice": dice(mask, truth > 0),
        "iou": iou_of(tp, fp, fn),
        "ap50": counts.average_precision,
        "boundary_f1": boundary_f1(mask, truth > 0),
        "object_count_error": abs(counts.fp - counts.fn) / max(1, counts.tp + counts.fn),
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "matched": counts.tp,
        "extra": counts.fp,
        "missed": counts.fn,
    }
