"""The artefacts of a student, compiled in another process: training and compiling do not import each other."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from runtime.errors import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def compile_artefacts(student: Path, targets: Sequence[str], precision: str, out: Path) -> list[Path]:
    """Compile for the targets into `out`; the folders of the artefacts. EdgescopeError says what compile said."""
    command = [sys.executable, "-m", "compile", "--student", str(student), "--out", str(out), "--precision", precision]
    for target in targets:
        result = subprocess.run([*command, "--target", target], capture_output=True, text=True, check=False)
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or ["no reason was given"])[-1]
            msg = (
                f"The student is in {student}, and cannot be compiled for {target}: {reason.removeprefix('error: ')} "
                f"Compile it by hand: python -m compile --target {target} --student {student}"
            )
            raise EdgescopeError(msg)
    return sorted(path for path in out.iterdir() if (path / "manifest.json").is_file())
