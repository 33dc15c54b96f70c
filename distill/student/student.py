"""A trained student on disk: safetensors weights, its spec, its scales, its lineage. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch

from distill import students
from distill.int8.graph import fold, trace
from distill.int8.quantize import apply_scheme, copy_of, prepare
from distill.networks.spec import StudentSpec
from distill.student import validation
from distill.student.description import DEFAULT, DESCRIPTION, METRICS, folder_of, names, read_json
from runtime.artifact.manifest import Lineage, QuantScheme
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn
    from torch.fx import GraphModule

__all__ = ["DEFAULT", "Student", "load", "names", "save"]

SCHEMA_VERSION = 1
WEIGHTS, SCHEME, PROBES = "weights.safetensors", "scheme.json", "probes.safetensors"


@dataclass(frozen=True, eq=False)
class Student:
    """A student and where it comes from.

    weights : tensors of the flat graph (batch normalisation folded), float32, by name
    scheme : activation scales, or None for a student that was not trained for int8
    probes : frames (h, w) that travel with the student, and their instance labels (h, w), integers
    """

    spec: StudentSpec
    weights: Mapping[str, Tensor]
    scheme: QuantScheme | None
    lineage: Lineage
    metrics: Mapping[str, Any]
    probes: tuple[tuple[Tensor, Tensor], ...] = field(default=())

    @property
    def labels(self) -> str:
        """Which objects it was trained on: "nuclei" or "cells"."""
        return str(self.metrics.get("labels", "nuclei"))

    def graph(self, tile: tuple[int, int] | None = None) -> GraphModule:
        """The float student for tiles of (h, w) pixels: (N, 1, h, w) in [0, 1] to logits (N, C, h, w)."""
        height, width = tile or self.spec.tile
        family = students.load(self.spec.family)
        if height < 1 or width < 1 or height % family.stride or width % family.stride:
            nearest = [max(family.stride, round(side / family.stride) * family.stride) for side in (height, width)]
            msg = (
                f"Tile {height}x{width} is not a multiple of the student's stride {family.stride}; "
                f"try {nearest[0]}x{nearest[1]}."
            )
            raise InputError(msg)
        graph = copy_of(_folded(_network_of(self.spec), (height, width)))
        _load_weights(graph, self.weights)
        return graph

    def quantized(self, tile: tuple[int, int] | None = None) -> GraphModule:
        """The same student computing as int8 does (fake quantisation); InputError when it has no scheme."""
        if reason := students.load(self.spec.family).no_int8:
            msg = f"Student {self.spec.name} has no int8 form: {reason}; use --precision fp16 or fp32."
            raise InputError(msg)
        if self.scheme is None:
            msg = f"Student {self.spec.name} has no quantisation scheme; use --precision fp16 or fp32."
            raise InputError(msg)
        graph = prepare(self.graph(tile))
        apply_scheme(graph, self.scheme)
        return graph


def _network_of(spec: StudentSpec) -> StudentSpec:
    """The spec with the defaults for what is chosen after training, so that such students share one traced graph."""
    return StudentSpec(
        "", spec.family, spec.channels, spec.decoder, spec.squeeze_excite, spec.encoder, spec.head_stride,
        spec.separable, spec.outputs, spec.tile,
    )  # fmt: skip


def flat(network: nn.Module, spec: StudentSpec) -> GraphModule:
    """The flat graph of a network that a spec describes, for the spec's tiles; see distill.int8.graph.

    As `flatten` gives it, bit for bit. Networks of one kind are traced once in a process, which takes seconds.
    """
    graph = copy_of(_traced(_network_of(spec), spec.tile))
    values = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    graph.load_state_dict({name: values[name] for name in graph.state_dict()})
    return fold(graph)


@lru_cache(maxsize=4)
def _traced(spec: StudentSpec, tile: tuple[int, int]) -> GraphModule:
    """The graph of a network with random weights, and its batch normalisation."""
    with torch.random.fork_rng(devices=[]):  # so that it makes no difference to a training who asked before
        return trace(students.load(spec.family).build(spec), tile, len(spec.channels))


@lru_cache(maxsize=2)
def _folded(spec: StudentSpec, tile: tuple[int, int]) -> GraphModule:
    """The same without batch normalisation: a compilation asks for it many times."""
    return fold(copy_of(_traced(spec, tile)))


def load(name: str | Path = DEFAULT) -> Student:
    """Read a bundled student by name, or any student from its folder. InputError says what is missing or wrong."""
    folder = folder_of(name)
    description = read_json(folder / DESCRIPTION)
    if description.get("schema_version") != SCHEMA_VERSION:
        msg = (
            f"{folder / DESCRIPTION} has schema version {description.get('schema_version')!r}; "
            f"this edgescope reads version {SCHEMA_VERSION}."
        )
        raise InputError(msg)
    weights = _read_tensors(folder / WEIGHTS)
    try:
        spec = StudentSpec.from_dict(description["spec"], "spec")
        lineage = Lineage.from_dict(description["lineage"], "lineage")
    except KeyError as error:
        msg = f"{folder / DESCRIPTION} is not a student's description: {error} is missing."
        raise InputError(msg) from error
    validation.check(spec, f"{folder / DESCRIPTION}: spec")
    _check_digest(folder, lineage, weights_digest(weights))
    scheme = _read_scheme(folder / SCHEME) if (folder / SCHEME).exists() else None
    metrics = read_json(folder / METRICS) if (folder / METRICS).exists() else {}
    return Student(spec, weights, scheme, lineage, metrics, _read_probes(folder / PROBES))


def save(student: Student, folder: Path) -> None:
    """Write a student's files into an existing folder (the caller renames it into place)."""
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(dict(student.weights)))
    description = {
        "schema_version": SCHEMA_VERSION,
        "spec": student.spec.to_dict(),
        "lineage": student.lineage.to_dict(),
        "parameters": parameters(student.spec),
    }
    _write_json(folder / DESCRIPTION, description)
    _write_json(folder / METRICS, dict(student.metrics))
    if student.scheme is not None:
        _write_json(folder / SCHEME, student.scheme.to_dict())
    tensors = {}
    for number, (frame, labels) in enumerate(student.probes):
        tensors[f"frame.{number}"], tensors[f"labels.{number}"] = frame, labels
    if tensors:
        (folder / PROBES).write_bytes(safetensors.torch.save(tensors))


