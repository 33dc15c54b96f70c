"""`benchmarks objects`: the drawn maps hold the nuclei that were asked for, and the times add up."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.camera.objects import RULE, draw_maps, measure
from runtime.segmentation.result import Segmentation


@pytest.mark.parametrize(("side", "nuclei"), [(256, 20), (512, 100), (512, 400)])
def test_about_so_many_nuclei_are_drawn_and_found(side: int, nuclei: int):
    probability, core = draw_maps(side, nuclei)
    assert probability.shape == core.shape == (side, side)
    assert np.all((core >= 0) & (probability <= 1))
    found = Segmentation(probability, core, 0.5, RULE).labels().max()
    assert 0.8 * nuclei <= found <= 1.2 * nuclei


def test_the_times_of_all_steps_are_there():
    done: list[None] = []
    few, many = measure(512, [20, 400], 2, 3, lambda: done.append(None))
    assert len(done) == 2
    assert few.nuclei < many.nuclei
    assert few.foreground < many.foreground
    for cost in (few, many):
        assert min(cost.labels_ms, cost.table_ms, cost.tuple_ms, cost.copy_ms) > 0
        assert cost.least_ms <= cost.median_ms
        assert cost.ns_per_pixel == pytest.approx(1e6 * cost.median_ms / (cost.foreground * 512**2))


def test_the_command_prints_a_row_for_each_field(bench, tmp_path: Path):
    given = ("--side", "128", "--side", "256", "--nuclei", "1500", "--repeats", "2", "--threads", "1")
    said = bench("objects", *given, "--json", tmp_path / "objects.json")
    assert said.code == 0
    rows = json.loads((tmp_path / "objects.json").read_text())["objects"]
    assert [row["side"] for row in rows] == [128, 256]
    assert [row["threads"] for row in rows] == [1, 1]
    assert rows[0]["nuclei"] < rows[1]["nuclei"]
    assert all(f"{row['side']}x{row['side']}" in said.out for row in rows)


def test_a_field_that_does_not_fit_the_memory_is_refused(bench):
    said = bench("objects", "--side", "20000")
    assert said.code == 2
    assert "Side is 20000; it must be at most 16384" in said.err
