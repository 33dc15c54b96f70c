"""SAM as a teacher, through its file: on a shrunken one, and once on the true ViT-B."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("segment_anything")

from distill import datasets
from distill.config.sections import TeacherSection
from distill.sam import checkpoint
from distill.teachers import open_teacher
from distill.teachers.sam.teacher import SamTeacher
from distill.teaching.soft_labels import obtain
from runtime.errors import InputError

DATA = datasets.open("synthetic:3@4?size=96x80")


@pytest.fixture
def section(sam_weights: Path, tmp_path: Path) -> TeacherSection:
    return TeacherSection(
        name="sam", weights=str(sam_weights), device="cpu", store=str(tmp_path / "soft.zarr"), options={"size": "vit_b"}
    )


def changed(section: TeacherSection, **changes) -> TeacherSection:
    """The section with keys of its own, and options, changed."""
    own = {key: value for key, value in changes.items() if hasattr(section, key)}
    options = {key: value for key, value in changes.items() if key not in own}
    return replace(section, **own, options={**section.options, **options})


def ask(section: TeacherSection, sample=DATA[0], **changes) -> np.ndarray:
    teacher = open_teacher(changed(section, **changes))
    return teacher.probability(sample.planes(teacher.channels), teacher.reference(sample))


@pytest.mark.parametrize("prompts", ["boxes", "points", "grid"])
def test_every_kind_of_prompt_answers_with_a_probability(section, prompts: str):
    answer = ask(section, prompts=prompts)
    assert answer.shape == (96, 80)
    assert answer.dtype == np.float32
    assert 0 <= answer.min() <= answer.max() <= 1


@pytest.mark.parametrize("prompts", ["boxes", "points"])
def test_a_field_without_objects_is_background_and_sam_is_not_loaded(section, prompts, monkeypatch):
    monkeypatch.setattr(checkpoint.Checkpoint, "load", lambda *_: pytest.fail("loaded"))
    empty = replace(DATA[0], labels={"cells": np.zeros((96, 80), np.int32)})
    answer = ask(section, empty, prompts=prompts)
    assert answer.shape == (96, 80)
    assert not answer.any()


def test_fields_answered_together_are_like_one_by_one(section):
    teacher = open_teacher(section)
    samples = [DATA[0], replace(DATA[1], labels={"cells": np.zeros((96, 80), np.int32)}), DATA[2]]
    images = [sample.planes(teacher.channels) for sample in samples]
    images[2] = images[2][:, :50, :70]
    references = [teacher.reference(sample) for sample in samples]
    references[2] = references[2][:50, :70]
    together = teacher.probabilities(images, references)
    assert [one.shape for one in together] == [(96, 80), (96, 80), (50, 70)]
    for answer, image, reference in zip(together, images, references, strict=True):
        assert np.allclose(answer, teacher.probability(image, reference), atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"rgb": ("membrane", "nucleus", "blank")},
        {"rgb": ("grey",)},
        {"prompts": "points"},
        {"prompt_labels": "nuclei"},
        {"confine": 2},
    ],
)
def test_what_changes_the_answer_changes_the_key(section, changes):
    assert open_teacher(changed(section, **changes)).key() != open_teacher(section).key()
    assert not np.array_equal(ask(section, **changes), ask(section))


def test_how_it_is_computed_is_not_in_the_key(section):
    others = replace(
        section, batch=2, half=False, device="auto", store="elsewhere", options={**section.options, "chunk": 3}
    )
    assert open_teacher(others).key() == open_teacher(section).key()


def test_the_key_holds_the_weights_of_the_file(section, sam_weights: Path):
    import torch

    before = open_teacher(section).key()
    state = torch.load(sam_weights, weights_only=True)
    state["mask_decoder.iou_token.weight"] += 1
    torch.save(state, sam_weights)
    assert open_teacher(section).key()["weights"] != before["weights"]


def test_the_answers_are_stored_and_sam_is_loaded_once(section, monkeypatch):
    first = obtain(replace(section, batch=2), DATA)
    monkeypatch.setattr(checkpoint.Checkpoint, "load", lambda *_: pytest.fail("loaded"))
    second = obtain(section, DATA)
    assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompts": "none"}, "python -m distill head"),
        ({"prompts": "points", "confine": 3}, r"teacher\.options\.confine is 3"),
        ({"chunk": 0}, "must be positive"),
        ({"rgb": ("nucleus",)}, r"teacher\.options\.rgb is"),
        ({"weights": "nowhere.pth"}, "There is no checkpoint"),
    ],
)
def test_a_wrong_setting_is_refused(section, changes, said: str):
    with pytest.raises(InputError, match=said):
        open_teacher(changed(section, **changes))


def test_a_channel_that_the_data_lack_is_named(section):
    with pytest.raises(InputError, match=r"no channel 'er', it has nucleus, membrane"):
        ask(section, rgb=("er", "nucleus", "blank"))


def test_labels_that_the_data_lack_are_named(section):
    sample = replace(DATA[0], labels={"nuclei": DATA[0].labels["nuclei"]})
    with pytest.raises(InputError, match=r"no labels 'cells', it has nuclei; choose among these in teacher"):
        ask(section, sample)


def test_it_is_free_to_teach():
    assert SamTeacher.licence == "Apache-2.0"


@pytest.mark.slow
def test_the_true_vit_b_reads_its_own_format_and_labels_a_field(tmp_path: Path):
    """Random weights of the registry's ViT-B at 1024: shapes, format and memory are real, the mask means nothing."""
    import torch

    torch.manual_seed(0)
    torch.save(checkpoint.build("vit_b").state_dict(), tmp_path / "sam.pth")
    section = TeacherSection(
        name="sam",
        weights=str(tmp_path / "sam.pth"),
        device="cpu",
        store=str(tmp_path / "soft.zarr"),
        options={"size": "vit_b"},
    )
    (soft,) = obtain(section, DATA[:1])
    assert soft.shape == (96, 80)
    assert soft.std() > 0


@pytest.mark.parametrize(
    ("labels", "said"), [(None, "got none for a field"), (np.ones((5, 5), np.int32), r"got \(5, 5\) pixels of them")]
)
def test_prompts_that_are_not_given_are_asked_for(section, labels, said: str):
    teacher = open_teacher(section)
    with pytest.raises(InputError, match=said):
        teacher.probability(DATA[0].planes(teacher.channels), labels)


def test_an_image_of_other_planes_is_refused(section):
    teacher = open_teacher(section)
    with pytest.raises(InputError, match=r"SAM is shown nucleus, membrane, and the image has 1 plane"):
        teacher.probability(DATA[0].planes(("nucleus",)), teacher.reference(DATA[0]))
