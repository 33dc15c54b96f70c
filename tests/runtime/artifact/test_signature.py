"""Signed artefacts: who trusts a key opens what it signed, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtime import InputError, Segmenter
from runtime.__main__ import main
from runtime.artifact.artifact import open_artifact, write_artifact
from runtime.artifact.signature import signer
from runtime.system import extras

if TYPE_CHECKING:
    from conftest import Made

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

PEM, RAW = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
PKCS8, OPENSSH = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.OpenSSH
PLAIN = serialization.NoEncryption()


def write_keys(folder: Path, name: str, key=None) -> tuple[Path, Path]:
    """The files of a private and its public key."""
    key = key or ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))
    public.write_bytes(key.public_key().public_bytes(PEM, RAW))
    return private, public


def no_passphrase() -> bytes:
    raise AssertionError("the key is not encrypted")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, "lab")


@pytest.fixture(params=[False, True], ids=["folder", "zip"])
def signed(made: Made, keys, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    sign = signer(keys[0], no_passphrase)
    return write_artifact(tmp_path / "signed", made.manifest, made.files, zip=request.param, sign=sign).path


def changed(path: Path, name: str, data: bytes | None) -> Path:
    """A copy of the artefact in which a file holds something else, or is gone."""
    copy = path.with_name(f"changed{path.suffix}")
    if path.is_dir():
        shutil.copytree(path, copy)
        (copy / name).unlink(missing_ok=True)
        if data is not None:
            (copy / name).write_bytes(data)
        return copy
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for entry in old.namelist():
            if entry != name:
                new.writestr(entry, old.read(entry))
        if data is not None:
            new.writestr(name, data)
    return copy


def test_what_a_trusted_key_signed_is_opened(signed: Path, keys):
    with Segmenter.open(signed, trust=keys[1]) as segment:
        assert segment.manifest.student == "tiny"


def test_without_trust_a_signature_is_not_looked_at(signed: Path):
    open_artifact(changed(signed, "SIGNATURE", b"nonsense"))


def test_another_key_s_signature_is_refused_with_both_names(signed: Path, tmp_path: Path):
    _, other = write_keys(tmp_path, "other")
    with pytest.raises(InputError, match=r"was signed by ed25519:\w{16}, not by ed25519:\w{16} of .*other.pub.pem"):
        open_artifact(signed, other)


def test_an_unsigned_artefact_is_refused(artifact_path: Path, keys):
    with pytest.raises(InputError, match="it is not signed"):
        open_artifact(artifact_path, keys[1])


def test_a_removed_signature_is_refused(signed: Path, keys):
    with pytest.raises(InputError, match="it is not signed"):
        open_artifact(changed(signed, "SIGNATURE", None), keys[1])


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 90, b"[" * 60000, b" " * (1 << 17)])
def test_a_damaged_signature_is_refused_in_one_line(signed: Path, keys, data: bytes):
    with pytest.raises(InputError, match="SIGNATURE"):
        open_artifact(changed(signed, "SIGNATURE", data), keys[1])


@pytest.mark.parametrize(("field", "value"), [("algorithm", "none"), ("schema_version", 2), ("signature", "AAAA")])
def test_a_signature_of_another_kind_is_refused(signed: Path, keys, field: str, value):
    content = json.loads(open_artifact(signed).files["SIGNATURE"])
    with pytest.raises(InputError, match="is none that this edgescope knows"):
        open_artifact(changed(signed, "SIGNATURE", json.dumps({**content, field: value}).encode()), keys[1])


def test_a_student_that_was_exchanged_with_its_sums_is_refused(signed: Path, made: Made, keys, tmp_path: Path):
    """The attacker writes a consistent artefact, and puts the old signature and its key's name beside it."""
    forged = write_artifact(tmp_path / "forged", made.manifest, {**made.files, "CARD.md": b"# better\n"}).path
    (forged / "SIGNATURE").write_bytes(open_artifact(signed).files["SIGNATURE"])
    open_artifact(forged)
    with pytest.raises(InputError, match="was changed after ed25519"):
        open_artifact(forged, keys[1])


