"""TissueNet in both layouts, its reversed labels, its pickled table, and files that are larger than memory."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from distill import datasets
from distill.datasets.readers.tissuenet import npz
from runtime.errors import InputError

TILES, SIZE = 5, 24


def arrays(count=TILES) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.random((count, SIZE, SIZE, 2), np.float32)
    labels = np.zeros((count, SIZE, SIZE, 2), np.int32)
    labels[:, 2:12, 2:12, 0], labels[:, 4:9, 4:9, 1] = 7, 7  # whole cell, then nucleus
    labels[:, 14:20, 2:12, 0] = 3
    return {"X": images, "y": labels}


def v10(path: Path, count=TILES, save=np.savez_compressed) -> Path:
    save(path, **arrays(count), tissue_list=np.array(["lung"] * count), platform_list=np.array(["codex"] * count))
    return path


def v11(path: Path, headers=1, save=np.savez) -> Path:
    header = [["filename", "experiment", "pixel_size", "note"]] * headers
    rows = [[f"field{i}.tif", i, np.float64(0.5), None] for i in range(TILES)]
    save(path, **arrays(), meta=np.array(header + rows, dtype=object))
    return path


@pytest.fixture(params=["v1.0", "v1.0 stored", "v1.1", "v1.1 compressed"])
def path(request, tmp_path) -> Path:
    target = tmp_path / "tissuenet_train.npz"
    return {
        "v1.0": lambda: v10(target),
        "v1.0 stored": lambda: v10(target, save=np.savez),
        "v1.1": lambda: v11(target),
        "v1.1 compressed": lambda: v11(target, save=np.savez_compressed),
    }[request.param]()


def test_images_are_nucleus_and_membrane(path):
    sample = datasets.open(f"tissuenet:{path}")[3]
    assert sample.name == "tissuenet_train-00003"
    assert sample.channels == ("nucleus", "membrane")
    assert sample.image.dtype == np.float32
    np.testing.assert_array_equal(sample.image, np.moveaxis(arrays()["X"][3], -1, 0))


def test_labels_are_the_other_way_round_and_renumbered(path):
    labels = datasets.open(f"tissuenet:{path}")[0].labels
    assert labels["cells"].dtype == labels["nuclei"].dtype == np.int32
    assert ((labels["cells"] > 0).sum(), (labels["nuclei"] > 0).sum()) == (160, 25)
    assert (labels["cells"].max(), labels["nuclei"].max()) == (2, 1)


def test_large_members_are_mapped_and_not_held(path, monkeypatch):
    monkeypatch.setattr(npz, "IN_MEMORY", 0)
    data = datasets.open(f"tissuenet:{path}")
    np.testing.assert_array_equal(data[2].frame, arrays()["X"][2, ..., 0])
    assert isinstance(npz.Npz(path).array("X"), np.memmap)


def test_a_data_set_can_be_pickled(path):
    data = datasets.open(f"tissuenet:{path}")
    np.testing.assert_array_equal(data[1].image, pickle.loads(pickle.dumps(data))[1].image)


def test_a_tile_without_nuclear_annotation_offers_none(tmp_path):
    content = arrays()
    content["y"][1, ..., 1] = 0
    content["y"][2] = 0
    np.savez(tmp_path / "a.npz", **content)
    data = datasets.open(f"tissuenet:{tmp_path}")
    assert [sorted(sample.labels) for sample in data][:3] == [["cells", "nuclei"], ["cells"], ["cells", "nuclei"]]


def test_meta_of_v10(tmp_path):
    v10(tmp_path / "a.npz")
    assert datasets.open(f"tissuenet:{tmp_path}").meta()["a-00004"] == {"tissue": "lung", "platform": "codex"}


@pytest.mark.parametrize("headers", [1, 4])
def test_meta_of_v11(tmp_path, headers):
    v11(tmp_path / "test.npz", headers)
    data = datasets.open(f"tissuenet:{tmp_path}")
    assert data[2:4].meta() == {
        f"test-0000{i}": {"filename": f"field{i}.tif", "experiment": i, "pixel_size": 0.5, "note": None} for i in (2, 3)
    }


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("pwned"),))


def with_meta(path: Path, payload: bytes) -> str:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (TILES + 1, 1)})
    np.savez(path, **arrays())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("meta.npy", header.getvalue() + payload)
    return f"tissuenet:{path}"


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_malicious_table_is_refused_and_not_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    table = np.array([[Evil()]] * (TILES + 1), dtype=object)
    data = datasets.open(with_meta(tmp_path / "a.npz", pickle.dumps(table, protocol)))
    assert len(data[0].labels) == 2  # X and y never need it
    with pytest.raises(InputError, match=r"refused: its pickle asks for .*do not trust this file"):
        data.meta()
    assert not (tmp_path / "pwned").exists()


class Calls:
    """A pickle that calls one of numpy's own names, as numpy would not, and sets the result's state."""

    def __init__(self, call, *arguments, state=None):
        self.recipe = (call, arguments) if state is None else (call, arguments, state)

    def __reduce__(self):
        return self.recipe


RECONSTRUCT, SCALAR = np._core.multiarray._reconstruct, np._core.multiarray.scalar
TEXTS = ["a"] * (TILES + 1)
HOSTILE = {
    "an array over bytes": Calls(np.ndarray, (TILES + 1, 1), "O", b"x" * 8 * (TILES + 1)),
    "an array with strides": Calls(np.ndarray, (TILES + 1, 1), "f8", b"x" * 8, 0, (1 << 40, 8)),
    "no array": Calls(RECONSTRUCT, np.ndarray, (0,), b"b"),
    "an array of bytes": Calls(RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, (2, 1), np.dtype("O"), False, b"x" * 16)),
    "too few items": Calls(RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, (9, 9), np.dtype("O"), False, TEXTS)),
    "a negative shape": Calls(RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, (-5, -1), np.dtype("O"), False, TEXTS)),
    "a state of no array": Calls(RECONSTRUCT, np.ndarray, (0,), b"b", state={"values": 3}),
    "a scalar of objects": Calls(SCALAR, np.dtype("O"), "x"),
    "a scalar too short": Calls(SCALAR, np.dtype("f8"), b"x"),
    "a type": np.dtype("f8"),
    "a structured type": Calls(np.dtype, [("a", "O")]),
    "a table in a table": np.array(["a"], dtype=object),
    "a name alone": np.ndarray,
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("wrapped", [False, True])
def test_numpy_s_own_names_build_a_table_of_plain_values_and_nothing_else(tmp_path, payload, wrapped):
    table = payload
    if wrapped:
        table = np.empty((TILES + 1, 1), dtype=object)
        table[:] = "a"
        table[0, 0] = payload
    with pytest.raises(InputError, match=r"meta"):
        datasets.open(with_meta(tmp_path / "a.npz", pickle.dumps(table, 4))).meta()


def test_no_name_in_a_pickle_stands_for_a_type():
    for module, name in npz.CALLS:
        stands_for = npz.TableUnpickler(io.BytesIO()).find_class(module, name)
        assert not isinstance(stands_for, type)
        with pytest.raises(pickle.UnpicklingError):
            stands_for.__setstate__({})


@pytest.mark.parametrize("payload", [b"", b"junk", pickle.dumps([1, 2]), pickle.dumps(np.zeros((2, 2)))[:-9]])
def test_a_broken_table_is_an_error_of_the_input(tmp_path, payload):
    with pytest.raises(InputError, match="meta"):
        datasets.open(with_meta(tmp_path / "a.npz", payload)).meta()


def test_objects_in_place_of_images_are_refused(tmp_path):
    content = arrays() | {"X": np.full((TILES, SIZE, SIZE, 2), None)}
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(InputError, match="holds objects, not numbers"):
        datasets.open(f"tissuenet:{tmp_path}")


def test_files_named_by_split_decide(tmp_path):
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        v10(tmp_path / f"tissuenet_v1.0_{split}.npz", count)
    counts = {split: len(datasets.open(f"tissuenet:{tmp_path}", split)) for split in datasets.SPLITS}
    assert counts == {"all": 6, "train": 3, "val": 2, "test": 1}


def test_one_file_is_split_by_seed(tmp_path):
    path = v10(tmp_path / "tissuenet_v1.0_train.npz")
    counts = {split: len(datasets.open(f"tissuenet:{path}", split)) for split in datasets.SPLITS}
    assert counts == {"all": 5, "train": 4, "val": 1, "test": 5}


def test_without_a_val_file_the_train_file_is_split(tmp_path):
    v10(tmp_path / "train.npz")
    v10(tmp_path / "test.npz", 2)
    counts = {split: len(datasets.open(f"tissuenet:{tmp_path}", split)) for split in datasets.SPLITS}
    assert counts == {"all": 7, "train": 4, "val": 1, "test": 2}


def test_a_split_that_no_file_is_for_is_refused(tmp_path):
    v10(tmp_path / "test.npz")
    with pytest.raises(InputError, match="has test files and none for 'train'"):
        datasets.open(f"tissuenet:{tmp_path}", "train")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y": None}, "has no y, only X"),
        ({"X": np.zeros((2, 8, 8), np.float32)}, r"has X of shape \(2, 8, 8\)"),
        ({"y": np.zeros((TILES, 8, 8, 2), np.int32)}, "and y of shape"),
    ],
)
def test_another_layout_is_refused(tmp_path, change, said):
    content = {key: value for key, value in (arrays() | change).items() if value is not None}
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(InputError, match=said):
        datasets.open(f"tissuenet:{tmp_path}")


def test_negative_labels_are_refused(tmp_path):
    content = arrays()
    content["y"] -= 1
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(InputError, match="negative label, -1"):
        datasets.open(f"tissuenet:{tmp_path}")[0]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_truncated_file_is_refused(path, share):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="Cannot read"):
        datasets.open(f"tissuenet:{path}")


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no \.npz"):
        datasets.open(f"tissuenet:{tmp_path}")


def test_the_real_field(shared_data):
    path = shared_data / "codex" / "tissuenet_layout_sample.npz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    data = datasets.open(f"tissuenet:{path}")
    assert len(data) == 4
    assert data[0].image.shape == (2, 336, 336)
    assert set(data[0].labels) == {"cells"}
    assert data.meta()[data.names[0]] == {"tissue": "unknown", "platform": "codex"}


def test_a_file_that_is_damaged_anywhere_is_read_or_refused(path):
    whole, dice = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        at = int(dice.integers(0, len(whole)))
        path.write_bytes(whole[:at] + dice.bytes(4) + whole[at + 4 :] if dice.random() < 0.8 else whole[:at])
        try:
            samples = [datasets.open(f"tissuenet:{path}")[place] for place in range(TILES)]
        except InputError:
            continue
        assert [sample.image.shape for sample in samples] == [(2, SIZE, SIZE)] * TILES


def test_a_list_with_fewer_rows_than_tiles_is_named(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, **arrays(), tissue_list=np.array(["lung"] * 2))
    with pytest.raises(InputError, match="tissue_list"):
        datasets.open(f"tissuenet:{path}").meta()
