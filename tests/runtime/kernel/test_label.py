"""The kernel's labels: those of the plain reference bit for bit, whatever the maps, and defined for any input."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime import InputError, kernel
from tests.runtime.kernel import reference

SHAPES = st.tuples(st.integers(0, 9), st.integers(0, 11))
ODD = st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 1e-40, 0.5, 1.0, 2.0])
FEW = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])  # ties
VALUES = st.one_of(FEW, st.floats(0, 1, width=32), ODD)
MAPS = SHAPES.flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, shape, elements=st.one_of(VALUES, st.just(1.0)), fill=st.just(np.float32(0.9))),
        st.one_of(st.none(), arrays(np.float32, shape, elements=VALUES), arrays(np.float32, shape, elements=FEW)),
    )
)
RULES = st.builds(
    kernel.Rule,
    st.sampled_from([0.0, 0.3, 0.5, 0.99]),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.sampled_from([0.0, 0.0, 1e-6, 0.05, 0.2, 1.0]),
    st.sampled_from([0.0, 0.0, 0.1, 1.0, 1.6]),
    st.sampled_from([0, 1, 4]),
)


@settings(max_examples=2000)
@given(MAPS, RULES)
def test_labels_are_those_of_the_reference(maps, rule):
    labels, count = kernel.label(*maps, rule)
    np.testing.assert_array_equal(labels, reference.label(*maps, rule))
    assert count == labels.max(initial=0)


@pytest.mark.parametrize("has_core", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_labels_of_blobs_are_those_of_the_reference(seed: int, has_core: bool):
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:70, :90]
    field = np.zeros((70, 90))
    for row, col, radius in zip(rng.uniform(0, 70, 25), rng.uniform(0, 90, 25), rng.uniform(3, 12, 25), strict=True):
        field = np.maximum(field, 1 - np.hypot(rows - row, cols - col) / radius)
    core = (field + rng.normal(0, 0.05, field.shape)).clip(0, 1).astype(np.float32)
    rule = kernel.Rule(0.1, 0.5, 0.1, 1.25 * (seed % 3), 10)
    maps = field.astype(np.float32), core if has_core else None
    labels, count = kernel.label(*maps, rule)
    assert count > 3
    np.testing.assert_array_equal(labels, reference.label(*maps, rule))


@pytest.mark.parametrize("has_core", [True, False])
def test_thin_and_winding_shapes_are_those_of_the_reference(has_core: bool):
    mask = np.zeros((41, 43), np.float32)
    for i in range(0, 20, 2):  # a spiral of one pixel's width, a comb, a diagonal staircase
        mask[i, i : 43 - i] = mask[i : 41 - i, 42 - i] = mask[40 - i, i : 43 - i] = mask[i + 2 : 41 - i, i] = 1
    comb = np.zeros((20, 31), np.float32)
    comb[0] = comb[:, ::2] = 1
    stairs = np.kron(np.eye(12, dtype=np.float32), np.ones((1, 2), np.float32)) + np.eye(12, 24, 2, dtype=np.float32)
    for shape in (mask, comb, (stairs > 0).astype(np.float32)):
        core = np.random.default_rng(0).random(shape.shape, np.float32) if has_core else None
        rule = kernel.Rule(0.5, 0.5, 0.2, 1.0, 0)
        np.testing.assert_array_equal(kernel.label(shape, core, rule)[0], reference.label(shape, core, rule))


def test_a_long_diagonal_costs_the_memory_of_its_pixels():
    """The grid of such a part is the whole frame, but only the pages with pixels in them are ever touched."""
    frame = np.zeros((3000, 3000), np.float32)
    index = np.arange(3000)
    frame[index, index] = frame[index[1:], index[:-1]] = 1
    labels, count = kernel.label(frame, frame, kernel.Rule(0.5, 0.5, 0.1, 1.0, 0))
    assert count == 1
    assert (labels > 0).sum() == 5999


def test_distances_beyond_the_limit_count_as_equal():
    line = np.ones((1, 200_000), np.float32)
    line[0, 0] = line[0, -1] = 0
    labels, count = kernel.label(line, None, kernel.Rule(0.5, 0.5, 0, 0, 0))
    assert count == 1
    assert labels[0, 1] == labels[0, -2] == 1


def test_equal_summits_are_numbered_in_reading_order():
    probability = np.ones((3, 9), np.float32)
    core = np.zeros_like(probability)
    core[2, 1] = core[0, 7] = 1
    labels, count = kernel.label(probability, core, kernel.Rule(0.5, 0.5, 0.5, 0, 0))
    assert count == 2
    assert labels[2, 1] == 1


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_a_frame_without_pixels_has_no_objects(shape: tuple[int, int]):
    empty = np.zeros(shape, np.float32)
    labels, count = kernel.label(empty, empty, kernel.Rule(0.5, 0.5, 0.1, 1, 0))
    assert count == 0
    assert labels.shape == shape


@pytest.mark.parametrize("value", [np.nan, 0.0, -np.inf])
def test_what_is_not_over_the_threshold_is_background(value: float):
    frame = np.full((6, 6), value, np.float32)
    assert kernel.label(frame, None, kernel.Rule(0.0, 0.5, 0, 0, 0))[1] == 0


@pytest.mark.parametrize(("height", "width"), [(1 << 16, 1 << 15), (1, (1 << 20) + 1), (46340, 46341)])
def test_a_frame_of_too_many_pixels_is_refused(height: int, width: int):
    pixel = np.zeros(1, np.float32)  # of which nothing is read
    rule = ctypes.byref(kernel.Rule(0.5, 0.5, 0, 0, 0))
    call = kernel._library().edgescope_label
    assert call(pixel.ctypes.data, None, height, width, rule, 1, pixel.ctypes.data) == kernel.TOO_LARGE


@pytest.mark.parametrize(
    "rule",
    [(0.5, 1.5, 0, 0, 0), (0.5, 0.5, -0.1, 0, 0), (0.5, 0.5, np.nan, 0, 0), (0.5, 0.5, 0, 17, 0), (0.5, 0.5, 0, 0, -1)],
)
def test_a_rule_out_of_its_range_is_refused(rule: tuple[float, ...]):
    frame = np.ones((2, 2), np.float32)
    with pytest.raises(InputError, match="Labelling maps of 2x2 pixels failed: an argument is out of its range"):
        kernel.label(frame, frame, kernel.Rule(*rule[:4], int(rule[4])))


def test_null_pointers_are_refused():
    rule = kernel.Rule(0.5, 0.5, 0, 0, 0)
    assert kernel._library().edgescope_label(None, None, 2, 2, ctypes.byref(rule), 1, None) == -3
    assert kernel._library().edgescope_label(None, None, 2, 2, None, 1, None) == -3


FAIL = """
import resource, sys
import numpy as np
from runtime import EdgescopeError, kernel
frame = np.ones((3000, 3000), np.float32)
kernel.label(frame[:4, :4], None, kernel.Rule(0.5, 0.5, 0, 0, 0))
labels_and_little_more = 3000 * 3000 * 4 + (20 << 20)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + labels_and_little_more,) * 2)
try:
    kernel.label(frame, None, kernel.Rule(0.5, 0.5, 0, 0, 0))
