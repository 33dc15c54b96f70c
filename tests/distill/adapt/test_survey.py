"""What a laboratory gives is counted, and what would mislead is said."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from distill.adapt.flow import check_place, name_of, with_reference
from distill.adapt.survey import survey
from distill.adapt.words import survey_lines
from runtime.errors import InputError

LABELS = np.zeros((40, 40), np.uint16)
LABELS[2:12, 2:12], LABELS[20:30, 20:30] = 1, 2


def put(path: Path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels)


def frame(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (40, 40)).astype(np.uint8)


@pytest.fixture
def lab(tmp_path) -> Path:
    """Four images: two labelled, one with masks of another segmenter alone, one with nothing."""
    for number, name in enumerate("abcd"):
        put(tmp_path / "lab" / "images" / f"{name}.tif", frame(number))
    for name in "ab":
        put(tmp_path / "lab" / "labels" / f"{name}.tif", LABELS)
    for name in "bc":
        put(tmp_path / "other" / f"{name}_cp_masks.tif", LABELS)
    return tmp_path / "lab"


def test_people_label_before_other_segmenters(lab):
    found = survey(lab, masks=lab.parent / "other")
    assert {one.name: one.role for one in found.fields} == {
        "a": "labelled",
        "b": "labelled",
        "c": "taught",
        "d": "bare",
    }
    assert [one.objects for one in found.fields] == [2, 2, 2, 0]
    assert found.diameter_px == pytest.approx(11.28, abs=0.01)
    lines = survey_lines(found)
    assert lines[0].startswith("images: 4, of them 2 with labels, 1 with masks")
    assert "1 image(s) without labels or masks, left out" in lines[-1]


def test_the_digest_follows_the_labels(lab):
    before = survey(lab).digest()
    put(lab / "images" / "e.tif", frame(9))
    assert survey(lab).digest() == before  # nothing is learnt from it
    put(lab / "labels" / "c.tif", LABELS)
    assert survey(lab).digest() != before


def test_equal_frames_count_once(lab):
    put(lab / "images" / "twin.tif", frame(0))
    found = survey(lab)
    assert "twin" not in {one.name for one in found.fields}
    assert any("the same as another image, left out (twin)" in warning for warning in found.warnings)


def test_a_mask_and_an_empty_label_are_said(lab):
    put(lab / "labels" / "a.tif", (LABELS > 0).astype(np.uint8) * np.uint8(255))
    put(lab / "labels" / "c.tif", np.zeros_like(LABELS))
    warnings = " ".join(survey(lab).warnings)
    assert "1 image(s) labelled by a mask" in warnings
    assert "1 image(s) labelled as empty" in warnings


def test_images_that_the_student_has_seen_are_said(lab):
    seen = frozenset({survey(lab).fields[0].fingerprint})
    assert any("scores are too good (a)" in warning for warning in survey(lab, trained_on=seen).warnings)


def test_labels_that_are_all_empty_teach_nothing(lab):
    for name in "ab":
        put(lab / "labels" / f"{name}.tif", np.zeros_like(LABELS))
    with pytest.raises(InputError, match="labels of all 2 images are empty"):
        survey(lab)


def test_images_alone_teach_nothing(tmp_path):
    put(tmp_path / "a.tif", frame(0))
    with pytest.raises(InputError, match=r"None of the 1 images .* has labels or masks"):
        survey(tmp_path)


def test_a_channel_is_asked_for_and_taken(lab):
    for number, name in enumerate("abcd"):
        stack = np.stack([np.zeros((40, 40), np.uint8), frame(number)])
        tifffile.imwrite(lab / "images" / f"{name}.tif", stack, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(InputError, match=r"has 2 channels; say which one holds the nuclei: --channel N"):
        survey(lab)
    with pytest.raises(InputError, match=r"there is no channel 2, give one of them with --channel N"):
        survey(lab, channel=2)
    pixels, labels = survey(lab, channel=1).read("a")
    np.testing.assert_array_equal(pixels, frame(0))
    np.testing.assert_array_equal(labels, LABELS)


def test_masks_are_the_truth_where_people_labelled_too_few(lab):
    (lab / "labels" / "b.tif").unlink()
    found = with_reference(survey(lab, masks=lab.parent / "other"))
    assert [one.role for one in found.fields] == ["labelled", "labelled", "labelled", "bare"]
    assert found.reference == "masks of another segmenter"
    assert "how far students agree with the masks" in found.warnings[-1]


def test_a_folder_of_something_else_is_not_written_into(tmp_path):
    (tmp_path / "thesis.docx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds 'thesis\.docx', which adapt did not write"):
        check_place(tmp_path)


def test_the_name_says_what_it_began_with(tmp_path):
    assert name_of("nuclei-fast", tmp_path / "my run") == "nuclei-fast-my-run"
