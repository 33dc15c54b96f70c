"""The container file names what exists, and its command is one of the runtime. No image is built here."""

from __future__ import annotations

import json
import re
from pathlib import Path

from runtime.__main__ import make_parser

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_default_command_is_one_that_the_runtime_takes():
    (program,) = json.loads(re.search(r"^ENTRYPOINT (.*)$", TEXT, re.MULTILINE)[1])
    dash_m, package, *arguments = json.loads(re.search(r"^CMD (.*)$", TEXT, re.MULTILINE)[1])
    assert program == "/opt/venv/bin/python" and "-m venv /opt/venv" in TEXT
    assert (dash_m, package) == ("-m", "runtime")
    assert make_parser().parse_args(arguments)


def test_what_is_copied_from_the_checkout_exists_and_the_environments_stay_out():
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", TEXT, re.MULTILINE)
    assert copied and all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", "runs"} <= set(ignored)
