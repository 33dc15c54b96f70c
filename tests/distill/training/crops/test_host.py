"""Training crops: a function of seed and number alone, image, labels and teacher always of the same place."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from distill.config.sections import AugmentSection
from distill.datasets import open as open_data
from distill.training.crops.host import CropField, CropStream, change_intensities, cut, object_zoom, ready
from distill.training.crops.training_maps import CORES, core
from runtime.artifact.manifest import Normalization
from runtime.frames.normalize import normalize

STILL = AugmentSection(scale=1.0, rotate=False, gamma=1.0, contrast=0.0, noise=0.0, blur=0.0)
OUTPUTS = ("foreground", "core")


def ramp(shape: tuple[int, int] = (400, 500)) -> CropField:
    """The label of a pixel is its row and column; the image holds the same two, as one linear ramp."""
    rows, cols = np.indices(shape)
    image = (rows / 1000 + cols / 2000).astype(np.float32)
    return CropField(image[None], (1 + rows * shape[1] + cols).astype(np.int32))


def stream(start: int = 0, seed: int = 1, augment: AugmentSection | None = None, share=(1.0, 1.0)) -> CropStream:
    rng = np.random.default_rng(0)
    groups = []
    for group in range(2):
        labels = np.kron(rng.integers(0, 5, (4, 4)), np.ones((16, 16))).astype(np.int32)
        groups.append([CropField((labels > 0)[None].astype(np.float32) * 0.5 + 0.25 * group, labels)])
    return CropStream(groups, share, OUTPUTS, 32, augment or AugmentSection(), seed, start, 10)


def equal(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_crop_depends_on_seed_and_number_alone():
    assert equal(stream()[3], stream()[3])
    assert not equal(stream()[3], stream()[4])
    assert not equal(stream(seed=1)[3], stream(seed=2)[3])


def test_a_crop_does_not_depend_on_where_its_stream_begins():
    assert equal(stream(start=0)[7], stream(start=5)[2])


def test_shapes_types_and_ranges():
    crops = stream()
    assert len(crops) == 10
    for image, target, *_ in (crops[i] for i in range(len(crops))):
        assert image.shape == (1, 32, 32)
        assert target.shape == (2, 32, 32)
        assert image.dtype == target.dtype == torch.float32
        assert 0 <= image.min() <= image.max() <= 1
        assert set(target.unique().tolist()) <= {0.0, 1.0}
        assert bool((target[1] <= target[0]).all())  # the core lies in the foreground


@pytest.mark.parametrize("seed", range(12))
def test_image_and_labels_show_the_same_place(seed: int):
    field = ramp()
    part = cut(field, 64, AugmentSection(), np.random.default_rng(seed))
    (image,), labels = part.image, part.labels
    rows, cols = np.divmod(labels - 1, field.labels.shape[1])
    # A ramp is interpolated exactly, a label is that of the nearest pixel: half a pixel apart at most.
    apart = np.abs(image - (rows / 1000 + cols / 2000))
    assert np.mean(apart <= 0.5 / 1000 + 0.5 / 2000 + 1e-4) > 0.97  # mirrored borders are not linear


def test_without_augmentation_a_crop_is_a_window():
    field = ramp((64, 64))
    part = cut(field, 64, STILL, np.random.default_rng(0))
    np.testing.assert_allclose(part.image, field.image, atol=1e-6)
    np.testing.assert_array_equal(part.labels, field.labels)


def test_a_frame_smaller_than_the_crop_is_mirrored():
    part = cut(ramp((20, 24)), 64, STILL, np.random.default_rng(0))
    assert part.image.shape == (1, 64, 64)
    assert part.labels.shape == (64, 64)
    assert part.labels.min() > 0


def test_intensities_stay_as_they_are_when_all_is_off():
    image = np.random.default_rng(0).random((16, 16), np.float32)
    np.testing.assert_array_equal(change_intensities(image, STILL, np.random.default_rng(1)), image)


@pytest.mark.parametrize(
    "change",
    [{"gamma": 2.0}, {"contrast": 0.5}, {"noise": 0.3}, {"blur": 3.0}, {"haze": 0.4}, {"texture": 0.2}, {"hot": 0.2}],
)
def test_every_change_of_intensity_changes_and_stays_in_range(change: dict[str, float]):
    image = np.random.default_rng(0).random((16, 16), np.float32)
    results = [change_intensities(image, replace(STILL, **change), np.random.default_rng(i)) for i in range(12)]
    assert any(not np.array_equal(result, image) for result in results)
    assert all(result.dtype == np.float32 and 0 <= result.min() <= result.max() <= 1 for result in results)


def test_the_share_says_how_often_a_group_is_drawn():
    crops = stream(share=(1.0, 0.0), augment=STILL)
    assert all(float(crops[i][0].min()) == 0.0 or float(crops[i][1][0].min()) == 1.0 for i in range(10))


def test_fields_are_normalised_as_frames_are_at_deployment():
    data, how = open_data("synthetic:2@1?size=32"), Normalization(low=1.0, high=99.0)
    sample = data[1]
    field = ready(sample.planes(("nucleus", "membrane")), sample.labels["nuclei"], how)
    np.testing.assert_array_equal(field.image[0], normalize(sample.frame, how))
    np.testing.assert_array_equal(field.image[1], normalize(sample.image[1], how))
    np.testing.assert_array_equal(field.labels, sample.labels["nuclei"])


def test_all_planes_and_the_teacher_show_the_same_place():
    field = ramp()
    soft = np.rint(255 * field.image[0] / field.image.max()).astype(np.uint8)
    three = replace(field, image=np.concatenate([field.image, field.image / 2]), soft=soft)
    part = cut(three, 64, AugmentSection(), np.random.default_rng(5))
    np.testing.assert_allclose(part.image[1], part.image[0] / 2, atol=1e-6)
    np.testing.assert_allclose(part.soft / 255, part.image[0] / field.image.max(), atol=2 / 255)
    assert part.soft.dtype == np.uint8


def taught(augment: AugmentSection = STILL, planes: int = 1, with_instances: bool = False, **more) -> CropStream:
    """One field of constant planes, whose labels are two objects."""
    labels = np.zeros((64, 64), np.int32)
    labels[4:20, 4:20], labels[30:50, 30:50] = 1, 2
    image = np.stack([np.full((64, 64), 0.2 * (plane + 1), np.float32) for plane in range(planes)])
    groups = [[CropField(image, labels, **more)]]
    return CropStream(groups, (1.0,), OUTPUTS, 64, augment, 0, 0, 40, with_instances)


def test_a_crop_without_a_teacher_carries_none():
    crop = taught()[0]
    assert crop.teacher.shape == crop.instances.shape == (0,)
    assert bool(crop.labelled)


def test_a_crop_carries_what_the_teacher_said():
    crop = taught(soft=np.full((64, 64), 51, np.uint8))[0]
    assert crop.teacher.shape == (1, 64, 64)
    assert crop.teacher.dtype == torch.float32
    assert torch.allclose(crop.teacher, torch.tensor(0.2))


def test_a_crop_says_whether_it_is_labelled():
    assert not bool(taught(labelled=False)[0].labelled)


def test_a_crop_carries_instances_when_a_loss_needs_them():
    crop = taught(with_instances=True)[0]
    assert crop.instances.dtype == torch.int64
    assert set(crop.instances.unique().tolist()) == {0, 1, 2}


def test_channels_besides_the_first_are_dropped_as_often_as_asked():
    crops = [taught(replace(STILL, drop=0.25), planes=3)[index].image for index in range(40)]
    assert all(float(image[0].max()) > 0 for image in crops)
    share = np.mean([[float(plane.max()) == 0 for plane in image[1:]] for image in crops])
    assert 0.1 < share < 0.4


def test_dropping_channels_moves_nothing_else():
    still, dropped = taught(AugmentSection(), planes=2), taught(AugmentSection(drop=1.0), planes=2)
    assert torch.equal(still[3].image[0], dropped[3].image[0])
    assert torch.equal(still[3].target, dropped[3].target)


def test_an_unlabelled_field_is_empty_and_says_so():
    data = open_data("synthetic:1@1?size=32")
    field = ready(data[0].planes(("nucleus",)), None, Normalization())
    assert not field.labelled
    assert not field.labels.any()


def test_a_batch_is_collated_to_the_same_kind():
    loader = torch.utils.data.DataLoader(taught(soft=np.zeros((64, 64), np.uint8), with_instances=True), batch_size=4)
    batch = next(iter(loader))
    assert batch.image.shape == (4, 1, 64, 64)
    assert batch.labelled.shape == (4,)
    assert batch.teacher.shape == (4, 1, 64, 64)
    assert batch.instances.shape == (4, 64, 64)


def intensities_of_before(image, augment, rng):
    """How intensities were changed before there was haze: the numbers are drawn in this order."""
    if augment.blur and rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, augment.blur))
    image = image ** np.float32(augment.gamma ** rng.uniform(-1, 1))
    if augment.contrast:
        gain = 1 + augment.contrast * rng.uniform(-1, 0.6)
        image = image * np.float32(gain) + np.float32(rng.uniform(0, 0.5) * max(0.0, 1 - gain))
    if augment.noise and rng.random() < 0.5:
        deviation = rng.uniform(0, augment.noise)
        image = image + rng.normal(0, deviation, image.shape).astype(np.float32)
    return np.clip(image, 0, 1, dtype=np.float32)


def crop_of_before(crops: CropStream, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Crop and targets as they were before there were haze, small nuclei and distances."""
    rng = np.random.default_rng([crops.seed, number])
    fields = crops.groups[rng.choice(len(crops.groups), p=crops.share)]
    weights = np.sqrt([field.labels.size for field in fields])
    part = cut(fields[rng.choice(len(fields), p=weights / weights.sum())], crops.crop, crops.augment, rng)
    image = np.stack([intensities_of_before(plane, crops.augment, rng) for plane in part.image])
    return image, np.stack([part.labels > 0, core(part.labels)]).astype(np.float32)


