"""The pictures of the documents: the drawn ones are up to date, and show the policies of the runtime."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools import pictures

FOLDER = Path(__file__).parents[2] / "docs/pictures"


@pytest.mark.parametrize(
    ("name", "content"), list(pictures.drawn()), ids=lambda value: value if str(value) == value else ""
)
def test_a_drawn_picture_is_up_to_date(name: str, content: bytes):
    assert (FOLDER / name).read_bytes() == content, "run: make pictures"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_is_xml_with_a_title_and_follows_the_readers_mode(path: Path):
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert "prefers-color-scheme: dark" in (root.findtext("{http://www.w3.org/2000/svg}style") or "")


def test_latest_drops_what_waits_and_delays_no_frame():
    run = pictures.course("latest")
    assert [time for _, time in run.submitted] == list(range(pictures.FRAMES))
    assert {frame for frame, _, _ in run.worked} | set(run.dropped) == set(range(pictures.FRAMES))
    assert run.dropped and not run.waits


def test_block_loses_no_frame_and_lets_submit_wait():
    run = pictures.course("block")
    assert [frame for frame, _, _ in run.worked] == list(range(pictures.FRAMES))
    assert run.waits and not run.dropped


def test_stop_ends_when_the_ring_is_full_and_works_on_what_is_in_it():
    run = pictures.course("stop")
    assert run.stopped_at is not None
    assert [frame for frame, _, _ in run.worked] == [frame for frame, _ in run.submitted]
    assert len(run.submitted) < pictures.FRAMES
