"""CellSAM as a teacher, against a STAND-IN for its package.

The package is in no index and its licence keeps it out of here. The stand-in has the interface that CellSAM documents
(get_local_model, model and model_cp, generate_embeddings, generate_bounding_boxes, iou_threshold) around a shrunken SAM
with random weights. What these tests show is our side of that interface; CellSAM itself has never run here.
"""

import copy
import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from distill import datasets
from distill.config.sections import TeacherSection
from distill.sam.network import Encoded, SamNetwork
from distill.teachers import open_teacher
from distill.teachers.cellsam import teacher as cellsam
from distill.teachers.cellsam.teacher import normalize
from distill.teaching.soft_labels import obtain
from runtime.errors import EdgescopeError, InputError

SIDE = 128
DATA = datasets.open("synthetic:3@4?size=96x64")
DETECTED = [[10.0, 12.0, 40.0, 50.0], [60.0, 60.0, 100.0, 90.0], [110.0, 5.0, 120.0, 20.0]]  # the last is padding


class StandInCellSam(torch.nn.Module):
    """What CellSAM looks like from outside."""

    iou_threshold = -1e9  # a random SAM thinks badly of all its masks

    def __init__(self, sam, detected):
        super().__init__()
        self.model = sam
        self.model_cp = copy.deepcopy(sam)
        self.cellfinder = torch.nn.Linear(2, 2)
        self.detected = detected
        self.seen = []

    def generate_embeddings(self, images, existing_embeddings=None, transform=True, device=None):
        self.seen.append(images)
        scaled = torch.stack([self.model.preprocess(255 * image) for image in images])
        return self.model_cp.image_encoder(scaled), [(0, 0)] * len(images)

    def generate_bounding_boxes(self, images, device=None):
        return None if self.detected is None else [torch.tensor(self.detected).reshape(-1, 4)] * len(images)


class Package(ModuleType):
    """The stand-in for the module `cellSAM`."""

    detected = DETECTED
    made: StandInCellSam

    def __init__(self, sam):
        super().__init__("cellSAM")
        self.sam = sam

    def get_local_model(self, model_path):
        self.made = StandInCellSam(copy.deepcopy(self.sam), self.detected)
        self.made.load_state_dict(torch.load(model_path, weights_only=True), strict=False)
        return self.made


@pytest.fixture
def package(sam, monkeypatch: pytest.MonkeyPatch) -> Package:
    stand_in = Package(sam)
    monkeypatch.setitem(sys.modules, "cellSAM", stand_in)
    monkeypatch.setattr(cellsam.extras, "available", lambda name: True)
    monkeypatch.setattr(cellsam, "SIDE", SIDE)
    return stand_in


@pytest.fixture
def section(package, tmp_path: Path) -> TeacherSection:
    torch.save(StandInCellSam(package.sam, None).state_dict(), tmp_path / "cellsam.pt")
    return TeacherSection(
        name="cellsam",
        weights=str(tmp_path / "cellsam.pt"),
        device="cpu",
        store=str(tmp_path / "a.zarr"),
        options={"prompts": "none"},
    )


def ask(section: TeacherSection, sample=DATA[0]) -> np.ndarray:
    teacher = open_teacher(section)
    return teacher.probability(sample.planes(teacher.channels), teacher.reference(sample))


def test_its_own_boxes_are_taken_from_its_frame_to_the_fields(section, package):
    answer = ask(section)
    with torch.inference_mode():
        shown = package.made.model.preprocess(255 * package.made.seen[0])
        embedding = package.made.model_cp.image_encoder(shown)
    boxes = np.float32(DETECTED[:2]) * 96 / SIDE
    expected = SamNetwork(package.made.model_cp).from_boxes(Encoded(embedding[0], (128, 85), (96, 64)), boxes, 64)
    assert answer.shape == (96, 64)
    assert answer.std() > 0.01
    assert np.allclose(answer, expected, atol=1e-5)


def test_it_is_shown_blank_nucleus_and_cell_in_the_square_that_it_wants(section, package):
    ask(section)
    (square,) = package.made.seen[0].numpy()
    assert square.shape == (3, SIDE, SIDE)
    assert not square[0].any()
    assert not square[:, :, 85:].any()
    assert square[1:, :, :85].reshape(2, -1).max(1).tolist() == pytest.approx([1, 1], abs=0.1)
    smaller = torch.from_numpy(np.stack([normalize(plane) for plane in DATA[0].image]))[None]
    expected = torch.nn.functional.interpolate(smaller, (128, 85), mode="bilinear", antialias=True)[0].numpy()
    assert np.allclose(square[1:, :, :85], expected.clip(0, 1), atol=1e-6)


def test_boxes_of_the_labels_do_without_its_detector(section, package, monkeypatch):
    monkeypatch.setattr(StandInCellSam, "generate_bounding_boxes", lambda *_: pytest.fail("detected"))
    answer = ask(replace(section, options={**section.options, "prompts": "boxes"}))
    assert 0 <= answer.min() < answer.max() <= 1
    assert not np.allclose(
        answer,
        ask(replace(section, options={**section.options, "prompts": "boxes", "prompt_labels": "nuclei"})),
        atol=1e-3,
    )


@pytest.mark.parametrize("detected", [None, []])
def test_a_field_where_it_finds_no_cell_is_background(section, package, detected):
    package.detected = detected
    answer = ask(section)
    assert answer.shape == (96, 64)
    assert not answer.any()