def test_crops_of_an_old_configuration_are_to_the_bit_what_they_were():
    crops = stream()
    for number in range(10):
        image, target = crop_of_before(crops, number)
        assert torch.equal(crops[number].image, torch.from_numpy(image))
        assert torch.equal(crops[number].target, torch.from_numpy(target))


def test_haze_is_a_smooth_background_of_bounded_height():
    hazy, dark = replace(STILL, haze=0.3), np.zeros((64, 96), np.float32)
    found = [change_intensities(dark, hazy, np.random.default_rng(seed)) for seed in range(40)]
    lit = [image for image in found if image.any()]
    assert 4 <= len(lit) <= 22  # three in ten
    assert all(image.shape == dark.shape and 0 <= image.min() and image.max() <= 0.3 for image in found)
    assert max(float(np.abs(np.diff(image, axis=axis)).max()) for image in lit for axis in (0, 1)) < 0.04
    assert max(float(np.ptp(image)) for image in lit) > 0.05  # it is no constant


def test_haze_is_added_to_what_is_there():
    image = np.random.default_rng(0).random((32, 32), np.float32) * np.float32(0.5)
    for seed in range(12):
        assert (change_intensities(image, replace(STILL, haze=0.5), np.random.default_rng(seed)) >= image - 1e-6).all()


