"""A lab with a few synthetic images, and a tiny student to begin with."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from distill import datasets


@pytest.fixture
def lab(tmp_path) -> Path:
    """Five images of 64x64: four labelled, one with the masks of another segmenter."""
    for number, sample in enumerate(datasets.open("synthetic:5@3?size=64")):
        for folder, pixels in (("images", sample.frame), ("labels", sample.labels["nuclei"].astype(np.uint16))):
            place = tmp_path / "lab" / ("other" if folder == "labels" and number == 4 else folder)
            place.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(place / f"{sample.name}.tif", pixels)
    return tmp_path / "lab"


@pytest.fixture
def begin(student, tmp_path) -> str:
    """The folder of the tiny student."""
    from distill.student.student import save

    folder = tmp_path / "begin"
    folder.mkdir()
    save(student, folder)
    return str(folder)
