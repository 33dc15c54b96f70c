"""Images that a student was trained on are left out by their content, and counted."""

from dataclasses import replace

import numpy as np
import pytest

from distill import datasets


def unreadable(name: str) -> datasets.Sample:
    raise AssertionError(name)


def test_what_was_trained_on_is_left_out_and_counted():
    data = datasets.open("synthetic:4@1?size=32")
    seen = {datasets.fingerprint(data[0]), datasets.fingerprint(data[2]), "f" * 12}
    rest = datasets.unseen(data, seen)
    assert rest.names == (data.names[1], data.names[3])
    assert rest.left_out == {datasets.SEEN: 2}
    assert rest[0].name == data.names[1]


def test_what_was_left_out_before_stays_counted():
    data = replace(datasets.open("synthetic:2@1?size=32"), left_out={"colour histology": 3})
    rest = datasets.unseen(data, {datasets.fingerprint(data[0])})
    assert rest.left_out == {"colour histology": 3, datasets.SEEN: 1}


def test_with_nothing_to_look_for_no_image_is_read():
    data = replace(datasets.open("synthetic:2@1?size=32"), read=unreadable)
    assert datasets.unseen(data, frozenset()) is data


def test_frames_alone_are_enough_to_know_images():
    data = datasets.open("synthetic:3@1?size=32")
    quicker = replace(data, read=unreadable, frame=lambda name: data.read(name).frame)
    assert [*quicker.fingerprints()] == [*data.fingerprints()] == [datasets.fingerprint(sample) for sample in data]


def test_a_sample_that_is_kept_is_read_once_and_cannot_be_changed():
    data = datasets.open("synthetic:3@1?size=32")
    asked: list[str] = []

    def read(name: str) -> datasets.Sample:
        asked.append(name)
        return data.read(name)

    kept = replace(data, read=read).kept()
    for sample in (*kept, *kept[1:], kept[0]):
        assert np.array_equal(sample.image, data.read(sample.name).image)
    assert sorted(asked) == sorted(data.names)
    with pytest.raises(ValueError, match="read-only"):
        kept[0].image[0] = 1


def test_what_does_not_fit_is_read_again(monkeypatch: pytest.MonkeyPatch):
    data = datasets.open("synthetic:3@1?size=32")
    one = sum(array.nbytes for array in (data[0].image, *data[0].labels.values()))
    monkeypatch.setattr("distill.datasets.sample.KEPT_BYTES", one)
    kept = data.kept()
    assert kept[0] is kept[0]
    assert kept[1] is not kept[1]
