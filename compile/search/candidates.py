"""From a candidate to artefacts: built with random weights, compiled for every target in int8 and fp32, run once.

Candidates are built in processes of their own, several at a time. What a library refuses, and a process that it takes
down with it, is a finding about one candidate and loses none of the others.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from compile.export import QuantizedGraph
    from distill.spec import StudentSpec

T, R = TypeVar("T"), TypeVar("R")
PRECISIONS = ("int8", "fp32")
DIED = "the process that built it was killed by one of its libraries, or for want of memory"


@dataclass(frozen=True)
class Made:
    """One artefact of a candidate: where it lies, or why there is none. int8 of convolutions run in int8."""

    target: str
    precision: str
    path: str | None = None
    refused: str | None = None
    int8: int | None = None
    convolutions: int | None = None


@dataclass(frozen=True)
class Candidate:
    """A candidate as built: millions of parameters, 10^9 multiply-adds of 256 x 256 pixels, and its artefacts.

    refused : why there is nothing of it at all; None where there is
    """

    spec: StudentSpec
    parameters_m: float | None = None
    gmac: float | None = None
    made: tuple[Made, ...] = ()
    refused: str | None = field(default=None)


def build_all(
    specs: Sequence[StudentSpec],
    targets: Sequence[str],
    folder: Path,
    seed: int,
    workers: int,
    step: Callable[[str], None] = lambda what: None,
) -> list[Candidate]:
    """All of them, in their order. step : told the name of each that is done"""
    found: dict[int, Candidate] = {}
    work = partial(build, targets=tuple(targets), folder=folder, seed=seed)
    for number, result in gather(work, specs, workers):
        found[number] = Candidate(specs[number], refused=result) if isinstance(result, str) else result
        step(specs[number].name)
    return [found[number] for number in range(len(specs))]


def build(spec: StudentSpec, targets: Sequence[str], folder: Path, seed: int) -> Candidate:
    """One candidate, in this process. folder : gets its artefacts, in a folder of its name"""
    import torch

    from compile.untrained import untrained
    from distill.inventory import size
    from runtime.errors import EdgescopeError

    torch.set_num_threads(1)
    try:
        student, costs = untrained(spec, seed), size(spec)
    except EdgescopeError as error:
        return Candidate(spec, refused=str(error))
    made: list[Made] = []
    for precision in PRECISIONS:
        try:
            graph = _export(student, precision)
        except EdgescopeError as error:
            made += [Made(name, precision, refused=str(error)) for name in targets]
            continue
        made += [_lower(graph, name, folder / spec.name / precision) for name in targets]
    return Candidate(spec, costs["whole_m"], costs["gmac"], tuple(made))


def _export(student: Any, precision: str) -> QuantizedGraph:
    from compile.export import export

    return export(student, student.spec.tile, precision)


def _lower(graph: QuantizedGraph, name: str, folder: Path) -> Made:
    """Compile for a target, write the artefact, and run it once."""
    from compile import targets
    from compile.build import Draft
    from compile.verify import make_probes
    from runtime.errors import EdgescopeError

    target, precision = targets.load(name), graph.precision
    if reason := target.refuses(graph):
        return Made(name, precision, refused=reason)
    try:
        lowered = target.lower(graph)
        draft = Draft.of(graph, name, lowered, make_probes(graph), folder)
    except EdgescopeError as error:
        return Made(name, precision, refused=str(error))
    except Exception as error:  # whatever a library throws at a new architecture is what a search is to find out
        return Made(name, precision, refused=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    counts = lowered.operators
    path = str(draft.artifact.path)
    return Made(name, precision, path, None, counts["int8_convolutions"], counts["convolutions"])


def gather(work: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[int, R | str]]:
    """(number, result) of each item as they come, from processes of their own; DIED in place of one that was killed.

    When a process dies, nobody knows on which item: those without a result then get a process each.
    """
    done: set[int] = set()
    for number, result in _pool(work, list(enumerate(items)), workers):
        done.add(number)
        yield number, result
    for number, item in enumerate(items):
        if number not in done:
            alone = list(_pool(work, [(number, item)], 1))
            yield alone[0] if alone else (number, DIED)


def _pool(work: Callable[[T], R], items: Sequence[tuple[int, T]], workers: int) -> Iterator[tuple[int, R]]:
    """The results until a process dies."""
    fresh = multiprocessing.get_context("spawn")  # a fork of a process that runs threads may hang
    with ProcessPoolExecutor(workers, mp_context=fresh) as pool:
        futures = {pool.submit(work, item): number for number, item in items}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                return
