"""Students of every family without training: random weights whose scales were observed on synthetic fields.

Exporting and lowering cost seconds each, so everything made here is made once per session and only read.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime.artifact.manifest import Tolerance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from onnx import ModelProto
    from torch import Tensor, nn

    from compile.export import QuantizedGraph
    from compile.target import Lowered
    from distill.student.student import Student
    from runtime.artifact.artifact import Artifact

TILE = (64, 64)
LOOSE = Tolerance(probability_max=0.5, probability_mean=0.02, mask_dice=0.98)  # random weights magnify roundings
DECODER = (16, 16, 16, 16, 16)
DAMPING = 0.1
SPREAD = 4.0  # standard deviation of the logits
RIDGE = 1.0
SHIFT = 1.5  # standard deviations
VARIANTS = {  # name: family, squeeze_excite
    "mobilenetv3": ("mobilenetv3", False),
    "mobilenetv3_se": ("mobilenetv3", True),
    "efficientnet_b0": ("efficientnet_b0", True),
    "resnet18": ("resnet18", True),
    "swin_tiny": ("swin_tiny", True),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `variant` and names none runs over every variant that has an int8 form."""
    named = {name for mark in metafunc.definition.iter_markers("parametrize") for name in _names(mark.args[0])}
    if "variant" in metafunc.fixturenames and "variant" not in named:
        metafunc.parametrize("variant", [name for name in VARIANTS if name != "swin_tiny"])


def _names(argnames: str | tuple[str, ...]) -> list[str]:
    return [name.strip() for name in argnames.split(",")] if isinstance(argnames, str) else list(argnames)


@pytest.fixture(scope="session")
def fields() -> np.ndarray:
    """Tiles of bright discs on dark ground, slightly blurred and noisy, float32 (4, 1, h, w) in [0, 1]."""
    return disc_fields()


def disc_fields() -> np.ndarray:
    """What the fixture `fields` gives."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(5)
    rows, cols = np.ogrid[: TILE[0], : TILE[1]]
    tiles = np.zeros((4, 1, *TILE))
    for tile in tiles[:, 0]:
        for _ in range(8):
            row, col, radius = *rng.integers(0, TILE), rng.integers(5, 10)
            tile[(rows - row) ** 2 + (cols - col) ** 2 < radius**2] = 0.8
        tile[:] = gaussian_filter(tile, 0.7) + rng.normal(0.1, 0.02, TILE)
    return np.clip(tiles, 0, 1).astype(np.float32)


@pytest.fixture(scope="session", autouse=True)
def keep_traced() -> Iterator[None]:
    """All students of the tests stay traced; one compilation needs no more than two."""
    from distill.student import student

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_traced", "_folded"):
            patch.setattr(student, name, cache(getattr(student, name).__wrapped__))
        yield


@pytest.fixture(scope="session")
def make_student(fields) -> Callable[[str], Student]:
    """make_student("mobilenetv3_se") -> a tiny random student; see VARIANTS."""
    pytest.importorskip("segmentation_models_pytorch")
    return cache(lambda variant: _student(variant, fields))


@pytest.fixture(scope="session")
def make_graph(make_student) -> Callable[..., QuantizedGraph]:
    """make_graph("mobilenetv3", "int8") -> its exported graph."""
    from compile.export import export

    make = cache(lambda variant, precision: export(make_student(variant), TILE, precision))
    return lambda variant, precision="int8": make(variant, precision)


@pytest.fixture(scope="session")
def rounded(make_graph) -> Callable[[str], ModelProto]:
    """rounded("mobilenetv3") -> its graph with rounding where TensorRT wants it; for reading alone."""
    from compile.targets.jetson.placement import rounded_for_tensorrt

    return cache(lambda variant: rounded_for_tensorrt(make_graph(variant)))


@pytest.fixture(scope="session")
def lower(make_graph) -> Callable[..., Lowered]:
    """lower("mobilenetv3", "microscope", "int8") -> what the target makes of the graph."""
    from compile import targets

    make = cache(lambda variant, target, precision: targets.load(target).lower(make_graph(variant, precision), {}))
    return lambda variant, target, precision="int8": make(variant, target, precision)


@pytest.fixture(scope="session")
def built(
    make_student, make_graph, lower, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Mapping[str, Artifact]]:
    """built("fp16") -> the artefacts of all targets by name; for reading alone."""
    from compile import targets, trial
    from compile.build import run
    from compile.request import Request

    def make(precision: str) -> Mapping[str, Artifact]:
        request = Request(targets.names(), precision, TILE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trial, "export", lambda student, tile, precision: make_graph("mobilenetv3", precision))
            patch.setitem(trial.TOLERANCES, "int8", LOOSE)
            for name in targets.names():
                lowered = lower("mobilenetv3", name, precision)
                patch.setattr(targets.load(name), "lower", lambda graph, options, lowered=lowered: lowered)
            outcome = run(make_student("mobilenetv3"), request, tmp_path_factory.mktemp(precision))
        return {artifact.manifest.target: artifact for artifact in outcome.artifacts}

    return cache(make)


@pytest.fixture(scope="session")
def sabotaged(make_student) -> Callable[[str], Student]:
    """sabotaged("input") -> the student without squeeze-excite, with that tensor's scale 40 times too large."""

    def spoil(tensor: str) -> Student:
        student = make_student("mobilenetv3")
        scales = {name: scale * (40 if name == tensor else 1) for name, scale in student.scheme.activations.items()}
        return replace(student, scheme=replace(student.scheme, activations=scales))

    return cache(spoil)


