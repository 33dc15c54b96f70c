"""What a training sees: which images keep their labels, which a teacher speaks for, and the same crops for all rows."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill import datasets
from distill.config.sections import (
    AugmentSection,
    Config,
    DataSection,
    LossSection,
    PhaseSection,
    TeacherSection,
    TrainerSection,
)
from distill.datasets import Sample
from distill.teaching import soft_labels
from distill.training.data import TrainingData, divide
from runtime.errors import InputError

SIZE = "?size=64"


def named(count: int) -> datasets.Dataset:
    """A data set of names alone."""
    return datasets.Dataset(tuple(f"image{i}" for i in range(count)), lambda name: pytest.fail("read"), "", "")


@given(st.integers(1, 60), st.floats(0.01, 1), st.integers(0, 5))
def test_labelled_and_unlabelled_make_up_everything(count: int, share: float, seed: int):
    first, rest = divide(named(count), DataSection(labelled=share), seed)
    assert {*first.names} | {*rest.names} == {*named(count).names}
    assert len(first) + len(rest) == count
    assert len(first) == max(1, int(np.ceil(round(share * count, 6))))


@given(st.integers(1, 60), st.floats(0.01, 1), st.floats(0.01, 1))
def test_the_smaller_labelled_part_lies_in_the_larger(count: int, one: float, other: float):
    few, many = (divide(named(count), DataSection(labelled=share), 3)[0] for share in sorted((one, other)))
    assert {*few.names} <= {*many.names}


@given(st.integers(8, 60), st.integers(2, 4))
def test_folds_leave_each_image_out_once(count: int, folds: int):
    parts = [divide(named(count), DataSection(fold=(k, folds)), 1)[0].names for k in range(folds)]
    missing = [{*named(count).names} - {*part} for part in parts]
    assert sorted(name for left_out in missing for name in left_out) == sorted(named(count).names)
    assert max(map(len, missing)) - min(map(len, missing)) <= 1


def test_seven_percent_of_a_hundred_are_seven():
    assert len(divide(named(100), DataSection(labelled=0.07), 0)[0]) == 7


def test_another_seed_labels_other_images():
    parts = {divide(named(40), DataSection(labelled=0.25), seed)[0].names for seed in range(4)}
    assert len(parts) == 4


def test_the_order_of_the_data_is_kept():
    first, _ = divide(named(30), DataSection(labelled=0.5), 0)
    assert list(first.names) == [name for name in named(30).names if name in set(first.names)]


def test_a_fold_that_leaves_no_label_is_refused():
    with pytest.raises(InputError, match=r"leaves none of the 1 labelled image\(s\); give fewer folds"):
        for k in range(2):
            divide(named(10), DataSection(labelled=0.1, fold=(k, 2)), 0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    data = DataSection(train=(f"synthetic:10@1{SIZE}",), validation=(f"synthetic:6@2{SIZE}",), labels="cells", crop=64)
    trainer = TrainerSection(interval=2)
    return replace(Config(), data=data, trainer=trainer, float=PhaseSection(steps=4, batch=3, accumulate=2))


@pytest.fixture
def taught(config: Config, tmp_path: Path) -> Config:
    """The same with a teacher: the labels of the data, saved as soft labels."""
    teacher = TeacherSection(name="masks", weights="labels:cells", store=str(tmp_path / "store"))
    return replace(config, teacher=teacher, loss=LossSection(matching="mse"))


class Trainer:
    """What the data ask of a trainer."""

    def __init__(self, global_step: int = 0, world_size: int = 1, global_rank: int = 0) -> None:
        self.global_step, self.world_size, self.global_rank = global_step, world_size, global_rank
        self.strategy = SimpleNamespace(root_device=torch.device("cpu"))


def batches(config: Config, stream: int = 0, **trainer: int):
    data = TrainingData(config).for_phase(config.float, stream)
    data.trainer = Trainer(**trainer)
    return [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]


def test_crops_that_are_cut_on_the_device_show_the_same_places(taught: Config):
    still = replace(taught, augment=AugmentSection(scale=1.2, noise=0.0))
    on_device = replace(still, trainer=replace(still.trainer, crops="device"))
    for host, device in zip(batches(still), batches(on_device), strict=True):
        torch.testing.assert_close(device.image, host.image, atol=2e-3, rtol=0)
        torch.testing.assert_close(device.teacher, host.teacher, atol=2 / 255, rtol=0)
        assert (device.target[:, 0] != host.target[:, 0]).float().mean() < 5e-3


def test_each_phase_has_crops_of_its_own_on_the_device_as_well(config: Config):
    on_device = replace(config, trainer=replace(config.trainer, crops="device"))
    data = TrainingData(on_device)
    data.trainer = Trainer()
    first, second = (
        data.on_after_batch_transfer(next(iter(data.for_phase(config.float, stream).train_dataloader())), 0)
        for stream in (0, 1)
    )
    assert not torch.equal(first.image, second.image)


def test_undistilled_and_distilled_students_see_the_same_crops(config: Config, taught: Config):
    for alone, together in zip(batches(config), batches(taught), strict=True):
        assert torch.equal(alone.image, together.image)
        assert torch.equal(alone.target, together.target)
        assert alone.teacher.shape == (3, 0)
        assert together.teacher.shape == (3, 1, 64, 64)


def test_two_rows_of_one_teacher_see_the_same_crops_whatever_their_losses(taught: Config):
    other = replace(taught, loss=LossSection(matching="hinton", boundary="weightmap", weighting="kendall"))
    for one, two in zip(batches(taught), batches(other), strict=True):
        assert torch.equal(one.image, two.image)
        assert torch.equal(one.teacher, two.teacher)
        assert two.instances.shape == (3, 64, 64)  # the weight map needs them
        assert one.instances.shape == (3, 0)


def test_a_resumed_run_draws_the_crops_that_come_next(config: Config):
    plan = replace(config.float, steps=4)
    long = replace(config, float=plan, trainer=replace(config.trainer, interval=4))
    every = torch.cat([batch.image for batch in batches(long)])
    parts = [torch.cat([batch.image for batch in batches(config, global_step=step)]) for step in (0, 2)]
    assert torch.equal(every, torch.cat(parts))


def test_an_interval_holds_the_crops_of_all_passes(config: Config):
    assert sum(len(batch.image) for batch in batches(config)) == 2 * 3 * 2


def test_a_step_of_two_devices_sees_the_crops_of_one_with_twice_the_batch(config: Config):
    both = [batches(config, world_size=2, global_rank=rank) for rank in (0, 1)]
    alone = batches(replace(config, float=replace(config.float, batch=6)))
    assert len(both[0]) == len(both[1]) == len(alone)
    for first, second, together in zip(*both, alone, strict=True):
        shared = torch.stack([first.image, second.image], dim=1).flatten(0, 1)  # they take turns
        assert torch.equal(shared, together.image)


def test_the_phases_draw_different_crops(config: Config):
    assert not torch.equal(batches(config)[0].image, batches(config, stream=1)[0].image)


def test_without_a_teacher_unlabelled_images_are_left_out(config: Config):
    data = TrainingData(replace(config, data=replace(config.data, labelled=0.25)))
    assert [len(group) for group in data.groups] == [2]
    assert [len(used) for used in data.used] == [2]


def test_with_a_teacher_they_are_taught(taught: Config):
    data = TrainingData(replace(taught, data=replace(taught.data, labelled=0.25, taught=0.4)))
    assert [len(group) for group in data.groups] == [2, 6]
    assert [group[0].labelled for group in data.groups] == [True, False]
    assert data.share == pytest.approx([0.6, 0.4])
    assert [len(used) for used in data.used] == [8]
    assert all(field.soft is not None for group in data.groups for field in group)


def test_the_teacher_is_asked_about_the_whole_set_whatever_keeps_its_labels(
    taught: Config, monkeypatch: pytest.MonkeyPatch
):
    """So "shuffled" takes the membrane of the same partner at every share of labels, and a single label is enough."""
    asked, obtain = [], soft_labels.obtain_some

    def note(section: TeacherSection, samples: Sequence[Sample]) -> dict[int, np.ndarray]:
        asked.append([sample.name for sample in samples])
        return obtain(section, samples)

    monkeypatch.setattr(soft_labels, "obtain_some", note)
    for share in (1.0, 0.25, 0.01):
        TrainingData(replace(taught, data=replace(taught.data, labelled=share)))
    assert len(asked[0]) == 8
    assert asked == [asked[0]] * 3


def test_the_labels_of_unlabelled_images_are_not_seen(taught: Config):
    data = TrainingData(replace(taught, data=replace(taught.data, labelled=0.25)))
    assert not any(field.labels.any() for field in data.groups[1])


def test_what_the_teacher_said_belongs_to_its_image(taught: Config):
    data = TrainingData(taught)
    for field in data.groups[0]:
        np.testing.assert_array_equal(field.soft > 127, field.labels > 0)


def test_a_student_of_several_channels_sees_them_in_its_order(config: Config):
    student = replace(config.student, channels=("nucleus", "membrane"))
    (field, *_), *_ = TrainingData(replace(config, student=student)).groups
    assert field.image.shape == (2, 64, 64)


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Five multiplexed fields, of which two are annotated."""
    rng = np.random.default_rng(0)
    for number in range(5):
        folder = tmp_path / "fields" / f"f{number}"
        folder.mkdir(parents=True)
        cells = np.kron(rng.integers(0, 3, (4, 4)), np.ones((16, 16))).astype(np.uint16)
        tifffile.imwrite(folder / "nucleus.tif", rng.integers(0, 500, (64, 64)).astype(np.uint16))
        tifffile.imwrite(tmp_path / f"f{number}.tif", cells)
        if number < 2:
            tifffile.imwrite(folder / "cells.tif", cells)
    return tmp_path / "fields"


