"""A wheel of ready artefacts, for microscope PCs: `pip install` it beside edgescope-runtime, and they have names there.

    python -m tools.ready ARTIFACT... --out dist

Every artefact is verified first. The wheel holds files alone, for every system and every Python, and needs nothing. The
runtime finds it by the entry point `edgescope.artifacts`, see runtime/artifact/installed.py. `make artifacts` compiles
the bundled students for all targets and makes the wheel of them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from runtime import InputError, __version__, open_artifact
from runtime.artifact.installed import GROUP
from runtime.errors import report

ROOT = Path(__file__).parents[1]
PACKAGE = "edgescope_artifacts"
PROJECT = f"""
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "edgescope-artifacts"
version = "{__version__}"
description = "Ready artefacts of edgescope's bundled students, for edgescope-runtime."
requires-python = ">=3.10"
license = "Apache-2.0"
license-files = ["LICENSE"]

[project.entry-points."{GROUP}"]
edgescope = "{PACKAGE}"

[tool.hatch.build.targets.wheel]
packages = ["{PACKAGE}"]
"""


def main() -> int:
    """Make the wheel, and print its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", type=Path, nargs="+", help="artefact folders")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder for the wheel (default: dist)")
    args = parser.parse_args()
    try:
        print(make(args.artifacts, args.out))
    except InputError as error:
        return report(error)
    return 0


def make(artifacts: list[Path], out: Path) -> Path:
    """The wheel's path. InputError for an artefact that is damaged, is no folder, or has the name of another one."""
    names = [path.resolve().name for path in artifacts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        msg = f"{', '.join(twice)}: two artefacts of one name; rename one."
        raise InputError(msg)
    with tempfile.TemporaryDirectory(prefix="edgescope-ready-") as folder:
        package = Path(folder, PACKAGE)
        package.mkdir()
        for name, path in zip(names, artifacts, strict=True):
            open_artifact(path)
            if not path.is_dir():
                msg = f"{path} is no folder; unpack it."
                raise InputError(msg)
            shutil.copytree(path, package / name)
        (package / "__init__.py").write_text(
            '"""Ready artefacts; see runtime.artifact.installed."""\n', encoding="utf-8"
        )
        Path(folder, "pyproject.toml").write_text(PROJECT, encoding="utf-8")
        shutil.copy(ROOT / "LICENSE", folder)
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out.resolve()), folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out / f"{PACKAGE}-{__version__}-py3-none-any.whl"


if __name__ == "__main__":
    sys.exit(main())
