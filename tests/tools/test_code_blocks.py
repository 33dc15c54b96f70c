"""Every code block of README.md and docs/ runs here, or a comment in the line before it says why it does not.

    <!-- not run: needs a Jetson -->                 leaves the block out
    <!-- not run (serve): needs a broker -->         leaves out those of its commands that contain the word
    <!-- file: live.py -->                           a file of this name, for the commands of the same document

A block is fenced, or indented by four spaces. Python blocks are executed. Commands are called in a folder with the
files that they name. TOML is checked against the schema of a configuration, JSON is read. `text` blocks hold no code.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tomllib
from PIL import Image

from distill import datasets, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKER = re.compile(r"<!-- not run(?: \((?P<word>[^)]+)\))?: (?P<reason>[^>]+) -->")
FILE = re.compile(r"<!-- file: (?P<name>[\w.]+) -->")
FENCE = re.compile(r"^```(?P<language>\w*).*$")
LIMIT_S = 240  # for the commands of a block
# What the documents call things, and what stands for it in the folder where the commands are called.
PLACEHOLDERS = {"ARTIFACT": "artifacts/nuclei-fast-intel-int8", "IMAGE...": "nuclei.tif"}
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "examples")])}


@dataclass(frozen=True)
class Block:
    """A code block.

    line : number of its first line, from 1
    marks : the comments in the lines before it: (word, reason)
    file : the name under which a reader saves it; None: under none
    """

    document: Path
    line: int
    language: str
    text: str
    marks: tuple[tuple[str | None, str], ...]
    file: str | None

    @property
    def reason(self) -> str | None:
        """Why the whole block is not run."""
        return next((reason for word, reason in self.marks if word is None), None)

    def commands(self) -> list[str]:
        """Its commands, those that are marked left out. Lines of a transcript that begin with $ are its commands."""
        lines = self.text.replace("\\\n", " ").splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        kept = prompted or [line for line in lines if line.strip() and not line.startswith("#")]
        words = [word for word, _ in self.marks if word]
        return [re.split(r" {2,}#", line)[0].strip() for line in kept if not any(word in line for word in words)]


def blocks_of(document: Path) -> Iterator[Block]:
    """The code blocks of a document, in order."""
    lines = document.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        start = number
        if fence := FENCE.match(lines[number]):
            number = next(i for i in range(start + 1, len(lines)) if lines[i].startswith("```"))
            yield _block(document, lines, start, fence["language"], lines[start + 1 : number])
        elif lines[number].startswith("    ") and not lines[number - 1].strip():
            while number + 1 < len(lines) and (lines[number + 1].startswith("    ") or not lines[number + 1].strip()):
                number += 1
            text = [line[4:] for line in lines[start : number + 1]]
            yield _block(document, lines, start, "python" if text[0].startswith("import ") else "", text)
        number += 1


def _block(document: Path, lines: list[str], start: int, language: str, text: list[str]) -> Block:
    marks: list[tuple[str | None, str]] = []
    file = None
    for line in reversed(lines[:start]):
        if mark := MARKER.fullmatch(line):
            marks.append((mark["word"], mark["reason"]))
        elif name := FILE.fullmatch(line):
            file = name["name"]
        elif line.strip():
            break
    return Block(document, start + 1, language, "\n".join(text).rstrip() + "\n", tuple(marks), file)


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
PYTHON = [block for block in BLOCKS if block.language == "python" and not block.reason and not block.file]
SHELL = [block for block in BLOCKS if block.language in ("", "sh", "console") and not block.reason]
SLOW = re.compile(r"python live\.py|g\+\+")  # commands that take more than about five seconds
TOML = [block for block in BLOCKS if block.language == "toml" and not block.reason]


def name(block: Block) -> str:
    return f"{block.document.name}:{block.line}"


@pytest.fixture
def workspace(tmp_path: Path, write_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a reader: an artefact under its names, an image, labelled images, reports."""
    artifact = write_tiny(name="nuclei-fast-intel-int8")  # in artifacts/
    shutil.copytree(artifact, tmp_path / artifact.name)  # installed artefacts have no folder before their name
    frames = datasets.open("synthetic:2@2026?size=192x192")
    for folder in ("my-images/images", "my-images/labels"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(8):
        sample = frames[number % 2]
        turned = np.rot90(sample.frame, number // 2), np.rot90(sample.labels["nuclei"], number // 2)
        for folder, pixels in zip(("images", "labels"), turned, strict=True):
            Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / "my-images" / folder / f"{number}.tif")
    Image.fromarray(frames[0].frame.astype(np.uint16)).save(tmp_path / "nuclei.tif")
    oldest, *_, newest = sorted((ROOT / "benchmarks/history").glob("*/*.json"), key=lambda path: path.name)
    for copy, report in (("report.json", newest), ("OLD", oldest), ("NEW", oldest)):
        shutil.copy(report, tmp_path / copy)
    for source in ("host.cpp", "artifact.hpp"):
        shutil.copy(ROOT / "examples/embedding" / source, tmp_path)
    np.zeros((512, 512), np.uint16).tofile(tmp_path / "frame.u16")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_blocks_of_every_kind():
    assert len(PYTHON) >= 5 and len(SHELL) >= 4 and len(TOML) >= 5
    assert {block.language for block in BLOCKS} <= {"", "sh", "console", "python", "toml", "json", "text", "c"}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.marks], ids=name)
