"""A configuration to begin with is written, and reads back."""

import numpy as np
import tifffile

from distill import settings
from distill.__main__ import main
from distill.config.files import portable


def test_the_file_reads_back_and_takes_over_the_student(tmp_path, capsys):
    out = tmp_path / "mine.toml"
    call = ["init", "--from", "nuclei-fast", "--data", f"folder:{tmp_path}/images", "--out", str(out), "--steps", "120"]
    assert main(call) == 0
    config = settings.load(out)
    assert config.student.init_from == "nuclei-fast"
    assert config.data.train == (f"folder:{tmp_path}/images",)
    assert config.data.core == "distance"
    assert config.float.steps == 100  # whole intervals
    assert main(call) == 2
    assert "exists; give another --out" in capsys.readouterr().err


def test_a_student_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["init", "--from", "nobody", "--data", "folder:x", "--out", str(tmp_path / "a.toml")]) == 2
    assert "There is no student 'nobody'" in capsys.readouterr().err


def test_adapt_complains_before_torch_is_loaded(tmp_path, capsys):
    assert main(["adapt", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert "does not exist" in capsys.readouterr().err
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((32, 32), np.uint8))
    assert main(["adapt", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "None of the 1 images" in capsys.readouterr().err
    assert main(["adapt", str(tmp_path), "--out", str(tmp_path / "out"), "--steps", "9", "--minutes", "1"]) == 2
    assert "Give --steps or --minutes" in capsys.readouterr().err


def test_the_folder_of_labels_does_not_tell_where_it_was():
    assert portable("folder:/home/me/raw?from=/home/me/labels&part=all") == "folder:raw?from=labels&part=all"
