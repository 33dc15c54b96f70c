"""A head on SAM's embedding: trained, saved, loaded, and what it learns from."""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distill import datasets
from distill.config.sections import Config, DataSection, PhaseSection, TeacherSection
from distill.sam import checkpoint
from distill.sam import head as heads
from distill.sam.network import Encoded
from distill.teachers import open_teacher
from distill.teaching.head import predict, target, train
from distill.teaching.soft_labels import obtain
from runtime.errors import InputError

SPEC = "synthetic:3@4?size=96x80"
SPLIT = "synthetic:8@4?size=64"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, small_registry) -> Iterator[Config]:
    """A SAM on disk and six steps on its embeddings; while these tests run, the registry's vit_b is shrunken."""
    folder = tmp_path_factory.mktemp("head")
    torch.save(small_registry().state_dict(), folder / "sam.pth")
    weights, store = str(folder / "sam.pth"), str(folder / "soft.zarr")
    teacher = TeacherSection(name="sam", weights=weights, device="cpu", store=store, options={"size": "vit_b"})
    plan = PhaseSection(steps=6, batch=2, learning_rate=1e-2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "build", lambda size: small_registry())
        yield Config(data=DataSection((SPLIT,), (), (SPLIT,), labels="cells"), teacher=teacher, float=plan, seed=3)


