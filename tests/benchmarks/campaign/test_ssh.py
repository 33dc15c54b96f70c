"""`benchmarks ssh` against a real sshd on this machine, and what it says when something is in the way."""

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.campaign import ssh
from benchmarks.report.files import read_report
from runtime.errors import EdgescopeError, InputError

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
QUICK = ("--", "--rounds", "1", "--repeats", "2")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def sshd_program() -> str | None:
    return shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssh.Connection]:
    """This machine by its own sshd: on a free port, with keys made here, which nothing else trusts."""
    program = sshd_program()
    if not program or not shutil.which("ssh-keygen") or not shutil.which("scp"):
        pytest.skip("OpenSSH's server and client are not installed")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port = free_port()
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    host = (folder / "host.pub").read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {' '.join(host)}\n")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # what the system's own service makes before it starts
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=log)
    try:
        yield answering(server, folder, port)
    finally:
        server.terminate()
        server.wait(10)


def answering(server: subprocess.Popen, folder: Path, port: int) -> ssh.Connection:
    options = (f"UserKnownHostsFile={folder / 'known'}", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes")
    connection = ssh.Connection(f"{getpass.getuser()}@127.0.0.1", port, folder / "user", options)
    for _ in range(50):
        if server.poll() is not None:
            break
        if subprocess.run(connection.ssh("true"), capture_output=True, check=False).returncode == 0:
            return connection
        time.sleep(0.1)
    pytest.skip(f"sshd does not serve this user here: {(folder / 'log').read_text()[-300:]}")


def options(connection: ssh.Connection) -> list[str]:
    """The connection as options of the command line."""
    named = [word for option in connection.options for word in ("--ssh-option", option)]
    return [connection.host, "--port", str(connection.port), "--identity", str(connection.identity), *named]


@pytest.fixture
def home(device: ssh.Connection) -> Path:
    """Where a login lands."""
    return Path(subprocess.run(device.ssh("pwd"), capture_output=True, text=True, check=True).stdout.strip())


@pytest.fixture
def python(tmp_path: Path) -> str:
    """The device's Python, with edgescope in it, at a path with a space."""
    root = Path(__file__).parents[3]
    script = tmp_path / "a python" / "python3"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(root))} exec {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., ssh.RemotePlan]:
    """plan(**fields): nothing to install, on a host that there is not."""
    base = ssh.RemotePlan(
        ssh.Connection("device"), (), "synthetic:1@1", (), None, None, "python3", ".bench", False, False, False, ()
    )
    return lambda **fields: replace(base, **fields)


def test_a_report_comes_back_and_nothing_stays(bench, device, home: Path, python: str, write_tiny, tmp_path: Path):
    artifact = write_tiny(name="tiny with spaces; and 'quotes'")
    before = set(home.glob(".edgescope-bench-*"))
    out = tmp_path / "reports" / "device.json"
    said = bench(
        *("ssh", *options(device), "--artifact", artifact, "--data", "synthetic:1@1?size=64", "--out", out),
        *("--no-install", "--python", python, *QUICK),
    )
    assert said.code == 0, said.err
    (row,) = read_report(out).rows
    assert row.name == artifact.name
    assert row.timing is not None
    assert set(home.glob(".edgescope-bench-*")) == before


@pytest.mark.slow
def test_a_device_with_nothing_but_python_is_set_up_and_measures(bench, device, home, write_tiny, tmp_path: Path):
    """The thin wheel is built here, and installed there with what it asks for."""
    if subprocess.run([*PIP, "index", "versions", "numpy"], capture_output=True, check=False).returncode:
        pytest.skip("no package index within reach, from which to install numpy and openvino")
    before = set(home.glob(".edgescope-bench-*"))
    python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    out = tmp_path / "device.json"
    asked = ("--artifact", write_tiny(), "--data", "synthetic:1@1?size=64", "--python", python, "--out", out)
    said = bench("ssh", *options(device), *asked, *QUICK)
    assert said.code == 0, said.err
    (row,) = read_report(out).rows
    assert row.quality is not None
    assert set(home.glob(".edgescope-bench-*")) == before


def test_images_and_data_of_this_machine_are_copied(bench, device, python: str, write_tiny, tmp_path: Path):
    numpy, image = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    picture = tmp_path / "an image.png"
    image.fromarray(numpy.eye(64, dtype="uint8") * 255).save(picture)
    out = tmp_path / "r.json"
    arguments = ("--artifact", write_tiny(), "--images", picture, "--out", out, "--no-install", "--python", python)
    said = bench("ssh", *options(device), *arguments, *QUICK)
    assert said.code == 0, said.err
    assert read_report(out).data.images == 1


