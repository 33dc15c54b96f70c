"""The two wheels, built, and installed by pip: the thin one beside numpy and openvino, the big one off the checkout.

Each supported Python has the pip that came with it, as on a JetPack or an Ubuntu: old ones refuse what new ones accept.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from tools.ready import make

tifffile = pytest.importorskip("tifffile")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STUDENT = ROOT / "distill" / "pretrained" / "nuclei-fast"
IS_BUNDLED = any(STUDENT.glob("*.safetensors"))
UV = (sys.executable, "-m", "uv")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
PIP = ("-m", "pip", "install", "--quiet", "--no-compile")
FETCH_S = 300  # for uv to fetch an interpreter

SEGMENT = """
import json, sys
import numpy as np
from runtime import LiveSegmenter, Segmenter

frame = np.zeros((300, 200), np.uint16)
frame[100:150, 50:120] = 4000
with Segmenter.open(sys.argv[1]) as segment:
    result = segment(frame)
with LiveSegmenter(sys.argv[1], policy="block", spare=False) as live:
    live.submit(frame)
    live.drain()
    (beside,) = live.results()
assert (beside.segmentation.mask == result.mask).all() and beside.flags == result.flags
print(json.dumps({"shape": result.mask.shape, "backend": segment.backend, "modules": sorted(sys.modules)}))
"""


def do(*command: object, cwd: Path) -> str:
    """Run a command outside of the checkout and return what it printed; the test fails with its errors."""
    ended = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both wheels."""
    folder = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, ROOT / "runtime"):
        do(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source, cwd=folder)
    return folder


def wheel(folder: Path, distribution: str) -> Path:
    (found,) = folder.glob(f"{distribution}-*.whl")
    return found


