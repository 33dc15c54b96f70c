"""What docs/embedding.md tells hosts in other languages: its numbers, and programs that follow its formulas."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Segmenter
from runtime.manifest import Normalization
from runtime.normalize import intensity_range, normalize
from runtime.tiling import Grid

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "examples" / "embedding"


@pytest.fixture(scope="module")
def vector() -> dict[str, Any]:
    """The reference vector, out of the document."""
    text = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    return json.loads(block)


def test_the_normalisation_of_the_document_is_the_codes(vector: dict[str, Any]):
    frame = np.array(vector["frame"], np.uint16)
    how = Normalization(low=vector["low"], high=vector["high"])
    assert list(intensity_range(frame, how)) == vector["range"]
    np.testing.assert_array_equal(normalize(frame, how), np.array(vector["normalized"], np.float32))


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
    build = ["g++", "-std=c++17", "-O1", SOURCES / "host.cpp", f"-I{package / 'include'}", libraries[0]]
    subprocess.run([*build, f"-Wl,-rpath,{package / 'libs'}", "-o", program], check=True)
    return program


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(150, 130), (40, 200)], ids=["larger than a tile", "lower than a tile"])
def test_a_host_in_cpp_gives_the_same_maps(host: Path, write_tiny, shape: tuple[int, int]):
    artifact = write_tiny()
    frame = np.random.default_rng(0).gamma(2, 400, shape).astype(np.uint16)
    with Segmenter.open(artifact) as segment:
        manifest, due = segment.manifest, segment(frame)
    how = manifest.normalization
    numbers = (*manifest.tile, manifest.overlap, how.low, how.high, *shape)
    command = [host, artifact / "model.xml", *map(str, numbers)]
    maps = subprocess.run(command, input=frame.tobytes(), check=True, capture_output=True).stdout
    found = np.frombuffer(maps, np.float32).reshape(2, *shape)
    np.testing.assert_array_equal(found, [due.probability, due.core])
