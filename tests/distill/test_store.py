"""The store of soft labels: whole arrays or none, whatever is killed, damaged, full or done twice."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("zarr")

from distill.store import ABANDONED, Damaged, Store
from runtime.errors import EdgescopeError, InputError
from runtime.system import atomic

ROOT = Path(__file__).parents[2]
VALUES = np.random.default_rng(0).integers(0, 256, (70, 33), np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "soft.zarr")


@pytest.mark.parametrize("shape", [(1, 1), (70, 33), (513, 1030), (3, 5, 7), (0, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_what_is_written_is_read(store: Store, shape, dtype):
    values = np.random.default_rng(1).random(shape).astype(dtype)
    store.write("a", values, {"name": "field"})
    found = store.read("a", "field")
    assert found is not None
    assert found.dtype == values.dtype
    assert np.array_equal(found, values)


def test_a_key_that_was_not_written_is_none(store: Store):
    assert store.read("a", "field") is None
    assert not store.has("a")


def test_any_reader_of_zarr_opens_the_store(store: Store):
    import zarr

    store.write("a", VALUES, {"name": "field", "teacher": "sam"})
    group = zarr.open_group(store.path, mode="r")
    assert [name for name, _ in group.arrays()] == ["a"]
    assert group["a"].attrs["teacher"] == "sam"
    assert np.array_equal(group["a"][...], VALUES)


def test_the_first_array_of_a_key_stays(store: Store):
    store.write("a", VALUES, {})
    store.write("a", VALUES + 1, {})
    assert np.array_equal(store.read("a", "field"), VALUES)
    assert sorted(path.name for path in store.path.iterdir()) == ["a", "zarr.json"]


def test_threads_that_write_the_same_key_do_not_harm_each_other(store: Store):
    failures = []

    def write():
        try:
            store.write("a", VALUES, {})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert np.array_equal(store.read("a", "field"), VALUES)
    assert sorted(path.name for path in store.path.iterdir()) == ["a", "zarr.json"]


@given(data=st.data())
def test_no_damage_goes_unseen(tmp_path_factory: pytest.TempPathFactory, data):
    store = Store(tmp_path_factory.mktemp("damaged") / "soft.zarr")
    store.write("a", VALUES, {"name": "field"})
    files = sorted(path for path in (store.path / "a").rglob("*") if path.is_file())
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    how = data.draw(st.sampled_from(["flip", "cut", "remove"]))
    if how == "remove":
        file.unlink()
    elif how == "cut":
        file.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        file.write_bytes(content)
    try:
        found = store.read("a", "field")
    except Damaged as error:
        assert "field" in str(error)
        assert "distill label" in str(error)
    else:  # a byte of the metadata that does not matter
        assert np.array_equal(found, VALUES)


@pytest.mark.parametrize("side", [2**31, 2**62, 2**64, -1, "x"])
def test_a_shape_that_is_claimed_and_not_stored_is_refused(store: Store, side: object):
    store.write("a", VALUES, {})
    metadata = json.loads((store.path / "a" / "zarr.json").read_text())
    metadata["shape"][1] = side
    (store.path / "a" / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(EdgescopeError, match="soft label of field"):
        store.read("a", "field")


def test_a_damaged_array_can_be_replaced(store: Store):
    store.write("a", VALUES, {})
    (store.path / "a" / "c" / "0" / "0").unlink()
    store.discard("a")
    store.discard("a")  # another process may have been faster
    assert store.read("a", "field") is None
    store.write("a", VALUES, {})
    assert np.array_equal(store.read("a", "field"), VALUES)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_error_and_what_was_stored_stays(store: Store, monkeypatch: pytest.MonkeyPatch, code: int):
    store.write("a", VALUES, {"name": "first"})

    def full(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(EdgescopeError, match=r"second was not stored.*run the same command again"):
            store.write("b", VALUES, {"name": "second"})
    assert np.array_equal(store.read("a", "first"), VALUES)
    assert store.read("b", "second") is None
    assert sorted(path.name for path in store.path.iterdir()) == ["a", "zarr.json"]
    store.write("b", VALUES, {"name": "second"})
    assert np.array_equal(store.read("b", "second"), VALUES)


FILL = """
import sys, numpy as np
from pathlib import Path
from distill.store import Store
from runtime.errors import EdgescopeError
store = Store(Path(sys.argv[1]))
for number in range(100_000):
    try:
        store.write(f"{number:06}", np.random.default_rng(number).integers(0, 256, (64, 64), np.uint8), {"name": "f"})
    except EdgescopeError as error:
        sys.exit(f"stored {number}: {error}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
def test_a_disk_that_is_really_full_keeps_what_was_stored(tmp_path: Path):
    small, out = tmp_path / "small", tmp_path / "out"
    small.mkdir()
    script = (
        f'mount -t tmpfs -o size=256k none "{small}" || exit 77; "{sys.executable}" -c "$FILL" "{small}/soft.zarr"; '
        f'cp -r "{small}/soft.zarr" "{out}"'
    )
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    done = subprocess.run(
        command, env={**os.environ, "FILL": FILL, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    if not out.exists():
        pytest.skip(f"this system mounts nothing for a user: {done.stderr.strip()[:100]}")
    stored = int(done.stderr.split("stored ")[1].split(":")[0])
    assert stored > 5
    assert "No space left on device" in done.stderr
    assert sorted(path.name for path in out.iterdir()) == [*(f"{number:06}" for number in range(stored)), "zarr.json"]
    for number in range(stored):
        expected = np.random.default_rng(number).integers(0, 256, (64, 64), np.uint8)
        assert np.array_equal(Store(out).read(f"{number:06}", "f"), expected)


def test_a_writer_that_is_killed_leaves_whole_arrays(store: Store):
    writer = subprocess.Popen([sys.executable, "-c", FILL, store.path], env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        until = time.monotonic() + 60
        while not store.has("000005") and time.monotonic() < until:
            time.sleep(0.001)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    keys = sorted(path.name for path in store.path.iterdir() if path.is_dir() and not path.name.startswith("."))
    assert len(keys) >= 6
    for key in keys:
        expected = np.random.default_rng(int(key)).integers(0, 256, (64, 64), np.uint8)
        assert np.array_equal(store.read(key, "f"), expected)


def test_what_a_killed_writer_of_another_computer_left_is_swept_when_it_is_old(store: Store):
    store.write("a", VALUES, {})
    names = (".b.partial-ffffffff.1-00000000", ".c.partial-ffffffff.1-00000000", ".nfs0001")
    old, young, foreign = (store.path / name for name in names)
    for path in (old, young, foreign):
        path.mkdir()
    for path in (old, foreign):
        os.utime(path, (time.time() - 2 * ABANDONED,) * 2)
    Store(store.path).write("d", VALUES, {})
    assert not old.exists()
    assert young.exists()
    assert foreign.exists()


def test_a_clock_that_jumps_sweeps_nothing_of_a_writer_that_lives(store: Store, monkeypatch: pytest.MonkeyPatch):
    store.write("a", VALUES, {})
    here = store.path / f".b.partial-{atomic._computer()}.{os.getppid()}-00000000"
    there = store.path / ".c.partial-ffffffff.1-00000000"
    for path in (here, there):
        path.mkdir()
    os.utime(here, (time.time() - 2 * ABANDONED,) * 2)
    later = time.time() + 100 * ABANDONED
    monkeypatch.setattr(time, "time", lambda: later)
    Store(store.path).write("d", VALUES, {})
    assert here.exists()
    assert there.exists()


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("do not touch")
    with pytest.raises(InputError, match=r"teacher\.store"):
        Store(tmp_path)
    with pytest.raises(InputError, match=r"teacher\.store"):
        Store(tmp_path / "thesis.txt")


def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path / "file" / "soft.zarr").check_writable()


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Store(Path("~/soft.zarr")).write("abc", np.zeros((4, 4), np.uint8), {})
    assert (tmp_path / "soft.zarr" / "abc").is_dir()