@pytest.fixture(scope="module")
def original(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained head; for reading alone."""
    folder = tmp_path_factory.mktemp("trained") / "head"
    train(config, folder, lambda step, loss: None)
    return folder


@pytest.fixture
def trained(original: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(original, tmp_path / "head"))


def section(config: Config, folder: Path, **options) -> TeacherSection:
    return replace(config.teacher, name="head", weights=str(folder), options=options)


def test_training_lowers_the_loss_and_runs_the_encoder_once_an_image(config, tmp_path: Path, monkeypatch):
    losses, encoded = [], []
    encode = checkpoint.Checkpoint.load

    def counting(self, device):
        sam = encode(self, device)
        sam.image_encoder.register_forward_hook(lambda module, given, out: encoded.append(len(out)))
        return sam

    monkeypatch.setattr(checkpoint.Checkpoint, "load", counting)
    long = replace(config, float=replace(config.float, steps=20, batch=5))
    long = replace(long, teacher=replace(long.teacher, store=str(tmp_path / "soft.zarr")))
    train(long, tmp_path / "head", lambda step, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.9 * losses[0]
    assert sum(encoded) == len(datasets.open(SPLIT, "train")) + len(datasets.open(SPLIT, "val"))


def test_the_same_seed_gives_the_same_head(config, trained: Path, tmp_path: Path):
    train(config, tmp_path / "again", lambda step, loss: None)
    train(replace(config, seed=4), tmp_path / "other", lambda step, loss: None)
    first, again, other = (heads.load(tmp_path / name)[2].weights_sha256 for name in ("head", "again", "other"))
    assert first == again
    assert first != other


def test_the_folder_says_what_the_head_is(config, trained: Path):
    head, spec, lineage = heads.load(trained)
    assert (spec.size, spec.rgb, spec.labels) == ("vit_b", ("blank", "nucleus", "membrane"), "cells")
    assert spec.embedding == 32
    assert 0 <= spec.validation_dice <= 1
    assert "Apache-2.0" in lineage.licences
    assert lineage.teacher.startswith("sam")
    assert not head.training


def test_the_head_teaches_without_labels(config, trained: Path):
    samples = [replace(sample, labels={}) for sample in datasets.open(SPEC)]
    soft = obtain(replace(section(config, trained), batch=2), samples)
    assert [one.shape for one in soft] == [(96, 80)] * 3
    teacher = open_teacher(section(config, trained))
    expected = teacher.probability(samples[0].planes(teacher.channels))
    assert np.abs(soft[0] / 255 - expected).max() <= 0.5 / 255 + 1e-6
    assert teacher.licence == "Apache-2.0"


def test_another_head_has_another_key(config, trained: Path, tmp_path: Path):
    train(replace(config, seed=4), tmp_path / "other", lambda step, loss: None)
    assert open_teacher(section(config, trained)).key() != open_teacher(section(config, tmp_path / "other")).key()


def test_the_head_refuses_another_sam(config, trained: Path, tmp_path: Path):
    state = torch.load(config.teacher.weights, weights_only=True)
    state["mask_decoder.iou_token.weight"] += 1
    torch.save(state, tmp_path / "other.pth")
    wrong = section(config, trained, sam=str(tmp_path / "other.pth"))
    with pytest.raises(InputError, match="is not the SAM that the head"):
        open_teacher(wrong)


def test_a_sam_that_was_moved_is_asked_for(config, trained: Path, tmp_path: Path):
    description = (trained / heads.DESCRIPTION).read_text()
    (trained / heads.DESCRIPTION).write_text(description.replace(config.teacher.weights, "elsewhere/sam.pth"))
    shutil.copy(config.teacher.weights, tmp_path / "moved.pth")
    with pytest.raises(InputError, match=r"set teacher\.options\.sam"):
        open_teacher(section(config, trained))
    assert open_teacher(section(config, trained, sam=str(tmp_path / "moved.pth"))).name == "head"


def test_changed_weights_are_refused(trained: Path):
    content = bytearray((trained / heads.WEIGHTS).read_bytes())
    content[-1] ^= 1
    (trained / heads.WEIGHTS).write_bytes(content)
    with pytest.raises(InputError, match="was changed"):
        heads.load(trained)


@pytest.mark.parametrize("name", [heads.WEIGHTS, heads.DESCRIPTION])
def test_a_truncated_or_missing_file_is_named(trained: Path, name: str):
    content = (trained / name).read_bytes()
    (trained / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=name):
        heads.load(trained)
    (trained / name).unlink()
    with pytest.raises(InputError, match=name):
        heads.load(trained)


def test_another_schema_is_refused(trained: Path):
    path = trained / heads.DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 9}))
    with pytest.raises(InputError, match="schema version 9"):
        heads.load(trained)


def test_a_folder_that_is_there_is_not_overwritten(config, trained: Path):
    with pytest.raises(InputError, match="exists"):
        train(config, trained, lambda step, loss: None)


def test_a_head_stands_on_sam_alone(config, tmp_path: Path):
    with pytest.raises(InputError, match=r"teacher\.name is 'masks'"):
        train(
            replace(config, teacher=replace(config.teacher, name="masks", options={})),
            tmp_path / "head",
            lambda *_: None,
        )


def test_a_damaged_embedding_is_computed_again(config, trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    private = replace(section(config, trained), store=str(tmp_path / "soft.zarr"))
    before = obtain(private, datasets.open(SPLIT, "train"))
    for folder in Path(private.store).iterdir():
        if folder.is_dir():
            for chunk in (folder / "c").rglob("*"):
                if chunk.is_file():
                    chunk.write_bytes(b"torn")
    with caplog.at_level(logging.WARNING):
        after = obtain(private, datasets.open(SPLIT, "train"))
    assert "is damaged" in caplog.text
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def field(height: int, width: int) -> Encoded:
    step = 128 / max(height, width)
    return Encoded(torch.zeros(32, 8, 8), (round(step * height), round(step * width)), (height, width))


def test_the_target_is_the_share_of_foreground_and_leaves_the_padding_out():
    labels = np.zeros((64, 128), np.int32)
    labels[:32, :64] = 5
    truth, inside = target(labels, field(64, 128))
    assert truth.shape == inside.shape == (32, 32)
    assert inside[:16].eq(1).all()
    assert inside[16:].eq(0).all()
    assert truth[:7, :15].eq(1).all()
    assert truth[9:, :].eq(0).all()


def test_a_head_that_knew_the_target_would_predict_the_labels():
    """The way back from small logits to the field agrees with the way there."""
    labels = np.zeros((60, 90), np.int32)
    labels[10:40, 20:70] = 1
    encoded = field(60, 90)
    truth, _ = target(labels, encoded)
    found = predict(lambda embedding: 20 * (truth[None] - 0.5), encoded) > 0.5
    assert (found != (labels > 0)).mean() < 0.03


def test_labels_that_the_data_lack_are_named_with_their_setting(config, tmp_path: Path):
    with pytest.raises(InputError, match=r"has no labels 'rims', it has cells, nuclei; set data\.labels"):
        train(replace(config, data=replace(config.data, labels="rims")), tmp_path / "head", lambda step, loss: None)


def test_a_head_that_could_not_be_written_is_not_trained(config, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, no folder; choose another --out"):
        train(config, tmp_path / "file" / "head", lambda step, loss: None)