def annotated_in_part(config: Config, fields: Path) -> Config:
    data = replace(config.data, train=(f"multiplex:{fields}",))
    return replace(config, data=data)


def test_fields_that_nobody_annotated_are_left_out_without_a_teacher(config: Config, fields: Path):
    data = TrainingData(annotated_in_part(config, fields))
    assert len(data.groups) == 1
    assert all(field.labelled for field in data.groups[0])


def test_fields_that_nobody_annotated_are_taught(taught: Config, fields: Path, tmp_path: Path):
    saved = replace(taught.teacher, weights=str(tmp_path))
    data = TrainingData(replace(annotated_in_part(taught, fields), teacher=saved))
    known, alone = data.groups
    assert len(known) + len(alone) == len(datasets.open(f"multiplex:{fields}", "train"))
    assert all(field.labelled for field in known)
    assert not any(field.labelled for field in alone)
    assert all(field.soft is not None for field in (*known, *alone))


def test_images_without_a_mask_are_taught_by_their_labels_or_left_out(
    taught: Config, fields: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    saved = replace(annotated_in_part(taught, fields), teacher=replace(taught.teacher, weights=str(tmp_path)))
    everything = TrainingData(saved)
    names = {field.labelled: [*everything.soft[0]] for group in everything.groups for field in group}
    assert len(names[True]) > 3
    labelled = [sample.name for sample in everything.train[0] if sample.labels]
    bare = [name for name in everything.train[0].names if name not in labelled]
    for name in (labelled[0], bare[0]):
        (tmp_path / f"{name.partition('@')[0]}.tif").unlink()
    data = TrainingData(saved)
    assert data.used[0].names == tuple(name for name in everything.used[0].names if name != bare[0])
    assert [len(group) for group in data.groups] == [len(labelled), len(bare) - 1]
    for field in (*data.groups[0], *data.groups[1]):
        assert field.soft is not None
    for field in data.groups[0]:
        np.testing.assert_array_equal(field.soft > 127, field.labels > 0)
    assert f"no answer about 2 of {len(labelled) + len(bare)} images" in caplog.text
    assert "1 images are taught by their labels alone, and 1 without labels and teacher are left out" in caplog.text
    for mask in tmp_path.glob("*.tif"):
        mask.rename(mask.with_name(f"other-{mask.name}"))
    with pytest.raises(InputError, match="has no masks of f"):  # of all images: it is the wrong folder
        TrainingData(saved)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"validation": (f"synthetic:1@2{SIZE}",)}, "holds no validation images"),
        ({"labels": "mitochondria"}, "no labels 'mitochondria', it has cells, nuclei; set data.labels"),
    ],
)
def test_data_that_do_not_serve_are_refused(config: Config, change: dict[str, object], said: str):
    with pytest.raises(InputError, match=said):
        TrainingData(replace(config, data=replace(config.data, **change)))


def test_a_channel_that_is_not_there_is_refused(config: Config):
    with pytest.raises(InputError, match="has no channel 'actin', it has nucleus, membrane"):
        TrainingData(replace(config, student=replace(config.student, channels=("nucleus", "actin"))))


def test_a_teacher_that_nothing_listens_to_is_refused(taught: Config):
    with pytest.raises(InputError, match=r"No loss listens to the teacher 'masks'; set loss\.matching"):
        TrainingData(replace(taught, loss=LossSection()))


@pytest.mark.parametrize("part", ["train", "validation"])
def test_labels_that_are_all_empty_are_refused(config: Config, tmp_path: Path, part: str):
    for number in range(2):
        for folder, pixels in (("images", np.full((64, 64), 9, np.uint8)), ("labels", np.zeros((64, 64), np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / folder / f"{number}.tif", pixels)
    data = replace(config.data, **{part: (f"folder:{tmp_path}?labels=cells&part=all",)}, share=())
    with pytest.raises(InputError, match="hold no object, all labels are 0"):
        TrainingData(replace(config, data=data))
