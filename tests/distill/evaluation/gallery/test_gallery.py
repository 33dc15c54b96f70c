"""Made-up frames with a known cause each: the examination finds it, and the page says it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from distill.evaluation.gallery.causes import CAUSES, across, examine, merges
from distill.evaluation.gallery.figure import GalleryImage, draw, worst_part
from distill.evaluation.gallery.words import sentence, to_markdown

SIDE = 64


def blank() -> np.ndarray:
    return np.zeros((SIDE, SIDE), np.int32)


def squares(*places: tuple[int, int, int]) -> np.ndarray:
    """Labels of squares (row, column, side), numbered in their order."""
    labels = blank()
    for number, (row, col, side) in enumerate(places, 1):
        labels[row : row + side, col : col + side] = number
    return labels


def light(labels: np.ndarray, *levels: float) -> np.ndarray:
    """A frame in which object i has the intensity levels[i], on a ground of 0.1."""
    return np.array([0.1, *levels], np.float32)[labels]


FOUR = squares((4, 4, 16), (4, 40, 16), (40, 4, 16), (40, 40, 16))
EVEN = light(FOUR, 0.5, 0.6, 0.7, 0.8)


def without(labels: np.ndarray, *numbers: int) -> np.ndarray:
    return np.where(np.isin(labels, numbers), 0, labels)


def test_a_perfect_mask_has_no_cause():
    found = examine("one", EVEN, FOUR, FOUR)
    assert (found.dice, found.cause, found.wrong_pixels) == (1.0, None, 0)
    assert sentence(found) == "Nothing is wrong with it."


def test_a_dim_nucleus_that_was_missed_is_the_cause():
    found = examine("one", EVEN, FOUR, without(FOUR, 1))
    assert found.cause == "dim"
    assert found.wrong == {**dict.fromkeys(CAUSES, 0), "dim": 256}
    assert "100 % of the area missed in the dimmer half" in sentence(found)


def test_a_bright_nucleus_that_was_missed_is_another_cause():
    found = examine("one", EVEN, FOUR, without(FOUR, 4))
    assert (found.cause, found.missed, found.missed_small) == ("bright", 1, 0)


def test_an_object_as_bright_as_nuclei_lacks_a_label():
    found = examine("one", EVEN, without(FOUR, 3), FOUR)
    assert (found.cause, found.invented) == ("unlabelled", 1)


def test_a_dim_object_without_label_is_background():
    extra = FOUR + squares((24, 24, 10)) * 5
    found = examine("one", EVEN, FOUR, extra)
    assert found.cause == "background"
    assert found.wrong["background"] == 100


def test_an_invented_object_under_the_least_area_counts_as_pixels_alone():
    extra = FOUR + squares((24, 24, 3)) * 5
    found = examine("one", EVEN, FOUR, extra, min_area=12)
    assert (found.invented, found.wrong_pixels, found.ap50) == (0, 9, 1.0)


def test_wide_masks_are_told_by_area_and_by_what_one_pixel_less_would_give():
    wide = squares((3, 3, 18), (3, 39, 18), (39, 3, 18), (39, 39, 18))
    found = examine("one", EVEN, FOUR, wide)
    assert (found.cause, found.dice_narrower) == ("wide", 1.0)
    assert found.area_ratio == pytest.approx(18**2 / 16**2)
    assert "1.27 times the labelled area, and 1 px narrower its Dice would be 1.000" in sentence(found)


def test_narrow_masks_would_gain_by_one_pixel_more():
    narrow = squares((5, 5, 14), (5, 41, 14), (41, 5, 14), (41, 41, 14))
    found = examine("one", EVEN, FOUR, narrow)
    assert found.cause == "narrow"
    assert found.dice_wider > found.dice
    assert "1 px wider" in sentence(found)


def test_small_nuclei_that_were_missed_are_counted():
    truth = squares((4, 4, 16), (40, 40, 6), (50, 10, 5))
    found = examine("one", light(truth, 0.5, 0.5, 0.5), truth, without(truth, 2, 3))
    assert (found.missed, found.missed_small) == (2, 2)
    assert "2 of 3 nuclei missed, 2 of them under 12 px across" in sentence(found)


def test_a_found_object_over_two_nuclei_merged_them():
    truth = squares((4, 4, 10), (4, 14, 10))
    found = examine("one", light(truth, 0.5, 0.5), truth, np.minimum(truth, 1))
    assert (found.merged, found.split, found.dice) == (1, 0, 1.0)
    assert "1 object merged with a neighbour" in sentence(found)


def test_a_nucleus_with_two_found_objects_fell_apart():
    found = squares((4, 4, 10), (4, 14, 10))
    truth = np.minimum(found, 1)
    assert (examine("one", light(truth, 0.5), truth, found).split) == 1


def test_an_image_without_labels_is_all_invention():
    found = examine("one", np.full((SIDE, SIDE), 0.5, np.float32), blank(), FOUR)
    assert (found.dice, found.area_ratio, found.cause) == (0.0, None, "background")
    assert "nothing is labelled in it" in sentence(found)


def test_an_image_in_which_nothing_was_found_is_all_missed():
    found = examine("one", EVEN, FOUR, blank())
    assert (found.missed, found.dice) == (4, 0.0)
    assert found.share("dim", "bright") == 1.0


@given(arrays(np.int32, (12, 12), elements=st.integers(0, 5)), arrays(np.int32, (12, 12), elements=st.integers(0, 5)))
def test_every_wrong_pixel_has_exactly_one_cause(truth: np.ndarray, found: np.ndarray):
    frame = np.linspace(0, 1, truth.size, dtype=np.float32).reshape(truth.shape)
    assert examine("one", frame, truth, found).wrong_pixels == ((truth > 0) != (found > 0)).sum()


@given(arrays(np.int32, (8, 8), elements=st.integers(0, 4)))
def test_nothing_merges_with_itself(labels: np.ndarray):
    assert merges(labels, labels) == 0


def test_a_disc_is_as_wide_as_its_diameter():
    assert across(np.array([314])) == pytest.approx(20, abs=0.01)


@given(arrays(np.bool_, (9, 7)), st.integers(1, 12))
def test_the_worst_part_holds_as_many_wrong_pixels_as_any(wrong: np.ndarray, side: int):
    part = worst_part(wrong, side)
    height, width = min(side, 9), min(side, 7)
    assert wrong[part].shape == (height, width)
    windows = np.lib.stride_tricks.sliding_window_view(wrong, (height, width))
    assert wrong[part].sum() == windows.sum((2, 3)).max()


def findings():
    return [examine("a|b", EVEN, FOUR, without(FOUR, 1)), examine("b", EVEN, FOUR, without(FOUR, 4))]


def test_the_page_has_a_row_for_each_of_the_worst_and_counts_all():
    page = to_markdown("Worst", findings()[:1], findings(), "gallery.png")
    assert page.count("\n| a\\|b |") == 1
    assert "over all 2 images" in page
    assert f"| {CAUSES['dim']} | 50 % | 1 |" in page
    assert "Of 8 labelled nuclei 2 were missed" in page


def test_the_sheet_is_a_picture_of_every_panel():
    pytest.importorskip("matplotlib")
    from PIL import Image

    sheets = [
        draw([GalleryImage(one, EVEN, FOUR > 0, FOUR > 1)] * count, "Worst")
        for one in findings()[:1]
        for count in (1, 5)
    ]
    assert all(sheet.startswith(b"\x89PNG") for sheet in sheets)
    from io import BytesIO

    one, five = (Image.open(BytesIO(sheet)).size for sheet in sheets)
    assert five[0] > one[0] and five[1] > one[1]


@pytest.fixture
def call(capsys):
    from distill.__main__ import main

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_the_command_writes_sheet_page_and_figures(call, student_folder, tmp_path):
    out = tmp_path / "gallery"
    code, said, _ = call(
        "gallery", student_folder, "--data", "synthetic:3@5?size=64", "--split", "all", "--worst", 2, "--out", out
    )
    assert code == 0
    assert "the worst of 3 images" in said
    rows = json.loads((out / "gallery.json").read_text())
    assert len(rows) == 3
    worst = sorted(rows, key=lambda row: row["dice"])[:2]
    page = (out / "gallery.md").read_text()
    assert all(row["sentence"] in page and f"| {row['name']} |" in page for row in worst)
    assert (out / "gallery.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_in_place_of_the_folder_is_wrong_input(call, tmp_path):
    (tmp_path / "f").write_text("x")
    code, _, said = call("gallery", "nobody", "--data", "synthetic:1", "--out", tmp_path / "f")
    assert (code, "is a file; give a folder" in said) == (2, True)
