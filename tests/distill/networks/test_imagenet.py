"""Weights to begin with: put in by order, for a grey picture, and only from the file that is known."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from distill import students
from distill.networks import imagenet
from distill.networks.spec import StudentSpec
from runtime.errors import EdgescopeError

NEEDED = f"{imagenet.PACKAGE} is not installed (the extra imagenet)"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """The published weights."""
    try:
        return torch.load(imagenet.find(), map_location="cpu", weights_only=True)
    except EdgescopeError:
        pytest.skip(NEEDED)


def fresh(**more: object) -> nn.Module:
    spec = {"decoder": (8, 8, 8), "head_stride": 2, **more}
    return students.load("efficientnet_lite0").build(StudentSpec("tiny", "efficientnet_lite0", **spec))


@pytest.fixture(scope="module")
def begun(state) -> nn.Module:
    student = fresh()
    imagenet.begin(student)
    return student.eval()


def layers(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, (nn.Conv2d, nn.BatchNorm2d))]


def test_each_layer_of_the_encoder_has_the_published_weights_in_their_order(begun, state):
    convolutions = [value for value in state.values() if value.ndim == 4]
    variances = [value for name, value in state.items() if name.endswith("running_var")]
    found = layers(begun.encoder)
    ours = [layer.weight for layer in found if isinstance(layer, nn.Conv2d)]
    assert len(ours) == len(found) / 2 < len(convolutions)
    assert all(torch.equal(one, other) for one, other in zip(ours[1:], convolutions[1:], strict=False))
    norms = [layer for layer in found if isinstance(layer, nn.BatchNorm2d)]
    assert all(torch.equal(norm.running_var, other) for norm, other in zip(norms, variances, strict=False))


def test_on_a_grey_picture_the_first_layer_says_what_the_published_one_says_of_three_equal_channels(begun, state):
    """The published one sees intensities from -1 to 1. At the rim, zeros of the padding mean grey there, black here."""
    stem = timm.create_model("efficientnet_lite0", pretrained=False)
    published = [value for value in state.values() if value.ndim == 4]
    prefix = next(name for name in state if name.endswith("running_var")).removesuffix("running_var")
    with torch.no_grad():
        stem.conv_stem.weight.copy_(published[0])
        for name in imagenet.BATCH_NORM:
            getattr(stem.bn1, name).copy_(state[prefix + name])
    norm = nn.BatchNorm2d(32, eps=stem.bn1.eps).eval()
    norm.load_state_dict(stem.bn1.state_dict())
    grey = torch.rand(1, 1, 33, 33, generator=torch.Generator().manual_seed(0))
    convolution, ours = layers(begun.encoder)[:2]
    with torch.no_grad():
        theirs = norm(stem.conv_stem((2 * grey - 1).expand(-1, 3, -1, -1)))
        found = nn.functional.batch_norm(
            convolution(grey), ours.running_mean, ours.running_var, ours.weight, ours.bias, eps=ours.eps
        )
    torch.testing.assert_close(found[..., 1:-1, 1:-1], theirs[..., 1:-1, 1:-1], rtol=1e-4, atol=1e-5)


def test_several_channels_that_hold_the_same_are_seen_as_one(begun, state):
    two = fresh(channels=("nucleus", "membrane"))
    imagenet.begin(two)
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = two.eval().encoder(image.expand(-1, 2, -1, -1))[-1], begun.encoder(image)[-1]
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_decoder_stays_as_it_began(state):
    student = fresh()
    before = {name: value.clone() for name, value in student.decoder.state_dict().items()}
    imagenet.begin(student)
    assert all(torch.equal(value, before[name]) for name, value in student.decoder.state_dict().items())


class Package:
    """An installed distribution whose files lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate_file(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the file of the weights would lie; nothing is there."""
    monkeypatch.setattr(imagenet, "distribution", lambda name: Package(tmp_path))
    path = tmp_path / imagenet.FILE
    path.parent.mkdir(parents=True)
    return path


def test_a_file_of_another_content_is_refused_before_it_is_read(installed: Path):
    installed.write_bytes(b"not a state dict")
    with pytest.raises(EdgescopeError, match=rf"its SHA-256 differs\); reinstall {imagenet.PACKAGE}"):
        imagenet.begin(nn.Identity())


def test_a_missing_file_is_said_with_the_way_to_get_it(installed: Path):
    with pytest.raises(EdgescopeError, match=f"pip install --force-reinstall {imagenet.PACKAGE}"):
        imagenet.find()


def test_a_missing_package_is_said_with_the_extra(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> Package:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(imagenet, "distribution", missing)
    with pytest.raises(EdgescopeError, match=r'run: pip install "edgescope\[imagenet\]"'):
        imagenet.find()
