"""What docs/embedding.md tells hosts in other languages: its numbers, and programs that follow its formulas."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Segmenter, kernel
from runtime.artifact.manifest import Normalization, Objects
from runtime.frames.normalize import intensities_of, intensity_range, normalize
from runtime.frames.tiling import Grid

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "examples" / "embedding"
JNA = Path(os.environ.get("JNA_JAR", "/usr/share/java/jna.jar"))  # of Debian's libjna-java


@pytest.fixture(scope="module")
def vector() -> dict[str, Any]:
    """The reference vector, out of the document."""
    text = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    return json.loads(block)


def test_the_normalisation_of_the_document_is_the_codes(vector: dict[str, Any]):
    frame = np.array(vector["frame"], np.uint16)
    how = Normalization(low=vector["low"], high=vector["high"])
    assert list(intensity_range(frame, how)[:2]) == vector["range"]
    np.testing.assert_array_equal(normalize(frame, how), np.array(vector["normalized"], np.float32))


def test_the_rules_of_the_document_are_the_codes_and_the_librarys(vector: dict[str, Any]):
    """The frames are described in the document."""
    y, x = np.mgrid[:64, :64]
    clean = 400 + (31 * x + 17 * y) % 23 + np.where(((x % 32) - 16) ** 2 + ((y % 32) - 16) ** 2 < 64, 2000, 0)
    padded, dirty = np.where(x < 5, 0, clean), np.where((x >= 48) & (x < 51) & (y >= 30) & (y < 37), 60000, clean)
    frames = {"clean": clean, "padded": padded, "dirty": dirty, "inverted": 4095 - clean}
    assert vector["rules"].keys() == frames.keys()
    how = Normalization(low=vector["low"], high=vector["high"])
    for name, values in frames.items():
        frame, expected = values.astype(np.uint16), vector["rules"][name]
        seen = intensities_of(frame, how)
        assert [*seen.range, list(seen.flags)] == [*expected["range"], expected["flags"]], name
        limits, _ = kernel.intensities(frame, how.low, how.high)
        assert limits == tuple(np.nan if v is None else v for v in expected["range"]) or seen.range.blank is None
        np.testing.assert_array_equal(normalize(frame, how)[16, [0, 16, 20, 48]], np.float32(expected["row_16"])), name


def test_the_tiles_of_the_document_are_the_codes(vector: dict[str, Any]):
    told = vector["tiles"]
    grid = Grid.over((told["size"],) * 2, (told["tile"],) * 2, told["overlap"])
    assert [place.start for place, _ in grid.rows] == told["starts"]
    np.testing.assert_array_equal([weights for _, weights in grid.rows], np.array(told["weights"], np.float32))


def test_the_documents_links_lead_somewhere():
    text = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    assert all((ROOT / "docs" / link).exists() for link in links)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None or shutil.which("javac") is None, reason="there is no Java here")
def test_java_follows_the_formula(vector: dict[str, Any], tmp_path: Path):
    values = [str(value) for row in vector["frame"] for value in row]
    subprocess.run(["javac", "-d", tmp_path, SOURCES / "Normalize.java"], check=True)
    command = ["java", "-cp", tmp_path, "Normalize", str(vector["low"]), str(vector["high"]), *values]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    np.testing.assert_array_equal(
        np.array(printed.split(), np.float32), np.array(vector["normalized"], np.float32).ravel()
    )


@pytest.fixture
def example(tmp_path: Path) -> tuple[list[object], list[tuple[float, ...]]]:
    """Arguments of Objects.java and Objects.cs, and the rows of numbers that these must print."""
    height, width = 120, 140
    rows, cols = np.mgrid[:height, :width]
    core = (0.5 + 0.5 * np.sin(rows / 4) * np.sin(cols / 5)).astype(np.float32)
    probability = (core > 0.2).astype(np.float32)
    frame = np.random.default_rng(0).integers(0, 60000, core.shape).astype(np.uint16)
    frame.tofile(tmp_path / "frame.u16")
    np.stack([probability, core]).tofile(tmp_path / "maps.f32")
    rule = (0.5, 0.5, 0.1, 1.0, 8)
    labels, count = kernel.label(probability, core, kernel.Rule(*rule))
    measured = kernel.measure(labels, count, frame, probability)
    assert count > 20
    rows = measured[["label", "row", "col", "area", "mean_intensity"]].tolist()
    arguments = [tmp_path / "frame.u16", tmp_path / "maps.f32", height, width, 0.1, 99.8, *rule]
    return arguments, [intensity_range(frame, Normalization(low=0.1, high=99.8))[:2], *rows]


def printed(*command: object, cwd: Path) -> list[tuple[float, ...]]:
    """The rows of numbers that a program prints."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(cwd)}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, check=True, capture_output=True, text=True)
    return [tuple(map(float, line.split(","))) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("javac") is None or not JNA.is_file(), reason="needs a JDK and JNA")
