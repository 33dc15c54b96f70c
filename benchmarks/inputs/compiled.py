"""Artefacts made by `python -m compile`, and kept until the student's files or the code that makes them change.

A process of its own compiles, for compiling needs torch and measuring must not have it loaded.
"""

import hashlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import distill
from runtime import __version__
from runtime.artifact.artifact import MANIFEST, Artifact, open_artifact
from runtime.errors import EdgescopeError, InputError
from runtime.registry import Registry
from runtime.system import programs
from runtime.system.extras import install

DESCRIPTION = "student.json"
REFUSED = 2  # the exit code of a call or an input that is wrong


def targets() -> tuple[str, ...]:
    """The names of the targets; none where compile is not installed."""
    return Registry[object]("targets", "compile.targets", "TARGET").names() if find_spec("compile") else ()


def check_compiler() -> None:
    """EdgescopeError where there is none."""
    if not find_spec("compile"):
        msg = f"compile is not installed, and the artefacts are to be compiled; run: {install('compile')}"
        raise EdgescopeError(msg)


def student_folder(student: str) -> Path:
    """The folder of a bundled student or of one's own; InputError where there is none."""
    bundled = Path(distill.__file__).parent / "pretrained"
    for folder in (bundled / student, Path(student).expanduser()):
        if (folder / DESCRIPTION).is_file():
            return folder.resolve()
    names = ", ".join(sorted(path.parent.name for path in bundled.glob(f"*/{DESCRIPTION}"))) or "none"
    msg = f"Student {student!r} is neither bundled ({names}) nor a folder with {DESCRIPTION}."
    raise InputError(msg)


def compile_artifact(student: str, target: str, precision: str, tile: tuple[int, int], folder: Path) -> Artifact:
    """The artefact of this student's files and this code, compiled where it is not yet.

    student : a bundled one's name, or a folder; folder : keeps the artefacts
    InputError where the student or the target refuses, EdgescopeError where compiling fails, both with the reason.
    """
    place = student_folder(student)
    weights = {path.name: digest(path.read_bytes().hex()) for path in sorted(place.iterdir()) if path.is_file()}
    made_of = digest([weights, code_digest("compile", "distill", "runtime"), __version__])
    size = f"{tile[0]}x{tile[1]}"
    out = folder / f"{place.name}-{size}-{made_of[:12]}"
    pattern = f"*-{target}-{precision}/{MANIFEST}"
    if not any(out.glob(pattern)):  # one that is there is complete
        command = [sys.executable, "-m", "compile", "--target", target, "--student", student, "--precision", precision]
        ended = programs.run([*command, "--tile", size, "--out", str(out)], environment=programs.environment())
        if ended.returncode != 0:
            kind = InputError if ended.returncode == REFUSED else EdgescopeError
            raise kind(programs.failure(ended))
    return open_artifact(next(iter(out.glob(pattern))).parent)


def digest(value: object) -> str:
    """SHA-256 of what can be written as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def code_digest(*packages: str) -> str:
    """SHA-256 over the Python files of packages of this edgescope."""
    files = sorted(path for package in packages for path in (programs.ROOT / package).rglob("*.py"))
    return digest([(path.relative_to(programs.ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in files])