def with_nuclei(diameter: int) -> CropField:
    """Squares of a size on a grid, all of one brightness, which tells the fields apart."""
    labels = np.zeros((128, 128), np.int32)
    for number, (row, col) in enumerate(np.ndindex(4, 4), start=1):
        labels[32 * row : 32 * row + diameter, 32 * col : 32 * col + diameter] = number
    return CropField(np.full((1, 128, 128), diameter / 100, np.float32), labels)


def drawn_small(factor: float, count: int = 200) -> float:
    """How often the field of small nuclei is drawn, beside one of large ones."""
    groups = [[with_nuclei(6), with_nuclei(24)]]
    crops = CropStream(groups, (1.0,), OUTPUTS, 32, STILL, 0, 0, count, small_nuclei=factor)
    return float(np.mean([float(crops[number].image.max()) < 0.1 for number in range(count)]))


def test_fields_of_small_nuclei_are_drawn_as_much_more_often_as_asked():
    assert 0.42 < drawn_small(1.0) < 0.58
    assert 0.67 < drawn_small(3.0) < 0.83
    assert 0.17 < drawn_small(1 / 3) < 0.33


def test_a_field_without_nuclei_is_none_of_small_ones():
    empty = replace(with_nuclei(24), labels=np.zeros((128, 128), np.int32))
    crops = CropStream([[empty, with_nuclei(6)]], (1.0,), OUTPUTS, 32, STILL, 0, 0, 1, small_nuclei=3.0)
    np.testing.assert_allclose(crops.chances[0], [0.25, 0.75])


