"""A configuration takes over what the student is that it begins with, unless it says otherwise."""

import subprocess
import sys
from pathlib import Path

import pytest

from distill import settings
from distill.student import description
from distill.student.inheritance import inherited
from runtime.errors import InputError

BEGIN = {"student": {"name": "mine", "init_from": "nuclei-fast"}}


def test_architecture_core_and_scale_are_taken_over():
    table = inherited(BEGIN)
    spec = description.describe("nuclei-fast").spec
    assert table["student"]["family"] == spec.family
    assert table["student"]["encoder"] == list(spec.encoder)
    assert table["student"]["head_stride"] == spec.head_stride
    assert table["student"]["high_percentile"] == spec.normalization.high
    assert table["data"] == {"core": "distance", "object_diameter": spec.object_diameter.median_px}


def test_what_is_said_counts():
    table = inherited(BEGIN | {"data": {"core": "eroded", "crop": 128}})
    assert table["data"]["core"] == "eroded"
    assert table["data"]["crop"] == 128


def test_another_family_keeps_its_own_widths():
    table = inherited({"student": {"init_from": "nuclei-fast", "family": "mobilenetv3"}})
    assert "encoder" not in table["student"]
    assert table["data"]["core"] == "distance"


def test_without_init_from_nothing_changes():
    assert inherited({"student": {"name": "mine"}}) == {"student": {"name": "mine"}}


def test_a_student_that_is_not_there_is_named():
    with pytest.raises(InputError, match="There is no student 'nobody'"):
        inherited({"student": {"init_from": "nobody"}})


def test_a_file_is_read_with_it(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        '[student]\nname = "mine"\ninit_from = "nuclei-fast"\n[data]\ntrain = ["folder:a"]\nvalidation = ["folder:a"]\n'
    )
    config = settings.load(file)
    assert config.student.family == description.describe("nuclei-fast").spec.family
    with pytest.raises(InputError, match="'a' does not exist"):
        settings.check_inputs(config, tmp_path / "out")


def test_descriptions_need_no_torch():
    code = (
        "import sys; from distill.student.description import describe; from distill import settings; "
        "describe('nuclei-fast'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
