"""Checkpoints of SAM: whole, of the wanted size, official or not, and never run."""

import logging
import os
import pickle
from pathlib import Path

import pytest
import torch

from distill.sam import checkpoint
from distill.sam.checkpoint import OFFICIAL, WIDTHS, inspect
from runtime.errors import InputError


def test_what_is_saved_is_loaded(sam_weights: Path):
    network = inspect(str(sam_weights), "vit_b").load("cpu")
    saved = torch.load(sam_weights, weights_only=True)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in network.state_dict().items())
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_checkpoint_in_the_old_format_of_torch_is_loaded(sam_weights: Path):
    state = torch.load(sam_weights, weights_only=True)
    torch.save(state, sam_weights, _use_new_zipfile_serialization=False)
    assert inspect(str(sam_weights), "vit_b").load("cpu")


def test_an_unknown_checkpoint_is_loaded_with_a_warning(sam_weights: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        assert not inspect(str(sam_weights), "vit_b").official
    assert "not one of SAM's official checkpoints" in caplog.text


def test_an_official_checkpoint_is_loaded_without(sam_weights: Path, caplog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(OFFICIAL, checkpoint.digest(sam_weights), ("vit_b", "sam_small.pth"))
    assert inspect(str(sam_weights), "vit_b").official
    assert not caplog.records


def test_the_table_has_one_checkpoint_for_each_size():
    assert sorted(size for size, _ in OFFICIAL.values()) == sorted(WIDTHS.values())
    assert all(len(sha) == 64 for sha in OFFICIAL)


@pytest.mark.parametrize("size", WIDTHS.values())
def test_the_registrys_shapes_are_told_apart(size: str, tmp_path: Path):
    """Empty files of the true shapes: a few names of a ViT, as wide as the size is."""
    with torch.device("meta"):
        state = checkpoint.build(size).state_dict()
    sparse = {name: torch.zeros(1).expand(tensor.shape) for name, tensor in state.items()}
    torch.save(sparse, tmp_path / "a.pth")
    assert inspect(str(tmp_path / "a.pth"), size).size == size
    sizes = list(WIDTHS.values())
    other = sizes[sizes.index(size) - 1]
    with pytest.raises(InputError, match=rf"of {size}, not of {other}; set teacher\.options\.size = '{size}'"):
        inspect(str(tmp_path / "a.pth"), other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("mask_decoder.iou_token.weight"), r"mask_decoder\.iou_token\.weight is missing"),
        (lambda state: state.update({"mask_decoder.iou_token.weight": torch.zeros(2, 2)}), r"has shape \(2, 2\)"),
        (lambda state: state.update({"adapter": torch.zeros(2)}), "holds adapter"),
        (lambda state: state.update({"epoch": 3}), "no state_dict of tensors"),
    ],
)
def test_weights_that_do_not_fit_are_named(sam_weights: Path, change, said: str):
    state = torch.load(sam_weights, weights_only=True)
    change(state)
    torch.save(state, sam_weights)
    with pytest.raises(InputError, match=said):
        inspect(str(sam_weights), "vit_b")


class Trap:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path):
    torch.save({"image_encoder.pos_embed": Trap(tmp_path / "sprung")}, tmp_path / "trap.pth")
    with pytest.raises(InputError, match="cannot be loaded"):
        inspect(str(tmp_path / "trap.pth"), "vit_b")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 torn"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pth cannot be loaded"):
        inspect(str(tmp_path / "a.pth"), "vit_b")


def test_a_truncated_checkpoint_is_named(sam_weights: Path):
    content = sam_weights.read_bytes()
    sam_weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="cannot be loaded"):
        inspect(str(sam_weights), "vit_b")


@pytest.mark.parametrize(
    ("weights", "size", "said"),
    [("", "vit_b", "sam_vit_b_01ec64"), ("no.pth", "vit_b", "no.pth")],
)
def test_a_wrong_name_is_refused(weights: str, size: str, said: str):
    with pytest.raises(InputError, match=said):
        inspect(weights, size)


def test_a_pickle_of_something_else_is_one_error_and_no_warning(tmp_path: Path):
    (tmp_path / "a.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung"), protocol=4))
    with pytest.raises(InputError, match="holds more than tensors, of which nothing was run"):
        inspect(str(tmp_path / "a.pth"), "vit_b")
    assert not (tmp_path / "sprung").exists()