def test_a_few_small_nuclei_do_not_make_a_field_one_of_small_ones():
    mostly = with_nuclei(6)
    mostly.labels[:96] = with_nuclei(24).labels[:96]
    fields = [with_nuclei(24), mostly, with_nuclei(6)]
    crops = CropStream([fields], (1.0,), OUTPUTS, 32, STILL, 0, 0, 1, small_nuclei=2.0)
    np.testing.assert_allclose(crops.chances[0], [0.25, 0.25, 0.5])


def test_a_crop_carries_the_kind_of_core_that_is_asked_for():
    groups = [[with_nuclei(24)]]
    eroded, deep = (CropStream(groups, (1.0,), OUTPUTS, 64, STILL, 0, 0, 1, core=kind)[0] for kind in CORES)
    assert set(eroded.target[1].unique().tolist()) == {0.0, 1.0}
    assert len(deep.target[1].unique()) > 5
    assert torch.equal(deep.target[0], eroded.target[0])
    assert torch.equal(deep.target[1] > 0, deep.target[0] > 0)


def test_texture_is_correlated_and_grows_with_the_intensity():
    bright = np.full((64, 96), 0.8, np.float32)
    textured = replace(STILL, texture=0.1)
    results = [change_intensities(bright, textured, np.random.default_rng(seed)) for seed in range(60)]
    changed = [image - bright for image in results if not np.array_equal(image, bright)]
    assert 12 <= len(changed) <= 36  # four in ten
    neighbours = [np.corrcoef(image[:, 1:].ravel(), image[:, :-1].ravel())[0, 1] for image in changed]
    assert min(neighbours) > 0.3
    dim = [change_intensities(0.1 * bright, textured, np.random.default_rng(seed)) - 0.1 * bright for seed in range(60)]
    assert np.mean([image.std() for image in changed]) > 1.5 * np.mean([image.std() for image in dim if image.any()])


def test_hot_pixels_are_as_many_as_was_drawn_and_fully_bright():
    dim = np.full((64, 96), 0.2, np.float32)
    results = [change_intensities(dim, replace(STILL, hot=0.1), np.random.default_rng(seed)) for seed in range(60)]
    shares = [float((image == 1).mean()) for image in results]
    assert 6 <= sum(share > 0 for share in shares) <= 24  # one in four
    assert 0.05 < max(shares) < 0.12
    assert all(((image == 1) | (image == np.float32(0.2))).all() for image in results)


@pytest.mark.parametrize("diameter", [8, 24])
def test_a_field_is_brought_to_the_size_of_objects_that_is_asked_for(diameter: int):
    field = with_nuclei(diameter)
    zoom = object_zoom(field.labels, 16)
    assert zoom == pytest.approx(16 * np.sqrt(np.pi) / 2 / diameter)
    part = cut(replace(field, zoom=zoom), 48, STILL, np.random.default_rng(0))
    covered = float((part.labels > 0).mean())  # of the squares on their grid, which is zoomed with them
    assert covered == pytest.approx((diameter / 32) ** 2, rel=0.35)
    widths = [np.ptp(np.nonzero(part.labels == number)[0]) + 1 for number in np.unique(part.labels) if number]
    assert max(widths) == pytest.approx(zoom * diameter, abs=1)


def test_a_field_without_objects_keeps_its_size():
    assert object_zoom(np.zeros((32, 32), np.int32), 16) == 1
    assert object_zoom(with_nuclei(8).labels, 0) == 1
