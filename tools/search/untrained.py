"""A student that nobody trained: random weights, and scales that were observed on random tiles.

How long a network takes does not depend on its weights, so this is all that a question about time needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from distill import students
from distill.int8.graph import flatten
from distill.int8.quantize import prepare, scheme_of, stop_observing
from distill.student import validation
from distill.student.student import Student, graph_weights, weights_digest
from runtime.artifact.manifest import DataSource, Lineage

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import GraphModule

    from distill.networks.spec import StudentSpec
    from runtime.artifact.manifest import QuantScheme

TILES = 2  # that the scales are observed on
PASSES = 3  # of the observer, whose averages move
SOURCE = DataSource("random tiles", "CC0-1.0", "the scales were observed on noise; nothing was trained")


def untrained(spec: StudentSpec, seed: int = 0) -> Student:
    """A student of this spec for whatever asks how long it takes; the same one for the same seed.

    InputError where the family cannot build the spec.
    """
    validation.check(spec)
    generator = torch.Generator().manual_seed(seed)
    tiles = torch.rand(TILES, len(spec.channels), *spec.tile, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = students.load(spec.family).build(spec)
    with torch.no_grad():
        model.train()(tiles)  # batch normalisation takes its statistics from them
    graph, scheme = observed(model, spec, tiles)
    weights = graph_weights(graph)
    lineage = Lineage(
        None,
        weights_digest(weights),
        (SOURCE,),
        (SOURCE.licence,),
        {"torch": torch.__version__},
        "tools.search.untrained",
    )
    frame = (tiles[0, 0] * 60000).to(torch.uint16)
    recorded = ((frame, torch.zeros(spec.tile, dtype=torch.int32)),)
    return Student(spec, weights, scheme, lineage, {"labels": "nuclei"}, recorded)


def observed(model: nn.Module, spec: StudentSpec, tiles: Tensor) -> tuple[GraphModule, QuantScheme | None]:
    """The flat graph of a module and its scales, as these tiles call for; None for a family without int8.

    tiles : float32 (N, C, h, w) in [0, 1]
    """
    graph = flatten(model, spec.tile, len(spec.channels))
    if students.load(spec.family).no_int8 is not None:
        return graph, None
    graph = prepare(graph)
    with torch.no_grad():
        for _ in range(PASSES):
            graph.train()(tiles)
    stop_observing(graph)
    return graph, scheme_of(graph)