except EdgescopeError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
def test_without_memory_the_error_says_so():
    done = subprocess.run([sys.executable, "-c", FAIL], capture_output=True, text=True, check=True)
    assert done.stdout == "Labelling maps of 3000x3000 pixels failed: there is not enough memory.\n"


PEAK = """
import re, sys
from pathlib import Path
import numpy as np
from runtime import kernel
frame = np.ones((2000, 2000), np.float32)
if sys.argv[1] == "nuclei":
    rows, cols = np.mgrid[:2000, :2000] % 50
    frame = np.hypot(rows - 25, cols - 25).clip(0, 12).astype(np.float32) < 12
    frame = frame.astype(np.float32)
if sys.argv[1] == "combs":  # two parts, each with a grid of nearly the whole frame
    frame[1:-1:4], frame[3::4] = 0, 0
    frame[1:-2, 0], frame[2:, -1] = 1, 1
    frame[2::4, 0], frame[0::4, -1] = 0, 0
kernel.label(frame[:9, :9], frame[:9, :9], kernel.Rule(0.5, 0.5, 0.1, 1, 0))
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
memory = lambda name: int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
before = memory("VmRSS")
labels, count = kernel.label(frame, frame, kernel.Rule(0.5, 0.5, 0.1, 1, 0), threads=int(sys.argv[2]))
print((memory("VmHWM") - before - labels.nbytes) / labels.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process as Linux shows it")
@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize(("maps", "most"), [("nuclei", 0.2), ("one part as large as the frame", 3.1), ("combs", 3.1)])
def test_labelling_needs_at_most_three_label_images_more(maps: str, most: float, threads: int):
    done = subprocess.run([sys.executable, "-c", PEAK, maps, str(threads)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < most


@pytest.mark.parametrize("has_core", [True, False])
@pytest.mark.parametrize("parts", ["small", "one large among small", "one", "none"])
def test_any_number_of_threads_gives_the_same_labels(parts: str, has_core: bool):
    rng = np.random.default_rng(1)
    rows, cols = np.mgrid[:400, :500]
    maps = (np.sin(rows / 4) * np.sin(cols / 4) + rng.normal(0, 0.1, rows.shape)).astype(np.float32)
    if parts == "one large among small":
        maps[50:250, 60:300] = 1
    elif parts != "small":
        maps[:] = parts == "one"
    core = rng.random(maps.shape, np.float32) if has_core else None
    rule = kernel.Rule(0.2, 0.5, 0.1, 1.0, 3)
    alone, count = kernel.label(maps, core, rule)
    assert (count > 400) == (parts in ("small", "one large among small") or (parts == "one" and has_core))
    for threads in (2, 3, 4, 64, 1000):
        labels, found = kernel.label(maps, core, rule, threads)
        np.testing.assert_array_equal(labels, alone)
        assert found == count


def test_parts_that_cross_the_bands_of_several_threads_stay_whole():
    """Rows are searched in bands, one for each 512x512 pixels: combs that cross all of them join at one end alone."""
    maps = np.zeros((1200, 900), np.float32)
    maps[:, ::3] = 1
    maps[-1, :448] = maps[0, 450:] = 1
    rule = kernel.Rule(0.5, 0.5, 0, 0, 0)
    alone, count = kernel.label(maps, maps, rule)
    assert count == 2
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(kernel.label(maps, maps, rule, threads)[0], alone)


def test_no_thread_at_all_is_refused():
    frame = np.ones((2, 2), np.float32)
    with pytest.raises(InputError, match="an argument is out of its range"):
        kernel.label(frame, None, kernel.Rule(0.5, 0.5, 0, 0, 0), 0)


def test_calls_from_several_threads_do_not_disturb_each_other():
    rng = np.random.default_rng(0)
    frames = [rng.random((200, 300), np.float32) for _ in range(8)]
    rule = kernel.Rule(0.3, 0.5, 0.1, 1.0, 2)
    alone = [kernel.label(frame, frame, rule)[0] for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda frame: kernel.label(frame, frame, rule)[0], frames))
    np.testing.assert_array_equal(alone, together)
