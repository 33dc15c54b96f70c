"""A student of every part but training: tiny, random, its scales observed on noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from distill.networks.spec import StudentSpec
from runtime.artifact.manifest import Lineage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from segment_anything.modeling import Sam
    from torch import nn

    from distill.student.student import Student

TILE = (64, 64)
DECODER = (8, 8, 8, 8, 8)


def tiny_spec(family: str, **more: object) -> StudentSpec:
    """A narrow student of a family, its head where the family has it first."""
    from distill import students

    head_stride = students.load(family).head_strides[0]
    decoder = DECODER[: len(DECODER) + 1 - head_stride.bit_length()]
    return StudentSpec("tiny", family, **{"decoder": decoder, "head_stride": head_stride, "tile": TILE, **more})


@pytest.fixture(scope="session")
def spec() -> Callable[..., StudentSpec]:
    """spec("plain", head_stride=4) -> the spec of a narrow student."""
    return tiny_spec


@pytest.fixture(scope="session")
def build() -> Callable[..., nn.Module]:
    """build("mobilenetv3", squeeze_excite=False) -> its module, with batch-norm statistics that are not trivial."""
    torch = pytest.importorskip("torch")
    from distill import students

    def make(family: str, **more: object) -> nn.Module:
        torch.manual_seed(0)
        model = students.load(family).build(tiny_spec(family, **more))
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0, 0.1)
                torch.nn.init.normal_(module.get_buffer("running_mean"), 0, 0.1)
                torch.nn.init.uniform_(module.get_buffer("running_var"), 0.5, 1.5)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def student(build) -> Student:
    """A random student with scales."""
    import torch

    from distill.int8.graph import flatten
    from distill.int8.quantize import prepare, scheme_of
    from distill.student.student import Student, graph_weights, weights_digest

    prepared = prepare(flatten(build("mobilenetv3", squeeze_excite=False), TILE))
    with torch.no_grad():
        prepared.train()(torch.rand(2, 1, *TILE, generator=torch.Generator().manual_seed(0)))
    weights = graph_weights(prepared)
    spec = StudentSpec("tiny", "mobilenetv3", decoder=DECODER, squeeze_excite=False, tile=TILE)
    frame = torch.arange(64 * 64, dtype=torch.int32).reshape(64, 64).to(torch.uint16)
    labels = torch.zeros(64, 64, dtype=torch.int32)
    lineage = Lineage(None, weights_digest(weights), (), (), {}, "pytest")
    return Student(spec, weights, scheme_of(prepared), lineage, {"labels": "nuclei"}, ((frame, labels),))


@pytest.fixture(scope="session")
def student_folder(student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same student on disk; for reading alone."""
    from distill.student.student import save

    folder = tmp_path_factory.mktemp("students") / "tiny"
    folder.mkdir()
    save(student, folder)
    return folder


def small_sam() -> Sam:
    """SAM of its own parts, shrunken and random: side 128, embedding 32 x 8 x 8, small logits 32 x 32."""
    from functools import partial

    import torch
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=128,
        embed_dim=32,
        depth=2,
        num_heads=2,
        out_chans=32,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=3,
        global_attn_indexes=(1,),
    )
    prompts = PromptEncoder(embed_dim=32, image_embedding_size=(8, 8), input_image_size=(128, 128), mask_in_chans=4)
    transformer = TwoWayTransformer(depth=2, embedding_dim=32, num_heads=2, mlp_dim=64)
    decoder = MaskDecoder(transformer_dim=32, transformer=transformer, iou_head_hidden_dim=32)
    sam = Sam(encoder, prompts, decoder)
    with torch.no_grad():  # logits of a size that the sigmoid can tell apart
        torch.nn.init.normal_(encoder.pos_embed, std=0.5)
        for parameter in sam.parameters():
            parameter.mul_(1.5)
    return sam.eval()


@pytest.fixture(scope="session")
def small_registry() -> Callable[[], Sam]:
    """Makes the shrunken SAM."""
    pytest.importorskip("torch")
    return small_sam


@pytest.fixture(scope="session")
def sam() -> Sam:
    """The shrunken SAM."""
    pytest.importorskip("torch")
    return small_sam()


@pytest.fixture
def sam_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shrunken SAM in the official format; while the test runs, the registry's vit_b is of this size."""
    import torch

    from distill.sam import checkpoint

    monkeypatch.setattr(checkpoint, "build", lambda size: small_sam())
    path = tmp_path / "sam_small.pth"
    torch.save(small_sam().state_dict(), path)
    return path