@pytest.fixture(scope="session")
def student_folder(make_student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student without squeeze-excite on disk, with two recorded frames; for reading alone."""
    from distill.student.student import save

    folder = tmp_path_factory.mktemp("students") / "tiny"
    folder.mkdir()
    save(make_student("mobilenetv3"), folder)
    return folder


@pytest.fixture(scope="session")
def float_folder(make_student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same student as if it had never seen quantisation: without a scheme."""
    from distill.student.student import save

    folder = tmp_path_factory.mktemp("students") / "float"
    folder.mkdir()
    save(replace(make_student("mobilenetv3"), scheme=None), folder)
    return folder


def _student(variant: str, fields: np.ndarray) -> Student:
    import torch

    from distill import students
    from distill.networks.spec import StudentSpec
    from distill.student.student import Student, graph_weights
    from tools.search.untrained import observed

    family, squeeze_excite = VARIANTS[variant]
    spec = StudentSpec(f"tiny-{variant}", family, decoder=DECODER, squeeze_excite=squeeze_excite, tile=TILE)
    images = torch.from_numpy(fields)
    torch.manual_seed(0)
    model = students.load(family).build(spec)
    _settle(model, images, torch.stack([images[:, 0] > 0.4, images[:, 0] > 0.7], 1))
    graph, scheme = observed(model, spec, images)
    with torch.no_grad():
        predicted = graph.eval()(images[:2])[:, 0] > 0
    weights = graph_weights(graph)
    return Student(spec, weights, scheme, _lineage(weights), {"labels": "nuclei"}, _recorded(fields, predicted))


def _settle(model: nn.Module, images: Tensor, masks: Tensor) -> None:
    """Running statistics from the images, and a head fitted to the masks by least squares.

    Probabilities of a random network are near 0.5 otherwise, and a mask would be nothing but rounding. Shifting
    what enters the activations keeps most of them in their linear part, or else a random network of this depth
    makes a different image of every flipped code, and there is nothing left to compare.
    """
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
            torch.nn.init.constant_(module.bias, SHIFT)
    _damp(model)
    with torch.no_grad():
        for _ in range(4):
            model.train()(images)
        model.eval()
        features = model.decoder(model.encoder(images))
        head = model.segmentation_head[0]
        columns = torch.nn.functional.unfold(features, 3, padding=1).transpose(1, 2).flatten(0, 1).double()
        due = masks.flatten(2).transpose(1, 2).flatten(0, 1).double()
        gram = (columns - columns.mean(0)).T @ (columns - columns.mean(0))
        ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
        solved = torch.linalg.solve(gram + ridge, (columns - columns.mean(0)).T @ (due - due.mean(0)))
        solved *= SPREAD / (columns @ solved).std(0)
        logits = columns @ solved
        middle = ((logits * due).sum(0) / due.sum(0) + (logits * (1 - due)).sum(0) / (1 - due).sum(0)) / 2
        head.weight.copy_(solved.T.reshape(head.weight.shape))
        head.bias.copy_(-middle)


def _damp(model: nn.Module) -> None:
    """Let a decoder stage listen more to its skip than to the stage below, whose every code covers many pixels."""
    import torch

    deep = (model.encoder.out_channels[-1], *DECODER)
    with torch.no_grad():
        for channels, block in zip(deep, list(model.decoder.blocks)[:4], strict=False):
            block.conv1[0].weight[:, :channels] *= DAMPING


def _recorded(fields: np.ndarray, predicted: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
    """Frames that travel with the student, labelled with what it sees itself: Dice is then near 1, not near 0."""
    import torch
    from scipy.ndimage import label

    frames = torch.from_numpy((fields[:2, 0] * 60000).astype(np.uint16))
    labels = [torch.from_numpy(label(mask.numpy())[0].astype(np.int32)) for mask in predicted]
    return tuple(zip(frames, labels, strict=True))


def _lineage(weights: dict[str, Tensor]):
    from distill.student.student import weights_digest
    from runtime.artifact.manifest import DataSource, Lineage

    data = (DataSource("synthetic", "Apache-2.0", "fields of the project's own generator"),)
    return Lineage("a teacher", weights_digest(weights), data, ("Apache-2.0",), {"torch": "test"}, "pytest")