def parameters(spec: StudentSpec) -> dict[str, float | None]:
    """Parameters in millions by both conventions: the encoder alone, as the paper counts, and the whole student.

    paper_backbone_m is what the paper quotes of the encoder, or None where it has no such student.
    """
    family = students.load(spec.family)
    return {**module_parameters(family.build(spec)), "paper_backbone_m": family.paper_parameters_m}


def module_parameters(model: nn.Module) -> dict[str, float]:
    """Parameters in millions of a student's module: of its child ``encoder``, and of all of it."""
    count = {name: sum(p.numel() for p in module.parameters()) / 1e6 for name, module in model.named_children()}
    return {"backbone_m": round(count["encoder"], 3), "whole_m": round(sum(count.values()), 3)}


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes and float32 values, independent of the file that holds them."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().float().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def graph_weights(graph: GraphModule) -> dict[str, Tensor]:
    """The weights and biases of a flat (or prepared) graph, by name."""
    return {name: value.detach().clone().contiguous() for name, value in graph.named_parameters()}


def _load_weights(graph: GraphModule, weights: Mapping[str, Tensor]) -> None:
    own = dict(graph.named_parameters())
    if missing := sorted(own.keys() ^ weights.keys()):
        msg = f"The weights do not fit the student's family: {missing[0]} and {len(missing) - 1} more do not match."
        raise InputError(msg)
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != weights[name].shape:
                msg = f"Weight {name} has shape {tuple(weights[name].shape)}, not {tuple(parameter.shape)}."
                raise InputError(msg)
            parameter.copy_(weights[name])


def _check_digest(folder: Path, lineage: Lineage, digest: str) -> None:
    if digest != lineage.weights_sha256:
        msg = f"{folder / WEIGHTS} was changed: its digest is {digest[:12]}..., not {lineage.weights_sha256[:12]}..."
        raise InputError(msg)


def _read_scheme(path: Path) -> QuantScheme:
    content = read_json(path)
    try:
        return QuantScheme.from_dict(content)
    except InputError as error:
        msg = f"{path}: {error}"
        raise InputError(msg) from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return {name: tensor.float() for name, tensor in safetensors.torch.load_file(path).items()}
    except (OSError, safetensors.SafetensorError) as error:
        msg = f"{path} cannot be read as safetensors: {error}."
        raise InputError(msg) from error


def _read_probes(path: Path) -> tuple[tuple[Tensor, Tensor], ...]:
    if not path.exists():
        return ()
    try:
        tensors = safetensors.torch.load_file(path)
        return tuple((tensors[f"frame.{i}"], tensors[f"labels.{i}"]) for i in range(len(tensors) // 2))
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        msg = f"{path} does not hold probe frames: {error}."
        raise InputError(msg) from error


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
