"""Measure on a device that is reached by OpenSSH: copy what is needed, run there, bring the report back.

Everything is a list of commands that the device's shell and this machine's `ssh` and `scp` understand, made before
the first of them runs, so that `--dry-run` prints exactly what would be done. All of it lands in one folder on the
device, whose name needs no quoting; whatever else goes through the device's shell is quoted.
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report.files import read_report
from benchmarks.report.report import Report
from distill import datasets
from runtime import backend as backends
from runtime.artifact.artifact import open_artifact
from runtime.errors import EdgescopeError, InputError
from runtime.records import Record, parse_json
from runtime.system import programs
from runtime.system.atomic import write_bytes

DISTRIBUTION = "edgescope_runtime"
LEAST_PYTHON = (3, 10)
LEAST_FREE_MB = 600  # of an environment with one backend, besides what is copied
CONNECTION_FAILED = 255  # OpenSSH's own exit code; all others are those of what ran there
NOT_FOUND = 127
OPTIONS = ("BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=30")
SAFE_FOLDER = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")
TAIL = 12  # lines of a log that are worth showing
PROBE = (
    "import json, os, shutil, sys; "
    "print(json.dumps({'python': list(sys.version_info[:2]), 'free_mb': shutil.disk_usage(os.curdir).free // 10**6}))"
)


@dataclass(frozen=True)
class Connection:
    """How the device is reached. options: of OpenSSH's configuration, NAME=VALUE."""

    host: str
    port: int | None = None
    identity: Path | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.host or self.host.startswith("-") or any(c.isspace() for c in self.host):
            msg = f"Host {self.host!r} is no host; write HOST, USER@HOST or a name of your ssh configuration."
            raise InputError(msg)

    def ssh(self, script: str) -> list[str]:
        """Run a line of the device's shell."""
        return ["ssh", "-T", *self._options("-p"), "--", self.host, script]

    def scp_to(self, paths: Sequence[Path], folder: str) -> list[str]:
        """Copy files and folders into a folder of the device."""
        return ["scp", "-q", "-r", *self._options("-P"), "--", *map(str, paths), f"{self._scp_host}:{folder}/"]

    def scp_from(self, file: str, path: Path) -> list[str]:
        """Copy a file from the device."""
        return ["scp", "-q", *self._options("-P"), "--", f"{self._scp_host}:{file}", str(path)]

    def _options(self, port: str) -> list[str]:
        named = [word for option in (*self.options, *OPTIONS) for word in ("-o", option)]  # the first of a name counts
        return [
            *named,
            *((port, str(self.port)) if self.port else ()),
            *(("-i", str(self.identity)) if self.identity else ()),
        ]

    @property
    def _scp_host(self) -> str:
        """An IPv6 address stands in brackets, where a colon ends the host."""
        user, at, host = self.host.rpartition("@")
        return f"{user}{at}[{host}]" if ":" in host and not host.startswith("[") else self.host


@dataclass(frozen=True)
class RemotePlan:
    """What the caller asked for.

    data : a data spec, or None; its path is copied where it is one of this machine
    images : files and folders of this machine
    wheel : the thin wheel; None: nothing is installed, and `python` has it already
    wheelhouse : a folder of wheels for a device without a package index
    options : further ones of `benchmarks run`"""

    connection: Connection
    artifacts: tuple[Path, ...]
    data: str | None
    images: tuple[Path, ...]
    wheel: Path | None
    wheelhouse: Path | None
    python: str
    folder: str
    keep: bool
    system_packages: bool
    data_is_there: bool
    options: tuple[str, ...]

    def __post_init__(self) -> None:
        if not SAFE_FOLDER.fullmatch(self.folder) or ".." in self.folder.split("/") or not self.folder.strip("./"):
            msg = f"Folder {self.folder!r} is to be made on the device; use letters, digits and . _ - / alone."
            raise InputError(msg)


@dataclass(frozen=True)
class RemoteStage:
    """One command. remedy: what to do when it fails."""

    what: str
    command: list[str]
    remedy: str


@dataclass(frozen=True)
class RemotePython(Record):
    """What the device's Python says. python: (major, minor); free_mb: of the disk that the home folder is on."""

    python: tuple[int, int]
    free_mb: int


Step = Callable[[str], None]


def run(plan: RemotePlan, out: Path, step: Step) -> Report:
    """Measure on the device and write the report to `out`. EdgescopeError says at which step what went wrong there."""
    _check_programs()
    reach, *before = preparation(plan)
    step(reach.what)
    check_device(plan, _output(plan, reach))
    try:
        for stage in before:
            step(stage.what)
            _output(plan, stage)
        step("measure")
        report, text = _measured(plan)
    finally:
        if not plan.keep:
            step("clean up")
            programs.run(removal(plan).command)
    write_bytes(out, text)
    return report


def stages(plan: RemotePlan, report: Path) -> list[RemoteStage]:
    """Every command, in order: what a dry run prints."""
    last = [] if plan.keep else [removal(plan)]
    return [*preparation(plan), measurement(plan), retrieval(plan, report), *last]


