"""A second opinion on a jetson bundle: what TensorRT-RTX's ONNX parser says of its files, on a CPU.

TensorRT itself comes with the board. Its sibling for graphics cards comes as a package (the extra ``rtx``) and parses
and builds without a GPU. Its parser is newer than JetPack's, so that it accepts is necessary and not sufficient, and
is recorded as just that; that it refuses ends the compilation, in TensorRT's own words. It does not take the place of
compile.lint: scales along a wrong axis of a ConvTranspose, for one, it accepts.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import InputError
from runtime.system import extras

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

LIBRARY, EXTRA = "tensorrt_rtx_bindings", "rtx"
CHILD = Path(__file__).with_name("tensorrt_rtx_parser.py")
PATIENCE_S = 120.0  # it takes one or two
LINES = 2  # of what it says: what follows is where in its own source it stood
CAVEAT = "a second opinion on a CPU: necessary, not sufficient"


def ask(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What TensorRT-RTX says of ONNX files, by name; of the first one an engine is built, too.

    Returns {"asked": who or None, "said": a sentence, "parsed": [files], "built": [files]}.
    InputError, with node and TensorRT's own words, when it refuses one. That it is not installed, that it died or
    that it did not answer in two minutes is no fault of the files: then that is what was said.
    """
    if not extras.available(LIBRARY):
        return _unheard(f"TensorRT-RTX was not asked: it is not installed (extra {EXTRA})")
    with tempfile.TemporaryDirectory(prefix="edgescope-rtx-") as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        answer = Path(folder, "answer.json")
        ended = _run([str(answer), *(str(Path(folder, name)) for name in files)])
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
    said: dict[str, Any] = found.get("files", {})
    who = f"TensorRT-RTX {found.get('version', '')}".strip()
    for name, verdict in said.items():
        _hold(who, name, verdict)
    if ended:
        last = f" on {list(said)[-1]}" if said else ""
        log.warning("The second opinion is missing: %s %s%s.", who, ended, last)
        return _unheard(f"{who} gave no opinion: it {ended}{last}")
    built = [name for name, verdict in said.items() if verdict["built"]]
    return {
        "asked": who,
        "said": f"{who} parses {', '.join(said)} and builds {', '.join(built)} ({CAVEAT})",
        "parsed": list(said),
        "built": built,
    }


def _hold(who: str, name: str, verdict: Mapping[str, Any]) -> None:
    if False not in (verdict["parsed"], verdict["built"]):
        return
    does = "build" if verdict["parsed"] else "parse"
    words = "; ".join(" ".join(text.splitlines()[:LINES]) for text in verdict["said"]) or "it gives no reason"
    msg = (
        f"{who} does not {does} {name}: {words}. The TensorRT of a board will hardly; "
        "build the student from other operators, or compile for another target."
    )
    raise InputError(msg)


def _unheard(said: str) -> dict[str, Any]:
    return {"asked": None, "said": said, "parsed": [], "built": []}


def _run(arguments: list[str]) -> str | None:
    """Run the child; None when it ended well, else how it ended. What it prints is of no use to anyone."""
    command = [sys.executable, "-P", str(CHILD), *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        ended = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"did not answer within {PATIENCE_S:.0f} s"
    if ended.returncode < 0:
        return f"was killed by {signal.Signals(-ended.returncode).name}"
    if ended.returncode:
        lines = ended.stderr.decode(errors="replace").strip().splitlines()
        return f"failed with {lines[-1] if lines else f'exit code {ended.returncode}'}"
    return None
