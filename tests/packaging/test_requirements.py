"""The lock and the two pyproject.toml say the same, and the lock names no address."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def project(path: Path) -> dict:
    return tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def locked() -> dict[str, str]:
    return {name: version for name, version, _ in pinned()}


def pinned() -> list[tuple[str, str, list[str]]]:
    """Name, version and hashes of each line of the lock; its lines are broken by a backslash."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        pin, *hashes = line.split()
        name, version = pin.split("==")
        found.append((name, version, hashes))
    return found


def test_the_lock_names_no_address_and_each_file_by_its_hash():
    for name, version, hashes in pinned():
        assert re.fullmatch(r"[a-z0-9.-]+", name)
        assert re.fullmatch(r"[a-z0-9.]+", version)
        assert hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_setup_installs_only_what_the_lock_has_hashes_of():
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", "setup"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    installs = [
        line for line in said.replace("\\\n", "").splitlines() if "pip install" in line and "--editable" not in line
    ]
    assert installs
    assert all(line.count("pip install") == line.count("--require-hashes") for line in installs)


@pytest.mark.parametrize(
    "extra", ["distill", "compile", "bench", "dask", "io", "readers", "parquet", "openvino", "litert", "dev"]
)
def test_the_lock_satisfies_an_extra(extra: str):
    pins = locked()
    for text in project(ROOT)["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if requirement.name != "edgescope":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text


def test_both_distributions_ask_for_the_same():
    big, thin = project(ROOT), project(ROOT / "runtime")
    assert thin["dependencies"] == big["dependencies"]
    assert thin["requires-python"] == ">=3.10"  # what JetPack 6 and microscope PCs have
    assert big["requires-python"] == ">=3.11"  # training reads TOML with the standard library
    for extra, requirements in thin["optional-dependencies"].items():
        theirs = [text.replace("edgescope[", "edgescope-runtime[") for text in big["optional-dependencies"][extra]]
        assert requirements == theirs


@pytest.mark.parametrize("folder", [ROOT, ROOT / "runtime"], ids=["edgescope", "edgescope-runtime"])
def test_every_entry_point_is_one_that_old_versions_of_pip_accept(folder: Path):
    settings = project(folder)
    groups = {"console_scripts": settings["scripts"], **settings.get("entry-points", {})}
    for group, entries in groups.items():
        assert re.fullmatch(r"\w+(\.\w+)*", group)
        for name, value in entries.items():
            assert re.fullmatch(r"[\w-]+", name)
            assert re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", value), value  # pip 23.0 refuses a hyphen in it


def test_both_carry_the_same_licence():
    assert (ROOT / "LICENSE").read_bytes() == (ROOT / "runtime" / "LICENSE").read_bytes()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_demo_hands_images_on():
    command = ["make", "--dry-run", "--no-print-directory", "demo", "IMAGES=a.png b.tif"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--images a.png b.tif" in said
    assert "synthetic" not in said
