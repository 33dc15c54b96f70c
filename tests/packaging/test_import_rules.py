"""What importing costs, and what import-linter cannot see: `runtime` names itself relatively, for both wheels."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"distill", "compile", "runtime", "benchmarks"}
HEAVY = {"torch", "onnx", "skimage", "lightning"}


@pytest.mark.parametrize("path", sorted((ROOT / "runtime").rglob("*.py")), ids=lambda path: path.name)
def test_the_runtime_imports_itself_relatively(path: Path):
    absolute: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            absolute |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            absolute.add((node.module or "").partition(".")[0])
    assert absolute.isdisjoint(OURS)


@pytest.mark.parametrize("module", ["runtime", "distill", "distill.datasets", "compile", "benchmarks.measurement"])
def test_importing_loads_nothing_heavy(module: str):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert HEAVY.isdisjoint(loaded.split())


@pytest.mark.parametrize("module", ["compile.commands", "compile.__main__"])
def test_the_compiler_s_help_needs_no_numpy(module: str):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "numpy" not in loaded.split()