def test_masks_that_it_would_drop_itself_are_dropped(section, monkeypatch):
    monkeypatch.setattr(StandInCellSam, "iou_threshold", 1e9)
    assert not ask(section).any()


def test_an_older_version_without_a_copy_is_used_as_it_is(section, package, monkeypatch):
    with_copy = ask(section)

    def load(self, model_path):
        made = StandInCellSam(copy.deepcopy(self.sam), self.detected)
        made.model_cp.image_encoder.requires_grad_(requires_grad=False)
        encoder = made.model_cp.image_encoder
        del made.model_cp
        object.__setattr__(made, "generate_embeddings", lambda images: encoder(made.model.preprocess(255 * images)))
        return made

    monkeypatch.setattr(Package, "get_local_model", load)
    assert np.allclose(ask(section), with_copy, atol=1e-5)


def test_its_answers_go_into_the_store(section):
    soft = obtain(replace(section, batch=2), DATA)
    assert [one.shape for one in soft] == [(96, 64)] * 3


def test_weights_that_would_stay_random_are_refused(section):
    state = torch.load(section.weights, weights_only=True)
    del state["model_cp.mask_decoder.iou_token.weight"]
    torch.save(state, section.weights)
    with pytest.raises(InputError, match=r"model_cp\.mask_decoder\.iou_token\.weight and 0 more"):
        ask(section)


def test_a_detector_is_needed_where_it_is_asked_alone(section):
    state = torch.load(section.weights, weights_only=True)
    torch.save({name: value for name, value in state.items() if "cellfinder" not in name}, section.weights)
    with pytest.raises(InputError, match=r"cellfinder\."):
        ask(section)
    assert ask(replace(section, options={**section.options, "prompts": "boxes"})).any()


def test_weights_that_are_not_used_are_said(section, caplog: pytest.LogCaptureFixture):
    state = torch.load(section.weights, weights_only=True)
    torch.save(state | {"adapter.weight": torch.zeros(2)}, section.weights)
    with caplog.at_level(logging.WARNING):
        ask(section)
    assert "adapter.weight" in caplog.text


def test_a_file_that_is_no_checkpoint_is_named(section):
    Path(section.weights).write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"cellsam\.pt cannot be loaded"):
        ask(section)


def test_a_package_without_local_models_is_told_to_be_renewed(section, monkeypatch):
    monkeypatch.delattr(Package, "get_local_model")
    with pytest.raises(EdgescopeError, match="get_local_model; install a newer one"):
        ask(section)


def test_a_missing_package_says_how_to_install_it_and_the_licence(tmp_path: Path):
    section = TeacherSection(name="cellsam", weights=str(tmp_path / "no.pt"), options={"prompts": "none"})
    with pytest.raises(EdgescopeError, match=r"pip install git\+.*non-commercial.*DEEPCELL_ACCESS_TOKEN"):
        open_teacher(section)


@pytest.mark.parametrize(
    ("weights", "said"), [("", "teacher.weights is empty"), ("no.pt", "no CellSAM weights 'no.pt'")]
)
@pytest.mark.parametrize("token", [None, "secret"])
def test_missing_weights_say_how_to_get_them_and_the_licence(package, monkeypatch, weights, said: str, token):
    monkeypatch.delenv("DEEPCELL_ACCESS_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("DEEPCELL_ACCESS_TOKEN", token)
    with pytest.raises(InputError) as refused:
        open_teacher(TeacherSection(name="cellsam", weights=weights, options={"prompts": "none"}))
    reason = str(refused.value)
    assert said in reason
    assert "get_model()" in reason
    assert "non-commercial" in reason
    assert ("DEEPCELL_ACCESS_TOKEN is not set" in reason) == (token is None)
    assert "secret" not in reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompts": "grid"}, "CellSAM takes boxes, or none"),
        ({"rgb": ("membrane", "nucleus", "blank")}, "in this order"),
        ({"rgb": ("grey",)}, "in this order"),
        ({"rgb": ("blank",) * 3}, "in this order"),
        ({"chunk": 0}, "must be positive"),
    ],
)
def test_a_wrong_setting_is_refused(section, changes, said: str):
    with pytest.raises(InputError, match=said):
        open_teacher(replace(section, options={**section.options, **changes}))


def test_its_key_and_licence(section):
    teacher = open_teacher(section)
    assert teacher.licence == "CellSAM: non-commercial academic use only"
    assert teacher.channels == ("nucleus", "membrane")
    others = [
        replace(section, options={**section.options, "prompts": "boxes"}),
        replace(section, options={**section.options, "rgb": ("blank", "nucleus", "blank")}),
    ]
    assert len({str(open_teacher(other).key()) for other in [section, *others]}) == 3


def test_its_normalisation_is_cellsams():
    from skimage.exposure import equalize_adapthist

    plane = np.random.default_rng(0).integers(0, 4000, (60, 50)).astype(np.uint16)
    plane[0, 0] = 60000
    high = np.percentile(plane[plane > 0], 99.9)
    expected = equalize_adapthist(np.minimum(plane, high) / high, kernel_size=128)
    assert np.allclose(normalize(plane), expected, atol=1e-6)
    assert not normalize(np.full((9, 9), 7, np.uint16)).any()
    single = np.zeros((9, 9), np.uint16)
    single[4, 4] = 3
    assert normalize(single).max() <= 1
