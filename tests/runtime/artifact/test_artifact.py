"""Artefacts: what was changed, is missing, extra or cut short is refused by name; writing is all or nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import EdgescopeError, InputError
from runtime.artifact.artifact import MANIFEST, SUMS, check_place, open_artifact, write_artifact
from runtime.artifact.containers import FolderContainer
from runtime.artifact.manifest import FileEntry
from runtime.artifact.probes import ProbeSet

if TYPE_CHECKING:
    from conftest import Made

FILES = ["CARD.md", "SHA256SUMS", "manifest.json", "model.onnx", "probes.npz", "rdf.yaml"]
SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def rezip(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            with pytest.warns(UserWarning, match="Duplicate") if name in archive.namelist() else nullcontext():
                archive.writestr(name, data)
    return path


@pytest.fixture
def zip_path(made: Made, tmp_path: Path) -> Path:
    return made.write(tmp_path / "zipped" / "tiny-intel-fp32", zipped=True)


@pytest.fixture
def members(artifact_path: Path) -> list[tuple[str, bytes]]:
    return [(name, (artifact_path / name).read_bytes()) for name in FILES]


# Reading


def test_a_folder_is_read_back(made: Made, artifact_path: Path, probes: ProbeSet):
    artifact = open_artifact(artifact_path)
    assert names(artifact_path) == FILES
    assert artifact.path == artifact_path
    assert artifact.read("CARD.md") == made.files["CARD.md"]
    assert artifact.payload("onnx") == made.files["model.onnx"]
    assert artifact.size_bytes == sum(entry.stat().st_size for entry in artifact_path.iterdir())
    assert set(artifact.manifest.files) == set(made.files)
    np.testing.assert_array_equal(artifact.probes().inputs, probes.inputs)
    np.testing.assert_array_equal(artifact.probes().outputs, probes.outputs)


def test_a_zip_holds_the_same(artifact_path: Path, zip_path: Path):
    assert zip_path.name == "tiny-intel-fp32.zip"
    assert open_artifact(zip_path).files == open_artifact(artifact_path).files


def test_a_zip_of_the_folder_is_read_as_well(artifact_path: Path, tmp_path: Path):
    made = shutil.make_archive(str(tmp_path / "by-hand"), "zip", artifact_path.parent, artifact_path.name)
    assert open_artifact(Path(made)).files == open_artifact(artifact_path).files


def test_the_sums_are_what_sha256sum_checks(artifact_path: Path):
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=artifact_path, check=True, capture_output=True)


def test_what_is_not_there_is_said_with_what_is(artifact_path: Path):
    artifact = open_artifact(artifact_path)
    with pytest.raises(InputError, match=r"no payload tflite; .* has onnx"):
        artifact.payload("tflite")
    with pytest.raises(InputError, match=r"no file x\.bin; it holds CARD\.md"):
        artifact.read("x.bin")


def test_changes_after_opening_do_not_reach_it(artifact_path: Path, made: Made):
    artifact = open_artifact(artifact_path)
    (artifact_path / "model.onnx").write_bytes(b"other")
    assert artifact.payload("onnx") == made.files["model.onnx"]


def test_probes_that_are_not_what_the_manifest_says_are_refused(made: Made, tmp_path: Path):
    manifest = replace(made.manifest, probes=replace(made.manifest.probes, count=7))
    artifact = write_artifact(tmp_path / "a", manifest, made.files)
    with pytest.raises(InputError, match=r"\(3, 2, 32, 48\), the manifest says \(7, 2, 32, 48\)"):
        artifact.probes()


# Tampering


@pytest.mark.parametrize("name", FILES)
@SAME_FOLDER
@given(data=st.data())
def test_any_changed_byte_is_refused_by_the_files_name(artifact_path: Path, name: str, data: st.DataObject):
    path = artifact_path / name
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    flip = data.draw(st.integers(1, 255))
    path.write_bytes(original[:position] + bytes([original[position] ^ flip]) + original[position + 1 :])
    try:
        with pytest.raises(InputError) as caught:
            open_artifact(artifact_path)
    finally:
        path.write_bytes(original)
    message = str(caught.value)
    assert str(artifact_path) in message
    assert name in message or (name == SUMS and "was changed" in message)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda _: b""])
def test_a_file_of_another_length_is_refused(artifact_path: Path, name: str, change):
    path = artifact_path / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError):
        open_artifact(artifact_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(artifact_path: Path, name: str):
    (artifact_path / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing"):
        open_artifact(artifact_path)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "model.onnx.bak"])
def test_an_extra_file_is_refused(artifact_path: Path, name: str):
    (artifact_path / name).touch()
    with pytest.raises(InputError, match=f"{name} does not belong there"):
        open_artifact(artifact_path)


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._manifest.json"])
def test_what_systems_leave_in_folders_is_passed_over_and_never_read(artifact_path: Path, name: str):
    """A look into the folder with Finder or Explorer must not break an artefact; no name of ours is among these."""
    before = open_artifact(artifact_path)
    (artifact_path / name).write_bytes(b"litter")
    after = open_artifact(artifact_path)
    assert after.files == before.files
    check_place(artifact_path)


def test_what_macos_adds_to_a_zip_is_passed_over(artifact_path: Path, tmp_path: Path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in artifact_path.iterdir():
            archive.write(file, f"a/{file.name}")
        archive.writestr("__MACOSX/a/._manifest.json", b"litter")
        archive.writestr("a/.DS_Store", b"litter")
    assert open_artifact(path).files == open_artifact(artifact_path).files


def test_a_litter_that_is_a_link_is_refused(artifact_path: Path, tmp_path: Path):
    (tmp_path / "elsewhere").touch()
    try:
        (artifact_path / ".DS_Store").symlink_to(tmp_path / "elsewhere")
    except OSError:
        pytest.skip("links need rights here")
    with pytest.raises(InputError, match=r"DS_Store is a link"):
        open_artifact(artifact_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_or_a_device_is_no_artefact(tmp_path: Path):
    os.mkfifo(tmp_path / "a.zip")
    for path in (tmp_path / "a.zip", Path("/dev/zero")):
        with pytest.raises(InputError, match="is a pipe, a device or a socket"):
            open_artifact(path)


def test_a_message_names_a_few_files_of_many(artifact_path: Path):
    for number in range(100):
        (artifact_path / f"extra{number:03}").touch()
    with pytest.raises(InputError, match=r"extra007 and 92 more does not belong there"):
        open_artifact(artifact_path)


def test_a_file_of_another_size_is_refused_before_it_is_read(artifact_path: Path, monkeypatch: pytest.MonkeyPatch):
    name = next(name for name in open_artifact(artifact_path).manifest.files if name.endswith(".md"))
    with (artifact_path / name).open("ab") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(InputError, match=rf"{name} has {1 << 40} bytes, and was written with"):
        open_artifact(artifact_path)


def test_where_memory_ends_it_is_said_in_words(artifact_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> bytes:
        raise MemoryError

    monkeypatch.setattr(FolderContainer, "read", refuse)
    with pytest.raises(EdgescopeError, match=f"not enough memory to open the artefact {artifact_path}: none was left"):
        open_artifact(artifact_path)


def test_a_small_file_takes_little_memory_whatever_its_limit(tmp_path: Path):
    (tmp_path / "small").write_bytes(b"abc")
    tracemalloc.start()
    try:
        assert FolderContainer(tmp_path, ("small",)).read("small", 1 << 30) == b"abc"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_extra_folder_is_refused(artifact_path: Path):
    (artifact_path / "sub").mkdir()
    with pytest.raises(InputError, match="sub is no plain file"):
        open_artifact(artifact_path)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_is_refused(artifact_path: Path, tmp_path: Path):
    (artifact_path / "CARD.md").replace(tmp_path / "CARD.md")
    (artifact_path / "CARD.md").symlink_to(tmp_path / "CARD.md")
    with pytest.raises(InputError, match=r"CARD\.md is a link"):
        open_artifact(artifact_path)


def test_sums_that_fit_do_not_make_a_file_belong(artifact_path: Path):
    (artifact_path / "more.bin").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    lines = [*(artifact_path / SUMS).read_text().splitlines(), f"{empty}  more.bin"]
    lines.sort(key=lambda line: line.split()[1])
    (artifact_path / SUMS).write_text("".join(f"{line}\n" for line in lines), newline="\n")
    with pytest.raises(InputError, match=r"more\.bin does not belong there"):
        open_artifact(artifact_path)


def test_a_file_larger_than_declared_is_not_read_to_its_end(artifact_path: Path):
    with (artifact_path / "model.onnx").open("r+b") as file:
        file.truncate(1 << 40)  # a sparse terabyte: reading it would end the test
    with pytest.raises(InputError, match=r"model\.onnx has \d+ bytes, and was written with"):
        open_artifact(artifact_path)


# Zips


@SAME_FOLDER
@given(keep=st.floats(0, 1, exclude_max=True))
def test_a_truncated_zip_is_refused(zip_path: Path, tmp_path: Path, keep: float):
    data = zip_path.read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(InputError, match="copy"):
        open_artifact(cut)


@SAME_FOLDER
@given(data=st.data())
def test_a_changed_byte_of_a_zip_is_refused_or_changes_no_file(zip_path: Path, tmp_path: Path, data: st.DataObject):
    original = zip_path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(original[:position] + bytes([original[position] ^ 0x55]) + original[position + 1 :])
    try:
        files = open_artifact(damaged).files
    except InputError:
        return
    assert files == open_artifact(zip_path).files


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "C:/evil", "C:evil", "..\\evil", "\\evil", "sub/evil", "..", "ev\0il", "evil ", ""]
)
def test_a_name_that_leads_out_of_a_zip_is_refused(members, tmp_path: Path, name: str):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for plain, data in members:
            archive.writestr(plain, data)
        entry = zipfile.ZipInfo("placeholder")
        entry.filename = name
        archive.writestr(entry, b"x")
    with pytest.raises(InputError):
        open_artifact(path)


@pytest.mark.parametrize("top", ["..", "C:", "a\\b"])
def test_a_folder_in_a_zip_that_leads_out_is_refused(members, tmp_path: Path, top: str):
    with pytest.raises(InputError, match="no plain file name"):
        open_artifact(rezip(tmp_path / "evil.zip", [(f"{top}/{name}", data) for name, data in members]))


def test_a_name_that_stands_twice_is_refused(members, tmp_path: Path):
    with pytest.raises(InputError, match=r"CARD\.md stands twice"):
        open_artifact(rezip(tmp_path / "twice.zip", [*members, ("CARD.md", b"other")]))


def test_a_link_in_a_zip_is_refused(members, tmp_path: Path):
    path = rezip(tmp_path / "link.zip", members[1:])
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("CARD.md")
        entry.create_system = 3
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/hostname")
    with pytest.raises(InputError, match=r"CARD\.md is a link"):
        open_artifact(path)


def test_a_zip_bomb_is_not_unpacked(members, tmp_path: Path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, bytes(300 << 20) if name == "model.onnx" else data)
    with pytest.raises(InputError, match=r"model\.onnx has \d+ bytes, and was written with"):
        open_artifact(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no readable zip"):
        open_artifact(path)


def test_a_path_without_anything_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"gone: it does not exist"):
        open_artifact(tmp_path / "gone")


# Writing


def test_equal_content_gives_equal_zips(made: Made, tmp_path: Path):
    one = made.write(tmp_path / "one", zipped=True)
    backwards = dict(reversed(made.files.items()))
    two = write_artifact(tmp_path / "two.zip", made.manifest, backwards, zip=True).path
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("zipped", [False, True])
def test_an_artefact_is_replaced_and_nothing_is_left_beside_it(made: Made, tmp_path: Path, zipped: bool):
    path = made.write(tmp_path / "a", zipped=zipped)
    newer = {**made.files, "CARD.md": b"# newer\n"}
    assert write_artifact(path, made.manifest, newer, zip=zipped).read("CARD.md") == b"# newer\n"
    assert open_artifact(path).read("CARD.md") == b"# newer\n"
    assert names(tmp_path) == [path.name]


def test_a_damaged_artefact_is_replaced(made: Made, artifact_path: Path):
    (artifact_path / "model.onnx").unlink()
    (artifact_path / "CARD.md").write_bytes(b"damaged")
    made.write(artifact_path)
    assert open_artifact(artifact_path).read("CARD.md") == made.files["CARD.md"]


def test_an_empty_folder_is_used(made: Made, tmp_path: Path):
    (tmp_path / "a").mkdir()
    made.write(tmp_path / "a")
    assert names(tmp_path / "a") == FILES


def test_a_foreign_folder_is_never_deleted(made: Made, tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"home is in the way.*thesis\.txt"):
        made.write(tmp_path / "home")
    assert names(tmp_path) == ["home"]
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"


def test_a_note_among_an_artefacts_files_is_never_deleted(made: Made, artifact_path: Path):
    (artifact_path / "my-notes.txt").touch()
    with pytest.raises(InputError, match=r"my-notes\.txt"):
        made.write(artifact_path)
    assert (artifact_path / "my-notes.txt").exists()


@pytest.mark.parametrize("zipped", [False, True])
def test_a_foreign_file_is_never_deleted(made: Made, tmp_path: Path, zipped: bool):
    (tmp_path / "a.zip").write_bytes(b"PK of someone else")
    with pytest.raises(InputError, match=r"a\.zip is in the way"):
        made.write(tmp_path / "a.zip", zipped=zipped)
    assert (tmp_path / "a.zip").read_bytes() == b"PK of someone else"


def test_a_folder_is_not_replaced_by_a_zip(made: Made, tmp_path: Path):
    made.write(tmp_path / "a.zip")
    with pytest.raises(InputError, match="it is a folder"):
        made.write(tmp_path / "a.zip", zipped=True)


def test_leftovers_of_killed_runs_go_with_the_next_write(made: Made, tmp_path: Path):
    for leftover in (".a.partial-1234", ".a.old-1234", ".ab.partial-1234"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "x").touch()
    made.write(tmp_path / "a")
    assert names(tmp_path) == [".ab.partial-1234", "a"]  # that of another artefact is not ours


@pytest.mark.parametrize("name", ["../x", "a/b", "C:x", "", ".hidden", "manifest.json", "sha256sums", "card.MD", "a b"])
def test_a_file_name_that_not_every_system_can_store_is_refused(made: Made, tmp_path: Path, name: str):
    with pytest.raises(InputError):
        write_artifact(tmp_path / "a", made.manifest, {**made.files, name: b""})
    assert names(tmp_path) == []


def test_a_role_without_its_file_is_refused(made: Made, tmp_path: Path):
    files = {name: data for name, data in made.files.items() if name != "model.onnx"}
    with pytest.raises(InputError, match=r"payload\.onnx of the manifest is model\.onnx"):
        write_artifact(tmp_path / "a", made.manifest, files)
    assert names(tmp_path) == []


def test_a_manifest_that_declares_a_negative_size_is_refused(artifact_path: Path):
    fields = json.loads((artifact_path / MANIFEST).read_text())
    fields["files"]["CARD.md"]["bytes"] = -5
    write_consistently(artifact_path, json.dumps(fields).encode())
    with pytest.raises(InputError, match=r"CARD\.md has 7 bytes, and was written with -5"):
        open_artifact(artifact_path)


def write_consistently(folder: Path, manifest: bytes) -> None:
    """Change the manifest and its line in the sums, as somebody who means it would."""
    old = sha256((folder / MANIFEST).read_bytes()).hexdigest()
    (folder / MANIFEST).write_bytes(manifest)
    text = (folder / SUMS).read_text().replace(old, sha256(manifest).hexdigest())
    (folder / SUMS).write_text(text, newline="\n")


def test_a_declared_file_outside_the_folder_is_refused(artifact_path: Path):
    fields = json.loads((artifact_path / MANIFEST).read_text())
    fields["files"]["../outside"] = FileEntry("0" * 64, 1).to_dict()
    write_consistently(artifact_path, json.dumps(fields).encode())
    with pytest.raises(InputError, match=r"\.\./outside is missing"):
        open_artifact(artifact_path)


ENDLESS_WRITER = """
import sys
from pathlib import Path
from runtime.artifact.artifact import open_artifact, write_artifact
source = open_artifact(Path(sys.argv[1]))
files = {name: source.read(name) for name in source.manifest.files}
files["padding.bin"] = bytes(2 << 20)
print("ready", flush=True)
while True:
    write_artifact(Path(sys.argv[2]), source.manifest, files)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a kill that cannot be caught")