def test_java_gives_the_same_objects(example, tmp_path: Path):
    arguments, expected = example
    subprocess.run(["javac", "-cp", JNA, "-d", tmp_path, SOURCES / "Objects.java"], check=True)
    path = os.pathsep.join([str(tmp_path), str(JNA)])
    assert printed("java", "-cp", path, "Objects", kernel.LIBRARY, *arguments, cwd=tmp_path) == expected


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mcs") is None or shutil.which("mono") is None, reason="needs Mono")
def test_c_sharp_gives_the_same_objects(example, tmp_path: Path):
    arguments, expected = example
    shutil.copy(kernel.LIBRARY, tmp_path / "libedgescope.so")  # the name that Mono looks for
    subprocess.run(["mcs", f"-out:{tmp_path / 'Objects.exe'}", SOURCES / "Objects.cs"], check=True)
    assert printed("mono", "Objects.exe", *arguments, cwd=tmp_path) == expected


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host in C++, built against what the Python package of OpenVINO brings along."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ here")
    package = Path(pytest.importorskip("openvino").__file__).parent
    libraries = sorted((package / "libs").glob("libopenvino.so*"))
    if not libraries or not (package / "include" / "openvino" / "openvino.hpp").is_file():
        pytest.skip("this package of openvino brings no headers and libraries")
    program = tmp_path_factory.mktemp("cpp") / "host"
    includes = (f"-I{package / 'include'}", f"-I{kernel.LIBRARY.parent}")
    found_at = [f"-Wl,-rpath,{folder}" for folder in (package / "libs", kernel.LIBRARY.parent)]
    build = ["g++", "-std=c++17", "-O1", SOURCES / "host.cpp", *includes, libraries[0], kernel.LIBRARY]
    subprocess.run([*build, *found_at, "-o", program], check=True)
    return program


def call(host: Path, artifact: Path, frame: np.ndarray, *more: object) -> str:
    """What the host prints for a frame."""
    with Segmenter.open(artifact) as segment:
        manifest = segment.manifest
    how, rule = manifest.normalization, manifest.objects
    seeds = (rule.core_threshold, rule.core_prominence, rule.core_smoothing, rule.min_area)
    numbers = (*manifest.tile, manifest.overlap, how.low, how.high, manifest.threshold, *seeds, *frame.shape, *more)
    command = [host, artifact / "model.xml", *map(str, numbers)]
    return subprocess.run(command, input=frame.tobytes(), check=True, capture_output=True).stdout.decode()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(150, 130), (40, 200)], ids=["larger than a tile", "lower than a tile"])
def test_a_host_in_cpp_gives_the_same_maps(host: Path, write_tiny, tmp_path: Path, shape: tuple[int, int]):
    artifact = write_tiny()
    frame = np.random.default_rng(0).gamma(2, 400, shape).astype(np.uint16)
    with Segmenter.open(artifact) as segment:
        expected = segment(frame)
    call(host, artifact, frame, tmp_path / "maps.f32")
    maps = np.fromfile(tmp_path / "maps.f32", np.float32).reshape(2, *shape)
    np.testing.assert_array_equal(maps, [expected.probability, expected.core])


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [{}, {"core_prominence": 0.1, "core_smoothing": 1.0}], ids=["threshold", "summits"])
def test_a_host_in_cpp_gives_the_same_objects(host: Path, write_tiny, seeds: dict[str, float]):
    artifact = write_tiny(objects=Objects(core_threshold=0.5, min_area=3, **seeds))
    frame = np.random.default_rng(1).gamma(2, 400, (150, 170)).astype(np.uint16)
    with Segmenter.open(artifact) as segment:
        result = segment(frame)
    header, *lines = call(host, artifact, frame).splitlines()
    count = int(result.labels().max())
    expected = kernel.measure(result.labels(), count, frame, result.probability)
    assert len(lines) == count > 10
    for column, values in zip(header.split(","), zip(*(line.split(",") for line in lines), strict=True), strict=True):
        assert [float(value) for value in values] == expected[column].tolist(), column
