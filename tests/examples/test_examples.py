"""The examples run as they are: each as a program of its own, without a screen, on a tiny student."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("skimage")

ROOT = Path(__file__).parents[2]


def run(name: str, *arguments: object, code: int = 0) -> str:
    """What an example prints."""
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stdout


def needs_a_camera() -> None:
    pytest.importorskip("pymmcore_plus")
    pytest.importorskip("mm_test_adapters")


def test_the_live_view_segments_what_the_camera_sees(write_tiny):
    needs_a_camera()
    printed = run("live_view.py", write_tiny(), "--seconds", "2")
    assert "objects" in printed
    assert "Counters(seen=" in printed.splitlines()[-1]
    assert "done=0" not in printed


def test_the_stage_visits_the_cells_of_the_overview(write_tiny):
    needs_a_camera()
    printed = run("event_driven.py", write_tiny(), "--most", "5").splitlines()
    assert printed[-1] == "5 cells visited, 14 frames segmented"
    assert [line.partition(":")[0] for line in printed[:-1]] == [f"cell {number}" for number in range(1, 6)]
    off = [float(re.search(r"([\d.]+) pixels off the middle", line)[1]) for line in printed[:-1]]
    assert max(off) < 1  # the camera is rotated and mirrored


def test_the_program_of_the_document_drives_a_mirrored_and_rotated_stage_to_every_cell(write_tiny):
    needs_a_camera()
    text = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
    (program,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "to_stage(cell" in block]
    assert len(program.splitlines()) < 20
    done = subprocess.run(
        [sys.executable, "-c", DRIVE, str(ROOT), str(write_tiny()), program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    visited, error_px = done.stdout.splitlines()[-1].split()
    assert int(visited) == 5
    assert float(error_px) < 1


# The cells are known, so the error is the distance between where the stage went and where they are.
DRIVE = """
import sys
root, artifact, program = sys.argv[1:]
sys.path[:0] = [root, root + "/examples"]
import numpy as np, parts, useq
core, sample = parts.camera(), parts.Sample()
sample.centres = np.array([[-70.0, 20.0], [33.0, -61.0], [0.0, 0.0], [52.0, 48.0], [-20.0, -80.0]]) + (500, -300)
parts.put_under_the_camera(core, sample)
overview = [useq.MDAEvent(x_pos=500, y_pos=-300)]
names = {"core": core, "artifact": artifact, "overview": overview}
exec(program, names)
parts.put_away(core)
away = np.linalg.norm(np.array(names["cells"])[:, None] - sample.centres, axis=2)
assert sorted(away.argmin(axis=1)) == list(range(len(sample.centres)))
print(len(names["cells"]), away.min(axis=1).max() / parts.PIXEL_UM)
"""


def test_a_folder_is_segmented_and_what_is_done_is_left_out(write_tiny, tmp_path: Path):
    tifffile = pytest.importorskip("tifffile")
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        from parts import Sample
    finally:
        sys.path.remove(str(ROOT / "examples"))
    images, out, artifact = tmp_path / "images", tmp_path / "out", write_tiny()
    images.mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(images / f"{name}.tif", Sample().view(0, 0, (200, 300), (0.5, 0, 0, 0, 0.5, 0)))
    (images / "c.tif").touch()
    printed = run("batch_folder.py", images, out, artifact, code=2)
    assert "a.tif: " in printed
    assert "2 of 3 images" in printed
    assert sorted(path.name for path in out.iterdir()) == [
        f"{name}-{kind}" for name in "ab" for kind in ("labels.ome.tif", "objects.csv")
    ]
    assert "a.tif: done before" in run("batch_folder.py", images, out, artifact, code=2)
