"""From a candidate to artefacts: built with random weights, compiled for every target in int8 and fp32, run once.

Candidates are built in processes of their own, several at a time. What a library refuses, and a process that it takes
down with it, is a finding about one candidate and loses none of the others.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from runtime.errors import EdgescopeError
from runtime.system.atomic import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from compile.export import QuantizedGraph
    from distill.networks.spec import StudentSpec
    from distill.student.student import Student
    from runtime.artifact.probes import ProbeSet

T = TypeVar("T")
R = TypeVar("R")
PRECISIONS = ("int8", "fp32")
SAID = 300  # characters of what another library said
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
class BuiltStudent:
    """A candidate as built: millions of parameters, 10^9 multiply-adds of 256 x 256 pixels, and its artefacts.

    refused : why there is nothing of it at all; None where there is
    """

    spec: StudentSpec
    parameters_m: float | None = None
    gmac: float | None = None
    made: tuple[Made, ...] = ()
    refused: str | None = None


def build_all(
    specs: Sequence[StudentSpec],
    targets: Sequence[str],
    folder: Path,
    seed: int,
    workers: int,
    step: Callable[[str], None] = lambda what: None,
) -> list[BuiltStudent]:
    """All of them, in their order. step : told the name of each that is done"""
    found: dict[int, BuiltStudent] = {}
    work = partial(build, targets=tuple(targets), folder=folder, seed=seed)
    for number, result in gather(work, specs, workers):
        found[number] = BuiltStudent(specs[number], refused=result) if isinstance(result, str) else result
        step(specs[number].name)
    return [found[number] for number in range(len(specs))]


def build(spec: StudentSpec, targets: Sequence[str], folder: Path, seed: int) -> BuiltStudent:
    """One candidate, in this process. folder : gets its artefacts, in a folder of its name"""
    import torch

    from distill.student.inventory import size
    from tools.search.untrained import untrained

    torch.set_num_threads(1)
    try:
        student, costs = untrained(spec, seed), size(spec)
    except Exception as error:  # whatever a library throws at a new architecture is what a search is to find out
        return BuiltStudent(spec, refused=_reason(error))
    made = [one for precision in PRECISIONS for one in _precision(student, precision, targets, folder / spec.name)]
    return BuiltStudent(spec, costs["whole_m"], costs["gmac"], tuple(made))


def _precision(student: Student, precision: str, targets: Sequence[str], folder: Path) -> Iterator[Made]:
    """The artefacts of one precision, each written and run once on a tile."""
    from compile.accuracy.verify import make_probes
    from compile.export import export

    try:
        graph = export(student, student.spec.tile, precision)
        probes = make_probes(graph)
    except Exception as error:  # see build
        yield from (Made(name, precision, refused=_reason(error)) for name in targets)
        return
    make_folder(folder / precision)
    for name in targets:
        try:
            yield _lower(graph, name, probes, folder / precision)
        except Exception as error:  # see build
            yield Made(name, precision, refused=_reason(error))


def _lower(graph: QuantizedGraph, name: str, probes: ProbeSet, folder: Path) -> Made:
    from compile import targets
    from compile.trial import Draft

    target = targets.load(name)
    if reason := target.refuses(graph):
        return Made(name, graph.precision, refused=reason)
    lowered = target.lower(graph, {})
    draft = Draft.of(graph, target, lowered, probes, folder)
    counts = lowered.operators
    path = str(draft.artifact.path)
    return Made(name, graph.precision, path, None, counts.int8_convolutions, counts.convolutions)


def _reason(error: Exception) -> str:
    """What was said, in a line; the type of an error that is not ours."""
    said = " ".join(str(error).split())
    return said if isinstance(error, EdgescopeError) else f"{type(error).__name__}: {said[:SAID]}"


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
