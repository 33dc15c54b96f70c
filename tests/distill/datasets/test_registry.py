"""The one door to all data: names, specs, and what a fresh process must not load."""

import subprocess
import sys

import numpy as np
import pytest

from distill import datasets
from distill.datasets import Sample, fingerprint
from runtime.errors import InputError


def test_names_are_the_readers():
    assert datasets.names() == ("bbbc038", "folder", "multiplex", "synthetic", "tissuenet")


@pytest.mark.parametrize("name", datasets.names())
def test_a_reader_says_its_name_licence_and_source(name):
    reader = datasets.load(name)
    assert reader.name == name
    assert reader.licence
    assert reader.source


def test_every_reader_loads_without_torch():
    code = (
        "import sys, distill; from distill import datasets;"
        "assert not {'PIL', 'scipy', 'skimage', 'tifffile'} & set(sys.modules);"
        "[datasets.load(n) for n in datasets.names()];"
        "assert not {'torch', 'onnx', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("bbbc038", "'bbbc038' is not NAME:PATH"),
        ("", "'' is not NAME:PATH"),
        ("bbbc038:", "is not NAME:PATH"),
        (":here", "is not NAME:PATH"),
        ("imagenet:here", "no data reader 'imagenet'; choose one of bbbc038"),
        ("splits:here", "no data reader 'splits'"),
        ("bbbc038:/no/such/place", "'/no/such/place' does not exist"),
        ("folder:/no/such/place", "'/no/such/place' does not exist"),
        ("multiplex:/no/such/place?tile=64", "'/no/such/place' does not exist"),
        ("tissuenet:/no/such/place", "'/no/such/place' does not exist"),
    ],
)
def test_a_wrong_spec_is_refused_with_its_value(spec, said):
    with pytest.raises(InputError) as error:
        datasets.open(spec)
    assert said in str(error.value).replace("\\\\", "/")


def test_an_unknown_split_is_refused():
    with pytest.raises(InputError, match="'training' is unknown; choose one of all, train, val, test"):
        datasets.open("synthetic:4", "training")


def test_a_drive_letter_stays_in_the_path():
    with pytest.raises(InputError, match="C:"):
        datasets.open(r"bbbc038:C:\no\such\place")


def test_a_data_set_is_a_sequence():
    data = datasets.open("synthetic:5@1?size=32")
    assert [sample.name for sample in data] == list(data.names)
    assert data[-1].name == data.names[4]
    assert data[np.int64(1)].name == data.names[1]
    assert data[1:3].names == data.names[1:3]
    assert data.subset(data.names[:1])[0].name == data.names[0]
    with pytest.raises(IndexError):
        data[5]


def test_a_fingerprint_follows_the_frame_alone():
    frame = np.arange(12, dtype=np.uint16).reshape(1, 3, 4)
    one = fingerprint(Sample("a", frame, ("nucleus",), {}))
    assert one == fingerprint(Sample("b", np.concatenate([frame, frame]), ("nucleus", "membrane"), {}, 0.5))
    assert one == fingerprint(Sample("c", frame.astype(">u2"), ("nucleus",), {}))
    assert len(one) == 12
    others = [frame.astype(np.float32), frame.reshape(1, 4, 3), frame + np.uint16(1)]
    assert one not in {fingerprint(Sample("d", other, ("nucleus",), {})) for other in others}


def test_missing_labels_are_named_with_those_that_are_there():
    one = Sample("a", np.zeros((1, 3, 4), np.uint16), ("nucleus",), {"nuclei": np.zeros((3, 4), np.int32)})
    assert one.labels_of("nuclei", "") is one.labels["nuclei"]
    with pytest.raises(InputError, match=r"^a has no labels 'cells', it has nuclei; set data\.labels\.$"):
        one.labels_of("cells", "set data.labels")