def test_a_block_that_is_not_run_says_why(block: Block):
    for word, reason in block.marks:
        assert len(reason.split()) >= 2, f"{name(block)}: the reason {reason!r} says too little"
        assert word is None or word in block.text, f"{name(block)}: no command contains {word!r}"


@pytest.mark.parametrize("block", PYTHON, ids=name)
def test_a_python_block_runs(block: Block, workspace: Path):
    (workspace / "prepared.py").write_text(PREPARED, encoding="utf-8")
    (workspace / "block.txt").write_text(block.text, encoding="utf-8")
    (workspace / "block.py").write_text(
        'import prepared\nif __name__ == "__main__":\n    prepared.run()\n', encoding="utf-8"
    )
    done = call([sys.executable, "block.py"], workspace)
    if "No module named" in done.stderr and re.search("pymmcore|mm_test_adapters|useq", done.stderr):
        pytest.skip("Micro-Manager's demo camera is not installed; it comes with the development extra")
    assert done.returncode == 0, f"{name(block)}: {done.stderr}"


@pytest.mark.parametrize(
    "block",
    [pytest.param(one, marks=[pytest.mark.slow] if SLOW.search(one.text) else [], id=name(one)) for one in SHELL],
)
def test_the_commands_of_a_block_run(block: Block, workspace: Path):
    commands = block.commands()
    assert commands, f"{name(block)} holds no command; a block that is no code is a fenced block of `text`"
    for saved in (one for one in BLOCKS if one.document == block.document and one.file):
        (workspace / str(saved.file)).write_text(saved.text, encoding="utf-8")
    script = [f'python() {{ "{sys.executable}" "$@"; }}', "set -ex"]
    for command in commands:
        for placeholder, real in PLACEHOLDERS.items():
            command = re.sub(rf"(?<!\S){re.escape(placeholder)}(?!\S)", real, command)
        script.append(f"{command} || test $? -eq 1" if " choose " in command else command)  # 1: none meets the limits
    done = call(["bash", "-c", "\n".join(script)], workspace)
    assert done.returncode == 0, f"{name(block)}: {done.stdout}{done.stderr}"


def call(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


@pytest.mark.parametrize("block", TOML, ids=name)
def test_the_keys_of_a_configuration_exist(block: Block):
    schema = settings.schema()
    for section, values in tomllib.loads(block.text).items():
        entry = schema["properties"][section]
        if "$ref" in entry:
            known = schema["$defs"][entry["$ref"].rpartition("/")[2]]["properties"]
            assert set(values) <= set(known), f"{name(block)}: [{section}] has no such key"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=name)
def test_json_is_json(block: Block):
    assert json.loads(block.text)


def test_a_wrong_command_would_be_noticed(workspace: Path):
    done = call(["bash", "-c", f'"{sys.executable}" -m runtime predict ARTIFACT missing.tif --out masks'], workspace)
    assert done.returncode == 2


# Runs block.txt. The names that it uses and does not make have a value, as in a reader's program.
PREPARED = """
import re
from pathlib import Path


def run():
    text = Path("block.txt").read_text()
    used = set(re.findall(r"[A-Za-z_]+", text))
    names = {"__name__": "block"}
    if used & {"frame", "result"}:
        import tifffile

        names["frame"] = tifffile.imread("nuclei.tif")
    if "result" in used:
        from runtime import Segmenter

        with Segmenter.open("artifacts/nuclei-fast-intel-int8") as segment:
            names["result"] = segment(names["frame"])
    if "artifact" in used:
        names["artifact"] = "artifacts/nuclei-fast-intel-int8"
    if "core" in used:
        import parts
        from useq import MDAEvent

        names["core"] = parts.camera(side=128)
        names["sequence"] = [MDAEvent(index={"t": number}) for number in range(3)]
        names["overview"] = [MDAEvent(index={"p": 0}, x_pos=0, y_pos=0)]
        names["show"] = print
    exec(compile(text, "block", "exec"), names)
    if "core" in used:
        parts.put_away(names["core"])
"""
