"""The files for a host without a screen say what the program and systemd understand. No image is built here."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.__main__ import make_parser

HEADLESS = Path(__file__).parents[2] / "examples" / "headless"


def test_the_container_s_command_is_one_that_serve_takes():
    text = (HEADLESS / "Dockerfile").read_text(encoding="utf-8")
    (program, *begin), end = (
        json.loads(re.search(rf"^{word} (.*)$", text, re.MULTILINE)[1]) for word in ("ENTRYPOINT", "CMD")
    )
    args = make_parser().parse_args([*begin, *end])
    assert program.endswith("/edgescope-run")
    assert (str(args.artifact), str(args.folder), args.broker) == (
        "nuclei-fast-microscope-int8",
        "/images",
        "mosquitto",
    )
    assert args.broker in (HEADLESS / "compose.yaml").read_text(encoding="utf-8")


def test_the_service_s_command_is_one_that_serve_takes():
    text = (HEADLESS / "edgescope.service").read_text(encoding="utf-8")
    (program, *arguments) = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1])
    args = make_parser().parse_args(arguments)
    assert program.endswith("/edgescope-run")
    assert str(args.folder) == "/var/lib/edgescope"
    assert "StateDirectory=edgescope" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_service(tmp_path: Path):
    text = (HEADLESS / "edgescope.service").read_text(encoding="utf-8")
    unit = tmp_path / "edgescope.service"
    unit.write_text(re.sub(r"/opt/edgescope/bin/edgescope-run", shutil.which("true") or "/bin/true", text))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "edgescope.service" in line] == []
    assert done.returncode == 0