def preparation(plan: RemotePlan) -> list[RemoteStage]:
    """Reach the device, copy, install."""
    ssh, folder = plan.connection.ssh, plan.folder
    python = shlex.quote(plan.python)
    numbered = [f"{folder}/artifacts/{number}" for number in range(len(plan.artifacts))]
    places = " ".join(shlex.quote(place) for place in (*numbered, f"{folder}/data", f"{folder}/wheels"))
    disk = "Is the disk of the device full, or its home folder not yours to write?"
    steps = [
        RemoteStage("reach the device", ssh(f"{python} -c {shlex.quote(PROBE)}"), "Does --python name a Python there?"),
        RemoteStage("make a folder", ssh(f"umask 077 && mkdir -p {places}"), disk),
    ]
    for path, place in zip(plan.artifacts, numbered, strict=True):
        steps.append(RemoteStage("copy the artefact", plan.connection.scp_to([path.resolve()], place), disk))
    if data := _data_to_copy(plan):
        steps.append(RemoteStage("copy the images", plan.connection.scp_to(data, f"{folder}/data"), disk))
    if plan.wheel:
        wheels = [plan.wheel.resolve()]
        if plan.wheelhouse:
            wheels += sorted(path.resolve() for path in plan.wheelhouse.glob("*.whl") if path.name != plan.wheel.name)
        steps.append(RemoteStage("copy the wheel", plan.connection.scp_to(wheels, f"{folder}/wheels"), disk))
        steps += _installation(plan, plan.wheel.name)
    return steps


def _installation(plan: RemotePlan, wheel: str) -> list[RemoteStage]:
    """An environment in the folder, and the thin wheel in it; one that a kept folder has is used again."""
    system = "--system-site-packages " if plan.system_packages else ""
    make = f"{shlex.quote(plan.python)} -m venv {system}venv"
    pip = "venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet"
    where = "--no-index --find-links wheels " if plan.wheelhouse else ""
    extras = ",".join(["bench", *sorted({_extra(path) for path in plan.artifacts})])
    requirement = shlex.quote(f"./wheels/{wheel}[{extras}]")
    again = f"{pip} --no-index --no-deps --force-reinstall {shlex.quote(f'./wheels/{wheel}')}"
    cd = f"cd {plan.folder}"
    return [
        RemoteStage(
            "make an environment",
            plan.connection.ssh(f"{cd} && {{ test -x venv/bin/python || {make}; }}"),
            "On Debian, Ubuntu and Jetson, install it there: sudo apt install python3-venv",
        ),
        RemoteStage(
            "install",
            plan.connection.ssh(f"{cd} && {pip} {where}{requirement} && {again}"),
            "A device without a package index needs --wheelhouse DIR, or --no-install where all is there.",
        ),
    ]


def _extra(path: Path) -> str:
    return backends.load(open_artifact(path).manifest.backend).extra


def needs_system(path: Path) -> bool:
    """Whether the library behind an artefact comes with the device's system, and an environment has to see that."""
    return backends.load(open_artifact(path).manifest.backend).from_system


def measurement(plan: RemotePlan) -> RemoteStage:
    """`benchmarks run` there, its output in a log."""
    python = "venv/bin/python" if plan.wheel else shlex.quote(plan.python)
    artifacts = [f"artifacts/{number}/{path.resolve().name}" for number, path in enumerate(plan.artifacts)]
    words = [word for artifact in artifacts for word in ("--artifact", artifact)]
    if plan.data:
        words += ["--data", _remote_data(plan)]
    words += [word for path in plan.images for word in ("--images", f"data/{path.resolve().name}")]
    words += ["--out", "report.json", *plan.options]
    call = f"{python} -m benchmarks run {' '.join(map(shlex.quote, words))}"
    script = f"cd {plan.folder} && rm -f report.json && {call} > run.log 2>&1"
    return RemoteStage("measure", plan.connection.ssh(script), "Its log is above.")


def retrieval(plan: RemotePlan, path: Path) -> RemoteStage:
    """The report, from there to here."""
    return RemoteStage("fetch the report", plan.connection.scp_from(f"{plan.folder}/report.json", path), "")


def removal(plan: RemotePlan) -> RemoteStage:
    """Nothing stays on the device."""
    return RemoteStage("clean up", plan.connection.ssh(f"rm -rf -- {plan.folder}"), "")


def _data_to_copy(plan: RemotePlan) -> list[Path]:
    path = _local_data(plan)
    return [*(path.resolve() for path in plan.images), *([path.resolve()] if path else [])]


def _local_data(plan: RemotePlan) -> Path | None:
    """The path in a data spec, where it is one of this machine; InputError where it ought to be and is not."""
    argument = (plan.data or "").partition(":")[2]
    if plan.data is None or datasets.is_generated(plan.data) or plan.data_is_there:
        return None
    path = Path(argument.partition("?")[0]).expanduser()  # what follows are the reader's options
    if not path.exists():
        msg = f"{str(path)!r} of --data is not on this machine; if it is a path of the device, add --data-is-there."
        raise InputError(msg)
    return path


