"""The frames that travel with a student: real inputs to replay wherever it runs, with their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from distill import datasets

if TYPE_CHECKING:
    from distill.config.sections import Config

    Probes = tuple[tuple[torch.Tensor, torch.Tensor], ...]

COUNT = 4


def choose_probes(config: Config) -> Probes:
    """Up to four frames (h, w) with their labels, from data.record or else from the validation images.

    Labels are uint16 (h, w), or int32 where there are more objects than that holds. A frame that is larger than a
    training crop is cut to that size at its centre. InputError for a record that is not there, or has other labels.
    """
    spec = config.data.record or config.data.validation[0]
    data, labelled = datasets.open(spec, "all" if config.data.record else "val"), config.data.labels
    chosen = np.unique(np.linspace(0, len(data) - 1, min(COUNT, len(data))).round().astype(int))
    remedy = "name other images as data.record" if config.data.record else "set data.labels"
    probes = []
    for index in chosen:
        sample = data[int(index)]
        rows, cols = (_centre(side, config.data.crop) for side in sample.frame.shape)
        frame = np.ascontiguousarray(sample.frame[rows, cols])
        labels = np.ascontiguousarray(sample.labels_of(labelled, remedy)[rows, cols])
        kind = np.uint16 if labels.max(initial=0) < 2**16 else np.int32
        probes.append((torch.from_numpy(frame), torch.from_numpy(labels.astype(kind))))
    return tuple(probes)


def _centre(side: int, crop: int) -> slice:
    start = max(0, (side - crop) // 2)
    return slice(start, start + min(side, crop))