def test_the_environment_names_a_trusted_key_for_everything_that_opens(
    artifact_path: Path, signed: Path, keys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EDGESCOPE_TRUST", str(keys[1]))
    Segmenter.open(signed).close()
    with pytest.raises(InputError, match="it is not signed"):
        Segmenter.open(artifact_path)


def test_a_signed_artefact_is_replaced_by_an_unsigned_one(signed: Path, made: Made):
    zipped = signed.suffix == ".zip"
    written = write_artifact(signed, made.manifest, made.files, zip=zipped)
    assert "SIGNATURE" not in open_artifact(written.path).files


def test_a_payload_may_not_be_called_like_the_signature(made: Made, tmp_path: Path):
    with pytest.raises(InputError, match="SIGNATURE"):
        write_artifact(tmp_path / "x", made.manifest, {**made.files, "SIGNATURE": b""})


def test_openssh_keys_are_keys_too(made: Made, tmp_path: Path):
    key = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "id").write_bytes(key.private_bytes(PEM, OPENSSH, PLAIN))
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    (tmp_path / "id.pub").write_bytes(line + b" somebody@lab\n")
    sign = signer(tmp_path / "id", no_passphrase)
    path = write_artifact(tmp_path / "signed", made.manifest, made.files, sign=sign).path
    open_artifact(path, tmp_path / "id.pub")


def test_an_encrypted_key_asks_for_its_passphrase(tmp_path: Path):
    lock = serialization.BestAvailableEncryption(b"open sesame")
    key = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(PEM, PKCS8, lock))
    assert b"ed25519" in signer(tmp_path / "key.pem", lambda: b"open sesame")(b"sums")
    with pytest.raises(InputError, match="cannot be read as a key with this passphrase"):
        signer(tmp_path / "key.pem", lambda: b"open barley")


def test_openssl_agrees(signed: Path, keys, tmp_path: Path):
    """The signature is a plain one of the bytes of SHA256SUMS: it can be verified without this project."""
    import base64

    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    artifact = open_artifact(signed)
    (tmp_path / "sums").write_bytes(artifact.files["SHA256SUMS"])
    (tmp_path / "raw").write_bytes(base64.b64decode(json.loads(artifact.files["SIGNATURE"])["signature"]))
    verify = "openssl pkeyutl -verify -pubin -rawin -inkey".split()
    command = [*verify, str(keys[1]), "-in", str(tmp_path / "sums"), "-sigfile", str(tmp_path / "raw")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_key_of_the_wrong_side_is_said(signed: Path, keys):
    with pytest.raises(InputError, match="holds a private key; trust the public one"):
        open_artifact(signed, keys[0])
    with pytest.raises(InputError, match="holds a public key; sign with the private one"):
        signer(keys[1], no_passphrase)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_file_that_holds_no_key_is_said(artifact_path: Path, tmp_path: Path, content: bytes):
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a key"):
        open_artifact(artifact_path, tmp_path / "key")


def test_a_key_file_that_is_not_there_is_said(artifact_path: Path, tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        open_artifact(artifact_path, tmp_path / "nowhere.pem")


def test_a_key_of_another_kind_is_said(artifact_path: Path, tmp_path: Path):
    private, public = write_keys(tmp_path, "ec", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(InputError, match="not Ed25519"):
        open_artifact(artifact_path, public)
    with pytest.raises(InputError, match="not Ed25519"):
        signer(private, no_passphrase)


def test_without_the_library_its_extra_is_named(artifact_path: Path, keys, monkeypatch: pytest.MonkeyPatch):
    from runtime import EdgescopeError

    monkeypatch.setattr(extras, "available", lambda _module: False)
    with pytest.raises(EdgescopeError, match=r'pip install "edgescope.*\[sign\]"'):
        open_artifact(artifact_path, keys[1])


@pytest.mark.parametrize("command", ["verify", "info", "predict", "segment"])
def test_every_command_that_opens_takes_a_key(command: str, artifact_path: Path, keys, tmp_path: Path, capsys):
    image, out = str(tmp_path / "in.tif"), str(tmp_path / "out")
    Path(image).write_bytes(b"")
    options = {"predict": [str(artifact_path), image, "--out", out], "segment": [image, out, "--artifact"]}
    call = [command, *options.get(command, []), *([str(artifact_path)] if command != "predict" else [])]
    assert main([*call, "--trust", str(keys[1])]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "it is not signed" in line


def test_info_says_who_signed(signed: Path, artifact_path: Path, keys, capsys):
    for call, words in (([], "not verified: give --trust"), (["--trust", str(keys[1])], "verified with")):
        assert main(["info", str(signed), *call]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("signature")]
        assert "by ed25519:" in line
        assert words in line
    assert main(["info", str(artifact_path)]) == 0
    assert "signature      none" in capsys.readouterr().out
