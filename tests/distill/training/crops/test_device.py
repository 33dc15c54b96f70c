"""Crops cut on a device are those that the host cuts, from the same numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from distill.config.sections import AugmentSection
from distill.datasets import open as open_data
from distill.training.crops.device import DeviceCrops, PlanStream
from distill.training.crops.host import CropField, CropStream, ready
from runtime.artifact.manifest import Normalization

CPU = torch.device("cpu")
QUIET = AugmentSection(scale=1.2, noise=0.0, haze=0.3, blur=1.5)  # never shrunk by more than SHRUNK
OUTPUTS = ("foreground", "core")


def fields(kind: str = "nuclei", channels=("nucleus",)) -> list[list[CropField]]:
    how = Normalization()
    sizes = ("70x90", "128", "64x200")
    samples = [open_data(f"synthetic:1@{n}?size={size}")[0] for n, size in enumerate(sizes)]
    made = [ready(sample.planes(channels), sample.labels[kind], how) for sample in samples]
    return [made[:1], made[1:]]


def streams(augment: AugmentSection = QUIET, groups=None, **more) -> tuple[CropStream, PlanStream]:
    arguments = (groups or fields(), (1.0, 2.0), OUTPUTS, 64, augment, 3, 5, 24)
    return CropStream(*arguments, **more), PlanStream(*arguments, **more)


def both(augment: AugmentSection = QUIET, groups=None, **more):
    host, plans = streams(augment, groups, **more)
    count = len(host)
    return (
        next(iter(DataLoader(host, batch_size=count))),
        DeviceCrops(host, CPU).cut(next(iter(DataLoader(plans, batch_size=count)))),
    )


@pytest.mark.parametrize("core", ["distance", "eroded"])
def test_a_crop_is_that_of_the_host(core: str):
    host, device = both(core=core, with_instances=True)
    torch.testing.assert_close(device.image, host.image, atol=2e-3, rtol=0)
    assert (device.instances != host.instances).float().mean() < 2e-3  # nearest pixels, where two are as near
    assert (device.target[:, 0] != host.target[:, 0]).float().mean() < 2e-3
    inside = (slice(None), slice(None), slice(16, 48), slice(16, 48))  # objects cut by the border have other cores
    apart = (device.target[inside] - host.target[inside]).abs()
    assert apart.mean() < 0.03
    assert device.target.dtype == device.image.dtype == torch.float32
    assert torch.equal(device.labelled, host.labelled)


def test_a_field_that_is_shrunk_is_smoothed_first():
    rng = np.random.default_rng(0)
    noise = [[CropField(rng.random((1, 300, 300), np.float32), np.zeros((300, 300), np.int32))]] * 2
    still = AugmentSection(scale=1.0, rotate=False, gamma=1.0, contrast=0.0, noise=0.0, blur=0.0)
    host, device = both(replace(still, scale=2.0), noise)
    zoom = next(iter(DataLoader(streams(replace(still, scale=2.0), noise)[1], batch_size=24))).zoom
    shrunk = zoom <= 0.8
    assert shrunk.any()
    assert not shrunk.all()
    torch.testing.assert_close(device.image[~shrunk], host.image[~shrunk], atol=2e-3, rtol=0)
    assert device.image[shrunk].std() < 0.75 * device.image[~shrunk].std()


def test_planes_are_changed_each_in_its_way_and_dropped_as_on_the_host():
    groups = fields(channels=("nucleus", "membrane"))
    host, device = both(replace(QUIET, drop=0.4), groups)
    assert device.image.shape == host.image.shape
    blank = (host.image.amax((2, 3)) == 0).float().mean(0)
    torch.testing.assert_close((device.image.amax((2, 3)) == 0).float().mean(0), blank)
    torch.testing.assert_close(device.image, host.image, atol=2e-3, rtol=0)


def test_what_a_teacher_said_is_cut_with_the_image():
    made = [[replace(field, soft=np.uint8(np.rint(255 * field.image[0]))) for field in group] for group in fields()]
    host, device = both(QUIET, made)
    torch.testing.assert_close(device.teacher, host.teacher, atol=2 / 255, rtol=0)


def test_noise_depends_on_seed_and_number():
    noisy = replace(QUIET, noise=0.1)
    one, again = both(noisy)[1], both(noisy)[1]
    assert torch.equal(one.image, again.image)
    host, quiet = both(QUIET)[1], one
    assert (host.image - quiet.image).abs().mean() > 0.005


def test_a_field_is_resized_as_on_the_host():
    groups = [[replace(field, zoom=1.2) for field in group] for group in fields()]
    host, device = both(groups=groups)
    torch.testing.assert_close(device.image, host.image, atol=2e-3, rtol=0)
    assert not torch.equal(host.image, both()[0].image)


def test_texture_is_as_strong_as_on_the_host():
    textured = replace(QUIET, texture=0.2)
    host, device = both(textured)
    plain = both()[1]
    assert (device.image - plain.image).abs().mean() > 0.005
    assert float((device.image - plain.image).std()) == pytest.approx(float((host.image - plain.image).std()), rel=0.2)


def test_hot_pixels_are_as_many_as_on_the_host():
    host, device = both(replace(QUIET, hot=0.2))
    assert float((host.image == 1).float().mean()) > 0.001
    assert float((device.image == 1).float().mean()) == pytest.approx(float((host.image == 1).float().mean()), rel=0.2)
