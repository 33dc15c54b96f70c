"""The work of labelling grows like the pixels of the mask, also where one part fills the frame. Counted, not timed."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from runtime.kernel import build

COMPILER = build.system_compiler()
SHAPES = ("filled", "comb", "wide comb", "shelves", "diagonal")
CORES = ("flat", "ramp", "hills", "noise", "none")
SMALL, LARGE = 64, 256

pytestmark = pytest.mark.skipif(COMPILER is None or sys.platform == "win32", reason="needs gcc or clang")


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory):
    """Steps per pixel of the mask, less those of a frame without any, for a shape, a core map and the frame's side."""
    folder = tmp_path_factory.mktemp("growth")
    counted = ["-fsanitize-coverage=trace-pc", "-Dmemset=counted_memset", "-Dmemcpy=counted_memcpy", "-fno-builtin"]
    flood, program = folder / "flood.o", folder / "operations"
    start = [str(COMPILER), "-std=c99", "-O1", "-ffp-contract=off", f"-I{build.FOLDER}"]
    subprocess.run([*start, *counted, "-c", build.FOLDER / "flood.c", "-o", flood], check=True)
    subprocess.run([*start, Path(__file__).with_name("operations.c"), flood, "-o", program, "-lm"], check=True)

    def run(shape: str, core: str, side: int) -> tuple[int, int]:
        done = subprocess.run([program, shape, core, str(side)], check=True, capture_output=True, text=True)
        total, pixels = map(int, done.stdout.split())
        return total, pixels

    @cache
    def count(shape: str, core: str, side: int) -> float:
        total, pixels = run(shape, core, side)
        searching, _ = run("nothing", core, side)
        assert total - searching > pixels > 0
        return (total - searching) / pixels

    return count


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("core", CORES)
def test_steps_per_pixel_do_not_grow_with_the_part(steps, shape: str, core: str):
    assert steps(shape, core, LARGE) < 1.15 * steps(shape, core, SMALL)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("core", CORES)
def test_thin_parts_take_few_more_steps_per_pixel_than_filled_ones(steps, shape: str, core: str):
    assert steps(shape, core, LARGE) < 3 * steps("filled", core, LARGE)
