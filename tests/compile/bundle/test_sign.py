"""--sign: the key is read before minutes of work."""

import io
from pathlib import Path

import pytest

from compile.__main__ import main
from compile.bundle.sign import PASSPHRASE, load_signer
from runtime.errors import InputError

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    lock = serialization.BestAvailableEncryption(b"open sesame")
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    (tmp_path / "key.pem").write_bytes(pem)
    return tmp_path / "key.pem"


def test_without_a_key_nothing_is_signed():
    assert load_signer(None) is None


def test_the_environment_gives_the_passphrase(locked, monkeypatch):
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    sign = load_signer(locked)
    assert sign is not None
    assert b"ed25519" in sign(b"sums")


def test_without_a_terminal_the_variable_is_named(locked, monkeypatch):
    monkeypatch.delenv(PASSPHRASE, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(InputError, match=f"is encrypted; give its passphrase in the environment variable {PASSPHRASE}"):
        load_signer(locked)


@pytest.mark.parametrize("content", [None, b"no key"])
def test_a_bad_key_is_said_before_the_work(content, tmp_path, capsys):
    if content is not None:
        (tmp_path / "key.pem").write_bytes(content)
    call = ["--target", "intel", "--sign", str(tmp_path / "key.pem"), "--out", str(tmp_path / "artifacts")]
    assert main(call) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "key.pem" in line
    assert not (tmp_path / "artifacts").exists()
