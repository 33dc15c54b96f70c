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


@pytest.mark.parametrize("module", ["runtime", "distill", "distill.datasets", "compile", "benchmarks.measures.process"])
def test_importing_loads_nothing_heavy(module: str):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert HEAVY.isdisjoint(loaded.split())


@pytest.mark.parametrize("module", ["compile.commands.app", "compile.__main__"])
def test_the_compiler_s_help_needs_no_numpy(module: str):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "numpy" not in loaded.split()


def imports() -> dict[str, set[str]]:
    """Every module of ours and the modules of ours that it imports, also in functions and for types alone."""
    files = [path for package in sorted(OURS) for path in (ROOT / package).rglob("*.py")]
    names = {path: path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in files}
    modules = {name.removesuffix(".__init__"): path for path, name in names.items()}
    result: dict[str, set[str]] = {module: set() for module in modules}
    for module, path in modules.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *filter(None, [node.module])])
                targets = [f"{base}.{a.name}" if f"{base}.{a.name}" in modules else base for a in node.names]
            else:
                continue
            result[module] |= {target for target in targets if target in modules} - {module}
    return result


def test_no_files_import_each_other_in_a_circle():
    edges = imports()
    while ends := [module for module, targets in edges.items() if not targets & edges.keys()]:
        for module in ends:
            del edges[module]
    assert sorted(edges) == []  # what is left is in a circle, or leads to one


def test_a_class_name_is_unique_in_its_package():
    for package in OURS:
        places: dict[str, list[str]] = {}
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(path.name)
        assert {name: files for name, files in places.items() if len(files) > 1} == {}