def test_a_kill_at_any_moment_leaves_a_whole_artefact_or_none(made: Made, artifact_path: Path, tmp_path: Path):
    target = tmp_path / "killed" / "a"
    random = np.random.default_rng(0)
    for _ in range(12):
        command = [sys.executable, "-c", ENDLESS_WRITER, str(artifact_path), str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            sleep(random.uniform(0, 0.1))
            process.kill()
        if target.exists():
            open_artifact(target)
    made.write(target)
    assert names(target.parent) == ["a"]


def test_probes_never_come_from_a_pickle():
    buffer = io.BytesIO()
    np.savez(buffer, inputs=np.array([{}], object), outputs=np.zeros(1))
    with pytest.raises(InputError, match="cannot be read"):
        ProbeSet.from_bytes(buffer.getvalue())


def test_two_writers_of_one_artefact_do_not_remove_each_others_work(made: Made, tmp_path: Path):
    path = tmp_path / "a"
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: made.write(path), range(12)))
    assert written == [path] * 12
    assert open_artifact(path).manifest.student == made.manifest.student
    assert names(tmp_path) == ["a"]


SEVERAL_TIMES = ENDLESS_WRITER.replace("while True:", "for _ in range(5):")


@pytest.mark.slow
def test_two_processes_that_write_one_artefact_take_turns(made: Made, artifact_path: Path, tmp_path: Path):
    """A.14: neither fails, neither removes what the other is writing, and nothing is left."""
    target = tmp_path / "shared" / "a"
    command = [sys.executable, "-c", SEVERAL_TIMES, str(artifact_path), str(target)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(writer.communicate(timeout=300)[1], writer.returncode) for writer in writers]
    assert ends == [("", 0)] * 2
    assert open_artifact(target).manifest.student == made.manifest.student
    assert names(target.parent) == ["a"]