def packages(path: Path) -> set[str]:
    with ZipFile(path) as archive:
        return {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" not in name}


def test_the_big_wheel_holds_the_four_packages_and_nothing_else(wheels: Path):
    assert packages(wheel(wheels, "edgescope")) == {"distill", "compile", "runtime", "benchmarks"}


def test_the_thin_wheel_holds_what_runs_and_what_measures(wheels: Path):
    with ZipFile(wheel(wheels, "edgescope_runtime")) as archive:
        modules = {name.removesuffix(".py") for name in archive.namelist() if name.startswith("distill/")}
    assert packages(wheel(wheels, "edgescope_runtime")) == {"runtime", "benchmarks", "distill"}
    assert {name for name in modules if not name.startswith("distill/datasets/")} == {"distill/__init__"}


@pytest.mark.parametrize("folder", ["runtime/", "benchmarks/", "distill/datasets/"])
def test_both_wheels_hold_the_same(wheels: Path, folder: str):
    big, thin = (
        {
            info.filename: info.CRC
            for info in ZipFile(wheel(wheels, name)).infolist()
            if info.filename.startswith(folder)
        }
        for name in ("edgescope", "edgescope_runtime")
    )
    assert thin
    assert big == thin


def test_a_source_distribution_of_the_runtime_makes_the_same_wheel(wheels: Path, tmp_path: Path):
    do(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, ROOT / "runtime", cwd=tmp_path)
    with ZipFile(wheel(tmp_path, "edgescope_runtime")) as ours, ZipFile(wheel(wheels, "edgescope_runtime")) as direct:
        assert sorted(ours.namelist()) == sorted(direct.namelist())


@pytest.mark.parametrize("name", ["edgescope", "edgescope_runtime"])
def test_a_wheel_carries_its_licence_and_no_tests(wheels: Path, name: str):
    with ZipFile(wheel(wheels, name)) as archive:
        names = archive.namelist()
    assert any(entry.endswith("licenses/LICENSE") for entry in names)
    assert not [
        entry for entry in names if "test" in entry or "__pycache__" in entry or entry.endswith("pyproject.toml")
    ]


@pytest.mark.parametrize("name", ["edgescope", "edgescope_runtime"])
def test_a_wheel_is_for_one_platform_and_every_python(wheels: Path, name: str):
    path = wheel(wheels, name)
    library = {"win32": "edgescope.dll", "darwin": "edgescope.dylib"}.get(sys.platform, "edgescope.so")
    with ZipFile(path) as archive:
        assert f"runtime/kernel/{library}" in archive.namelist()
    _, _, python, abi, platform = path.stem.split("-")
    assert (python, abi) == ("py3", "none")
    assert platform != "any"
    assert name == "edgescope" or path.stat().st_size < 1_000_000


@pytest.mark.skipif(not IS_BUNDLED, reason="the bundled student is not in this checkout")
def test_the_big_wheel_brings_the_bundled_student(wheels: Path):
    with ZipFile(wheel(wheels, "edgescope")) as archive:
        inside = {name for name in archive.namelist() if name.startswith("distill/pretrained/")}
    assert {str(path.relative_to(ROOT).as_posix()) for path in STUDENT.rglob("*") if path.is_file()} <= inside


@pytest.mark.parametrize("version", PYTHONS)
def test_pip_installs_the_thin_wheel_and_it_segments_beside_numpy_and_openvino_alone(
    wheels: Path, tmp_path: Path, write_tiny, version: str
):
    artifact = compiled(tmp_path) if IS_BUNDLED and version == PYTHONS[0] else write_tiny()
    ready = make([artifact], tmp_path / "dist")
    tifffile.imwrite(tmp_path / "frame.tif", np.tile(np.arange(200, dtype=np.uint16), (300, 1)))
    python = environment(version, tmp_path)
    require_index(python, tmp_path)
    do(python, *PIP, wheel(wheels, "edgescope_runtime"), ready, cwd=tmp_path)
    predict = (python, "-I", "-m", "runtime", "predict", artifact.name, "frame.tif", "--out", "out")
    ended = subprocess.run([str(part) for part in predict], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    line = re.search(r"^error: Not installed: openvino, tifffile; run: pip (.*)$", ended.stderr.strip())
    assert line, ended.stderr  # one line, all that is missing, and what to do
    do(python, "-m", "pip", *shlex.split(line[1]), "--no-compile", cwd=tmp_path)
    assert "frame.tif -> " in do(*predict, cwd=tmp_path)

    printed = json.loads(do(python, "-I", "-c", SEGMENT, artifact.name, cwd=tmp_path).splitlines()[-1])

    assert printed["shape"] == [300, 200]
    assert printed["backend"] == "openvino"
    assert {"torch", "onnx", "skimage", "distill"}.isdisjoint(printed["modules"])


@pytest.mark.parametrize("version", PYTHONS[1:])
def test_pip_installs_the_big_wheel(wheels: Path, tmp_path: Path, version: str):
    python = environment(version, tmp_path)
    do(python, *PIP, "--no-index", "--no-deps", wheel(wheels, "edgescope"), cwd=tmp_path)
    assert "edgescope" in do(
        python, "-m", "pip", "list", cwd=tmp_path
    )  # old versions of pip read the entry points here


def test_pip_finds_every_extra_of_large_images_for_the_oldest_python(wheels: Path, tmp_path: Path):
    python = environment(PYTHONS[0], tmp_path)
    require_index(python, tmp_path)
    thin = wheel(wheels, "edgescope_runtime")
    planned = do(python, "-m", "pip", "install", "--dry-run", f"{thin}[dask,readers]", cwd=tmp_path)
    (line,) = [line for line in planned.splitlines() if line.startswith("Would install")]
    names = {part.rpartition("-")[0] for part in line.split()[2:]}
    assert {"dask", "distributed", "nd2", "tifffile"} <= names
    assert "zarr" not in names  # it needs Python 3.11


def test_the_thin_wheel_measures_with_its_extra_bench(wheels: Path, tmp_path: Path, write_tiny):
    artifact = write_tiny()
    python = environment(PYTHONS[0], tmp_path)
    require_index(python, tmp_path)
    do(python, *PIP, f"{wheel(wheels, 'edgescope_runtime')}[bench,openvino]", cwd=tmp_path)

    bench = (python, "-I", "-m", "benchmarks")
    measure = ("run", "--artifact", artifact, "--data", "synthetic:4@1", "--rounds", "1", "--repeats", "2")
    do(*bench, *measure, "--out", "report.json", cwd=tmp_path)

    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["data"]["images"] == 4
    assert report["rows"][0]["timing"]
    assert do(*bench, "compare", "report.json", "--html", "page.html", cwd=tmp_path)


@pytest.mark.skipif(not IS_BUNDLED, reason="the bundled student is not in this checkout")
def test_the_big_wheel_compiles_the_bundled_student_anywhere(wheels: Path, tmp_path: Path):
    python = environment(THIS, tmp_path)
    do(python, *PIP, "--no-index", "--no-deps", wheel(wheels, "edgescope"), cwd=tmp_path)
    borrow_dependencies(python, tmp_path)

    do(python, "-m", "compile", "--target", "jetson", "--out", "out", cwd=tmp_path)

    assert list((tmp_path / "out").rglob("manifest.json"))
    assert str(tmp_path) in do(python, "-c", "import compile; print(compile.__file__)", cwd=tmp_path)


def compiled(folder: Path) -> Path:
    """The bundled student for intel."""
    do(sys.executable, "-m", "compile", "--target", "intel", "--out", folder / "artifacts", cwd=ROOT)
    (manifest,) = (folder / "artifacts").rglob("manifest.json")
    return manifest.parent


def environment(version: str, folder: Path) -> Path:
    """The Python of a new, empty environment, with the pip that came with that version of Python."""
    venv = folder / "venv"
    do(interpreter(version, folder), "-m", "venv", venv, cwd=folder)
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def interpreter(version: str, folder: Path) -> str:
    """A Python of this version: this one, one that is installed, or one that uv fetches; the test skips without."""
    if version == THIS:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(f"{version}.*/bin")
    environ = {
        **os.environ,
        "PATH": os.pathsep.join([*map(str, pyenv), os.environ.get("PATH", "")]),
        "UV_HTTP_RETRIES": "0",
    }
    find = (*UV, "python", "find", "--no-project", "--no-python-downloads", version)
    for command in (find, (*UV, "python", "install", version), find):
        ended = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=FETCH_S
        )
        if command is find and ended.returncode == 0:
            return ended.stdout.strip()
    pytest.skip(f"Python {version} is not installed, and uv could not fetch it")


def require_index(python: Path, folder: Path) -> None:
    """Skip where no package index answers, asked without pip's cache."""
    command = (
        python,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-cache-dir",
        "--no-deps",
        "--dest",
        folder / "asked",
        "pip",
    )
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("no package index answers, from which to install numpy and openvino")


def borrow_dependencies(python: Path, folder: Path) -> None:
    """Let an environment see this one's packages, behind its own: torch need not be installed once more."""
    site = do(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    Path(site, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