def test_a_run_that_fails_there_is_told_in_its_own_words(bench, device, python: str, write_tiny, tmp_path: Path):
    arguments = ("--artifact", write_tiny(), "--data", "synthetic:1@1", "--no-install", "--python", python)
    said = bench("ssh", *options(device), *arguments, "--out", tmp_path / "r.json", "--", "--backend", "abacus")
    assert said.code == 2
    assert "abacus" in said.err
    assert not (tmp_path / "r.json").exists()


def test_a_python_that_is_not_there_is_named(bench, device, write_tiny):
    arguments = ("--artifact", write_tiny(), "--data", "synthetic:1@1", "--no-install", "--python", "python9")
    said = bench("ssh", *options(device), *arguments)
    assert said.code == 1
    assert "no python9 on" in said.err


def test_a_key_that_is_not_let_in_is_told_by_ssh(bench, device, tmp_path: Path, write_tiny):
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    stranger = replace(device, identity=key)
    said = bench("ssh", *options(stranger), "--artifact", write_tiny(), "--data", "synthetic:1@1", "--no-install")
    assert said.code == 1
    assert "Permission denied" in said.err


def test_an_unknown_host_key_is_refused(bench, device, tmp_path: Path, write_tiny):
    (tmp_path / "known").write_text("")
    stranger = replace(device, options=(f"UserKnownHostsFile={tmp_path / 'known'}", *device.options[1:]))
    said = bench("ssh", *options(stranger), "--artifact", write_tiny(), "--data", "synthetic:1@1", "--no-install")
    assert said.code == 1
    assert "Host key verification failed" in said.err


@pytest.mark.skipif(not shutil.which("ssh"), reason="OpenSSH's client is not installed")
def test_a_device_that_does_not_answer_is_an_error(bench, write_tiny):
    arguments = ("--port", free_port(), "--artifact", write_tiny(), "--data", "synthetic:1@1", "--no-install")
    said = bench("ssh", "127.0.0.1", *arguments)
    assert said.code == 1
    assert "Connection refused" in said.err
    assert "by hand" in said.err


def test_a_full_disk_is_said_before_anything_is_copied(plan):
    with pytest.raises(EdgescopeError, match="has 10 MB left and needs about 600"):
        ssh.check_device(plan(wheel=Path("thin.whl")), '{"python": [3, 11], "free_mb": 10}')


def test_an_old_python_is_refused(plan):
    with pytest.raises(InputError, match=r"Python 3\.8; 3\.10 is needed"):
        ssh.check_device(plan(), 'Welcome!\n{"python": [3, 8], "free_mb": 9000}')


def test_a_dry_run_prints_every_command_and_runs_none(bench, write_tiny):
    said = bench("ssh", "nowhere.invalid", "--artifact", write_tiny(), "--data", "synthetic:1@1", "--dry-run")
    assert said.code == 0
    for part in ("mkdir -p", "scp -q -r", "-m venv venv", "[bench,openvino]", "-m benchmarks run", "rm -rf --"):
        assert part in said.out


def test_a_device_without_an_index_installs_from_the_wheelhouse(plan, tmp_path: Path, write_tiny):
    for name in ("a.whl", "thin.whl"):
        (tmp_path / name).touch()
    stages = ssh.preparation(plan(artifacts=(write_tiny(),), wheel=tmp_path / "thin.whl", wheelhouse=tmp_path))
    (copied,) = [stage.command for stage in stages if stage.what == "copy the wheel"]
    assert [Path(word).name for word in copied if word.endswith(".whl")] == ["thin.whl", "a.whl"]
    assert "--no-index --find-links wheels" in stages[-1].command[-1]


def test_a_path_of_the_device_is_taken_as_it_is(plan):
    there = plan(data="folder:/on the device?labels=cells", data_is_there=True)
    assert "'folder:/on the device?labels=cells'" in ssh.measurement(there).command[-1]


def test_a_path_that_is_nowhere_is_refused(plan):
    with pytest.raises(InputError, match="data-is-there"):
        ssh.preparation(plan(data="folder:/nowhere/at/all"))


def test_options_of_a_copied_folder_go_with_it(plan, tmp_path: Path):
    (tmp_path / "my cells").mkdir()
    call = ssh.measurement(plan(data=f"folder:{tmp_path / 'my cells'}?labels=cells")).command[-1]
    assert "'folder:data/my cells?labels=cells'" in call


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "", "a b"])
def test_a_host_that_is_an_option_is_refused(host: str):
    with pytest.raises(InputError, match="is no host"):
        ssh.Connection(host)


@pytest.mark.parametrize("folder", ["-rf", "a b", "$HOME", "../x", ".", "/", "a;b"])
def test_a_folder_that_a_shell_would_take_apart_is_refused(plan, folder: str):
    with pytest.raises(InputError, match="to be made on the device"):
        plan(folder=folder)


def test_an_ipv6_address_stands_in_brackets_for_scp():
    connection = ssh.Connection("me@fe80::1")
    assert connection.scp_from("a", Path("b"))[-2] == "me@[fe80::1]:a"
    assert "me@fe80::1" in connection.ssh("true")
