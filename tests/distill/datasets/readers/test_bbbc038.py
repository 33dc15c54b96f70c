"""BBBC038 in the official layout: a folder, a zip, the real one, and everything that can be wrong with them."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill import datasets
from runtime.errors import InputError

DISC = np.hypot(*np.ogrid[-16:16, -16:16]) < 9


def png(pixels, mode=None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels), mode).save(buffer, "PNG")
    return buffer.getvalue()


def rgba(grey) -> bytes:
    return png(np.dstack([grey, grey, grey, np.full_like(grey, 255)]))


def nuclei(bright=200, dark=10) -> np.ndarray:
    return np.where(DISC, bright, dark).astype(np.uint8)


def entry(name, image=None, **masks) -> dict[str, bytes]:
    found = {f"{name}/images/{name}.png": rgba(nuclei()) if image is None else image}
    return found | {f"{name}/masks/{key}.png": mask for key, mask in (masks or {"m": png(DISC)}).items()}


@pytest.fixture
def files() -> dict[str, bytes]:
    return entry("one") | entry("two", rgba(nuclei(120)), a=png(DISC.astype(np.uint8) * 255))


def write_folder(path: Path, files) -> str:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return f"bbbc038:{path}"


def write_zip(path: Path, files) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return f"bbbc038:{path}"


def packed(tmp_path, files, kind) -> str:
    return write_folder(tmp_path / "data", files) if kind == "folder" else write_zip(tmp_path / "d.zip", files)


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("below", ["", "stage1_train/"])
def test_reads_the_official_layout(tmp_path, files, kind, below):
    data = datasets.open(packed(tmp_path, {below + name: data for name, data in files.items()}, kind))
    assert data.names == ("one", "two")
    sample = data[0]
    assert sample.channels == ("nucleus",)
    assert sample.frame.dtype == np.uint8
    np.testing.assert_array_equal(sample.frame, nuclei())
    assert sample.labels["nuclei"].dtype == np.int32
    np.testing.assert_array_equal(sample.labels["nuclei"], DISC)
    assert data.licence == "CC0-1.0"


def test_a_download_folder_stands_for_its_zip(tmp_path, files):
    write_zip(tmp_path / "stage1_train.zip", files)
    assert len(datasets.open(f"bbbc038:{tmp_path}")) == 2


def test_leavings_of_a_desktop_are_ignored(tmp_path, files):
    junk = {"__MACOSX/one/images/._one.png": b"x", "one/images/.DS_Store": b"x", "one/masks/Thumbs.db": b"x"}
    assert len(datasets.open(packed(tmp_path, files | junk, "zip"))) == 2


def test_overlapping_masks_do_not_overwrite_and_hidden_ones_do_not_count(tmp_path):
    left, right = DISC.copy(), DISC.copy()
    left[:, 18:], right[:, :14] = False, False
    spec = write_zip(tmp_path / "d.zip", entry("a", None, a=png(left), b=png(left), c=png(right)))
    labels = datasets.open(spec)[0].labels["nuclei"]
    assert set(np.unique(labels)) == {0, 1, 2}
    np.testing.assert_array_equal(labels == 1, left)


def test_masks_may_be_stored_as_colour(tmp_path):
    spec = write_zip(tmp_path / "d.zip", entry("a", None, m=rgba(DISC.astype(np.uint8) * 255)))
    np.testing.assert_array_equal(datasets.open(spec)[0].labels["nuclei"], DISC)


def test_an_empty_masks_folder_is_an_image_without_nuclei(tmp_path):
    write_folder(tmp_path, {"a/images/a.png": rgba(nuclei())})
    (tmp_path / "a" / "masks").mkdir()
    assert datasets.open(f"bbbc038:{tmp_path}")[0].labels["nuclei"].max() == 0


def test_other_modalities_are_left_out_and_counted(tmp_path, files):
    stained = np.full((32, 32, 4), (200, 120, 190, 255), np.uint8)
    stained[DISC, :3] = (90, 40, 120)
    others = entry("pink", png(stained)) | entry("bright", rgba(nuclei(60, 220)))
    data = datasets.open(packed(tmp_path, files | others, "zip"))
    assert data.names == ("one", "two")
    assert data.left_out == {"colour histology": 1, "bright background": 1}
    assert "1 bright background, 1 colour histology" in data.description


def test_only_other_modalities_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no fluorescence image"):
        datasets.open(write_zip(tmp_path / "d.zip", entry("bright", rgba(nuclei(60, 220)))))


def test_crowded_nuclei_are_still_fluorescence(tmp_path):
    crowded = np.where(np.arange(32) < 28, 150, 20).astype(np.uint8) * np.ones((32, 1), np.uint8)
    assert len(datasets.open(write_zip(tmp_path / "d.zip", entry("a", rgba(crowded), m=png(crowded > 100))))) == 1


def test_a_data_set_can_be_pickled(tmp_path, files):
    data = datasets.open(packed(tmp_path, files, "zip"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data))[1].image, data[1].image)


def broken(tmp_path, files, change) -> None:
    files.update(change)
    datasets.open(packed(tmp_path, files, "zip"))[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"one/images/one.png": b""}, r"'one/images/one.png' is empty \(0 bytes\)"),
        ({"one/images/one.png": b"\x89PNG\r\n\x1a\n...."}, "'one/images/one.png' is not a whole image"),
        ({"one/images/one.png": rgba(nuclei())[:-40]}, "'one/images/one.png' is not a whole image"),
        ({"one/masks/m.png": b""}, "'one/masks/m.png' is empty"),
        ({"one/masks/m.png": png(DISC[:8])}, r"'one/masks/m.png' is \(8, 32\), its image \(32, 32\)"),
        ({"three/images/three.png": rgba(nuclei())}, "1 of 3 images .* no masks folder .*'three'"),
        ({"one/images/two.png": rgba(nuclei())}, "'one' .* has 2 images, not one"),
        ({"../up/images/up.png": b""}, "'../up/images/up.png', a name that leads out"),
        ({"/up/images/up.png": b""}, "a name that leads out"),
        ({"C:/up/images/up.png": b""}, "a name that leads out"),
        ({"else/x/images/x.png": rgba(nuclei()), "else/x/masks/m.png": png(DISC)}, "several folders"),
    ],
)
def test_a_broken_file_is_named(tmp_path, files, change, said):
    with pytest.raises(InputError, match=said):
        broken(tmp_path, files, change)


def test_backslashes_in_a_zip_are_refused(tmp_path, files):
    path = tmp_path / "d.zip"
    write_zip(path, files | {"x/images/y.png": b""})
    path.write_bytes(path.read_bytes().replace(b"x/images/y.png", b"x\\images\\y.png"))
    with pytest.raises(InputError, match="leads out"):
        datasets.open(f"bbbc038:{path}")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
def test_a_truncated_zip_is_refused(tmp_path, files, share):
    path = tmp_path / "d.zip"
    write_zip(path, files)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"is not a whole \.zip"):
        datasets.open(f"bbbc038:{path}")


def test_a_changed_byte_inside_a_zip_is_noticed(tmp_path, files):
    path = tmp_path / "d.zip"
    write_zip(path, files)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 8] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"Cannot read 'one/images/one\.png'"):
        datasets.open(f"bbbc038:{path}")


def test_another_layout_is_refused_with_the_right_one(tmp_path):
    with pytest.raises(InputError, match=r"expected <id>/images/<id>\.png"):
        datasets.open(write_zip(tmp_path / "d.zip", {"images/a.txt": b"", "labels/a.txt": b""}))


@pytest.mark.slow
def test_the_real_images(shared_data):
    path = shared_data / "bbbc038" / "stage1_train.zip"
    if not path.is_file():
        pytest.skip(f"no {path}")
    data = datasets.open(f"bbbc038:{path}", "val")
    train = datasets.open(f"bbbc038:{path}", "train")
    assert (len(train), len(data), dict(data.left_out)) == (325, 81, {})
    assert not set(train.names) & set(data.names)
    for sample in data[:5]:
        assert sample.labels["nuclei"].shape == sample.frame.shape
        assert 0 < sample.labels["nuclei"].max() == len(np.unique(sample.labels["nuclei"])) - 1


def experiments() -> dict[str, bytes]:
    """Ten experiments of two images each; images of one differ in a pixel."""
    found: dict[str, bytes] = {}
    for kind in range(10):
        texture = np.random.default_rng(kind).integers(0, 4 + 4 * kind, (32, 32))
        for number in range(2):
            frame = (nuclei(80 + 15 * kind, 5) + np.where(DISC, 0, texture)).astype(np.uint8)
            frame[0, number] += 1
            found |= entry(f"{kind}-{number}", rgba(frame))
    return found


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_images_that_look_alike_stay_in_one_part(tmp_path, kind):
    spec = packed(tmp_path, experiments(), kind) + "?split=groups"
    train, val = datasets.open(spec, "train").names, datasets.open(spec, "val").names
    assert len(train) + len(val) == 20
    assert val
    assert not {name[0] for name in train} & {name[0] for name in val}
    assert len(datasets.open(spec, "test")) == 20


def test_without_the_option_the_split_is_by_size_as_ever(tmp_path):
    from distill.datasets.splits import choose

    files = experiments()
    spec = write_zip(tmp_path / "d.zip", files)
    strata = {f"{kind}-{number}": (32, 32) for kind in range(10) for number in range(2)}
    assert datasets.open(spec, "val").names == choose(strata, "val")


@pytest.mark.parametrize("option", ["split=random", "groups", "split=groups&x=1", "split=Groups"])
def test_an_unknown_option_is_refused(tmp_path, files, option):
    spec = write_zip(tmp_path / "d.zip", files)
    with pytest.raises(InputError, match="of the BBBC038 data is unknown; there is split=groups"):
        datasets.open(f"{spec}?{option}")
