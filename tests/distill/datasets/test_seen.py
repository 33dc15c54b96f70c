"""Images that a student was trained on are left out by their content, and counted."""

from dataclasses import replace

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