def _remote_data(plan: RemotePlan) -> str:
    name, _, argument = (plan.data or "").partition(":")
    path, mark, options = _local_data(plan), *argument.partition("?")[1:]
    return f"{name}:data/{path.resolve().name}{mark}{options}" if path else plan.data or ""


def _check_programs() -> None:
    for program in ("ssh", "scp"):
        if not shutil.which(program):
            msg = f"{program} is not installed here; install OpenSSH's client."
            raise EdgescopeError(msg)


def check_device(plan: RemotePlan, output: str) -> None:
    """Before anything is copied: is its Python new enough, and is there room?"""
    lines = output.strip().splitlines()
    remote = RemotePython.from_dict(parse_json(lines[-1] if lines else ""))  # a login may greet first
    if remote.python < LEAST_PYTHON:
        version, least = (".".join(map(str, number)) for number in (remote.python, LEAST_PYTHON))
        msg = f"{plan.python} of {plan.connection.host} is Python {version}; {least} is needed: name it by --python."
        raise InputError(msg)
    copied = [*plan.artifacts, *_data_to_copy(plan), *([plan.wheelhouse] if plan.wheelhouse else [])]
    needed = sum(map(size_mb, copied)) + (LEAST_FREE_MB if plan.wheel else 0)
    if remote.free_mb < needed:
        msg = (
            f"{plan.connection.host} has {remote.free_mb} MB left and needs about {needed:.0f}; make room there, or "
            "give --folder on another disk."
        )
        raise EdgescopeError(msg)


def size_mb(path: Path) -> float:
    """Megabytes of a file, or of all files in a folder."""
    files = (entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files) / 1e6


def _measured(plan: RemotePlan) -> tuple[Report, bytes]:
    """Run there; a run that failed in part has a report, too."""
    ended = _do(plan, measurement(plan))
    with TemporaryDirectory(prefix="edgescope-ssh-") as folder:
        path = Path(folder, "report.json")
        if ended.returncode in (0, 1):
            _do(plan, retrieval(plan, path))
        if not path.exists():
            log = _do(plan, RemoteStage("log", plan.connection.ssh(f"tail -n {TAIL} {plan.folder}/run.log"), "")).stdout
            lines = [line.strip() for line in log.splitlines() if line.strip()]
            errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
            reason = errors[-1] if errors else " / ".join(lines) or "it printed nothing"
            msg = f"`benchmarks run` failed on {plan.connection.host} (exit code {ended.returncode}): {reason}"
            raise InputError(msg) if ended.returncode == 2 else EdgescopeError(msg)
        return read_report(path), path.read_bytes()


def _output(plan: RemotePlan, stage: RemoteStage) -> str:
    """What a command printed; an error that names the step, what was said, and the next step."""
    ended = _do(plan, stage)
    if ended.returncode == 0:
        return ended.stdout
    host = plan.connection.host
    if ended.returncode == NOT_FOUND and stage.what == "reach the device":
        msg = f"There is no {plan.python} on {host}; install Python 3.10 or later there, or name it by --python."
        raise EdgescopeError(msg)
    msg = f"Could not {stage.what} on {host} (exit code {ended.returncode}): {_reason(ended)} {stage.remedy}"
    raise EdgescopeError(msg)


def _do(plan: RemotePlan, stage: RemoteStage) -> "programs.Ended[str]":
    """Run it; EdgescopeError where OpenSSH itself failed: no such host, not let in, an unknown key, a lost line."""
    ended = programs.run(stage.command)
    if ended.returncode == CONNECTION_FAILED:
        msg = (
            f"ssh could not {stage.what}: {_reason(ended)} Try `{shlex.join(_by_hand(plan.connection))}` by hand: "
            "it must log in by key or agent, without a question."
        )
        raise EdgescopeError(msg)
    return ended


def _by_hand(connection: Connection) -> list[str]:
    port = ["-p", str(connection.port)] if connection.port else []
    identity = ["-i", str(connection.identity)] if connection.identity else []
    return ["ssh", *port, *identity, connection.host]


def _reason(ended: "programs.Ended[str]") -> str:
    """As a sentence."""
    text = programs.failure(ended)
    return text if text.endswith((".", "!", "?")) else f"{text}."


def fresh_folder() -> str:
    """A name in the device's home folder that no other run uses."""
    return f".edgescope-bench-{os.urandom(4).hex()}"


def wheel_name(version: str) -> str:
    """What the thin wheel's file is called."""
    return f"{DISTRIBUTION}-{version}-py3-none-any.whl"


def build_wheel(folder: Path) -> Path:
    """Build the thin wheel from this checkout; InputError where this is none."""
    source = programs.ROOT / "runtime"
    if not (source / "pyproject.toml").exists():
        msg = "This edgescope is no checkout, from which the thin wheel is built; give it by --wheel FILE."
        raise InputError(msg)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    if find_spec("hatchling"):  # needs no package index
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    ended = programs.run(command, folder=source)
    wheel = next(folder.glob(f"{DISTRIBUTION}-*.whl"), None)
    if ended.returncode != 0 or not wheel:
        msg = f"The thin wheel could not be built: {_reason(ended)} Give one by --wheel FILE."
        raise EdgescopeError(msg)
    return wheel
