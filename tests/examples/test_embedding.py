"""What docs/embedding.md tells hosts in other languages: its numbers, and programs that follow its formulas."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Segmenter, kernel
from runtime.artifact.artifact import open_artifact, write_artifact
from runtime.artifact.manifest import Normalization, Objects
from runtime.artifact.probes import ProbeSet
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
    """The host in C++, built against what the Python package of OpenVINO brings along, and the system's zlib."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ here")
    if subprocess.run(["g++", "-E", "-x", "c++", "-"], input=b"#include <zlib.h>", capture_output=True).returncode:
        pytest.skip("there is no zlib.h here; on Debian: apt install zlib1g-dev")
    package = Path(pytest.importorskip("openvino").__file__).parent
    libraries = sorted((package / "libs").glob("libopenvino.so*"))
    if not libraries or not (package / "include" / "openvino" / "openvino.hpp").is_file():
        pytest.skip("this package of openvino brings no headers and libraries")
    program = tmp_path_factory.mktemp("cpp") / "host"
    includes = (f"-I{package / 'include'}", f"-I{kernel.LIBRARY.parent}")
    found_at = [f"-Wl,-rpath,{folder}" for folder in (package / "libs", kernel.LIBRARY.parent)]
    build = ["g++", "-std=c++17", "-O1", "-Wall", SOURCES / "host.cpp", *includes, libraries[0], kernel.LIBRARY, "-lz"]
    subprocess.run([*build, *found_at, "-o", program], check=True)
    return program


def call(host: Path, artifact: Path, frame: np.ndarray, *more: object) -> subprocess.CompletedProcess[bytes]:
    """The host, run with a frame."""
    command = [host, artifact, *map(str, (*frame.shape, *more))]
    return subprocess.run(command, input=frame.tobytes(), capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(150, 130), (40, 200)], ids=["larger than a tile", "lower than a tile"])
def test_a_host_in_cpp_gives_the_same_maps(host: Path, write_tiny, tmp_path: Path, shape: tuple[int, int]):
    artifact = write_tiny()
    frame = np.random.default_rng(0).gamma(2, 400, shape).astype(np.uint16)
    with Segmenter.open(artifact) as segment:
        expected = segment(frame)
    done = call(host, artifact, frame, tmp_path / "maps.f32")
    assert done.returncode == 0
    assert done.stderr.startswith(b"2 probes reproduced: max |dp| ")
    maps = np.fromfile(tmp_path / "maps.f32", np.float32).reshape(2, *shape)
    np.testing.assert_array_equal(maps, [expected.probability, expected.core])


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [{}, {"core_prominence": 0.1, "core_smoothing": 1.0}], ids=["threshold", "summits"])
def test_a_host_in_cpp_gives_the_same_objects(host: Path, write_tiny, seeds: dict[str, float]):
    artifact = write_tiny(objects=Objects(core_threshold=0.5, min_area=3, **seeds))
    frame = np.random.default_rng(1).gamma(2, 400, (150, 170)).astype(np.uint16)
    with Segmenter.open(artifact) as segment:
        result = segment(frame)
    header, *lines = call(host, artifact, frame).stdout.decode().splitlines()
    count = int(result.labels().max())
    expected = kernel.measure(result.labels(), count, frame, result.probability)
    assert len(lines) == count > 10
    for column, values in zip(header.split(","), zip(*(line.split(",") for line in lines), strict=True), strict=True):
        assert [float(value) for value in values] == expected[column].tolist(), column


def refused(host: Path, artifact: Path) -> str:
    """What the host says of an artefact that it does not run."""
    done = call(host, artifact, np.zeros((64, 64), np.uint16))
    assert (done.returncode, done.stdout) == (1, b"")
    return done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.json", "model.xml", "model.bin", "probes.npz"])
def test_a_host_in_cpp_refuses_a_file_that_was_changed(host: Path, write_tiny, name: str):
    artifact = write_tiny()
    changed = bytearray((artifact / name).read_bytes())
    changed[len(changed) // 2] ^= 1
    (artifact / name).write_bytes(changed)
    assert refused(host, artifact).startswith(f"error: {name} is not the ")


@pytest.mark.slow
def test_a_host_in_cpp_refuses_a_file_that_is_missing_or_added(host: Path, write_tiny):
    artifact = write_tiny()
    (artifact / "model.old.xml").touch()
    assert refused(host, artifact) == "error: model.old.xml does not belong to the artefact; remove it\n"
    (artifact / "model.old.xml").unlink()
    (artifact / "probes.npz").unlink()
    assert refused(host, artifact).endswith("probes.npz cannot be read\n")


@pytest.mark.slow
def test_a_host_in_cpp_refuses_a_model_that_does_not_reproduce_its_probes(host: Path, write_tiny):
    artifact = open_artifact(write_tiny())
    probes = artifact.probes()
    files = {name: data for name, data in artifact.files.items() if name in artifact.manifest.files}
    files["probes.npz"] = ProbeSet(probes.inputs, 1 - probes.outputs).to_bytes()
    other = write_artifact(artifact.path.with_name("other"), replace(artifact.manifest, files={}), files).path
    assert "error: the probes are not reproduced here: max |dp| " in refused(host, other)
