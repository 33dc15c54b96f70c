"""What a camera delivers, read from words."""

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.inputs.stream import CELL, CameraStream, draw_frame
from runtime.errors import InputError


@pytest.mark.parametrize(
    ("text", "stream"),
    [
        ("2048x1024x16@20", CameraStream(2048, 1024, 20.0)),
        ("2048x1024@20", CameraStream(2048, 1024, 20.0)),
        ("64x64x8@0.5", CameraStream(64, 64, 0.5, bits=8)),
    ],
)
def test_a_camera_is_read_from_text(text: str, stream: CameraStream):
    assert CameraStream.parse(text) == stream


@pytest.mark.parametrize(
    "text", ["", "2048", "2048x2048", "0x10@3", "10x10@0", "10x10x12@3", "10x10@-1", "axb@c", "9x9x8@0", "0x5x8@1"]
)
def test_what_is_no_camera_is_refused(text: str):
    with pytest.raises(InputError, match=r"is no camera.*HEIGHTxWIDTHxBITS@RATE"):
        CameraStream.parse(text)


def test_a_frame_takes_its_bits():
    assert CameraStream(4, 5, 1.0, bits=8).frame_bytes == 20
    assert CameraStream(4, 5, 1.0).frame_bytes == 40


@pytest.mark.parametrize(("bits", "threshold"), [(8, 90), (16, 450)])
def test_a_drawn_frame_has_an_object_in_every_cell(bits: int, threshold: int):
    frame = draw_frame((4 * CELL, 5 * CELL), bits, seed=0)
    assert frame.dtype.itemsize * 8 == bits
    assert ndimage.label(ndimage.uniform_filter(frame.astype(float), 5) > threshold)[1] == 20
    assert not np.array_equal(frame, draw_frame(frame.shape, bits, seed=1))
