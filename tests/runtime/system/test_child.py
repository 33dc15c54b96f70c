"""What is heard of a child process, whatever it says."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO

import pytest

from runtime.backends.tensorrt import builder
from runtime.errors import InputError
from runtime.system import child


def test_messages_are_heard_in_order_and_half_a_line_is_the_end():
    assert list(child.messages(BytesIO(b'{"a": 1}\n{"b": [2]}\n{"c": '))) == [{"a": 1}, {"b": [2]}]


@pytest.mark.parametrize(
    "line",
    [b"3\n", b"[]\n", b"\n", b"\xff\n", b'{"a": NaN}\n', b'{"a": 1\n', b"[" * 100_000 + b"\n", b"x" * (1 << 21)],
    ids=["number", "list", "empty", "no text", "nan", "half", "deep", "long"],
)
def test_what_is_no_message_is_refused_after_those_before_it(line: bytes):
    heard = child.messages(BytesIO(b'{"a": 1}\n' + line))
    assert next(heard) == {"a": 1}
    with pytest.raises(InputError):
        next(heard)


@pytest.mark.parametrize("text", ["{", "3\\n", "{}\\n3\\n"])
def test_the_end_of_an_engine_s_builder_is_heard_after_nonsense(text: str):
    code = f"import sys, time; sys.stdout.write('{text}'); sys.stdout.flush(); '{text}'[-1:] == '{{' or time.sleep(1e6)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        heard = builder._listen(process)
        while heard.get(timeout=30) is not None:
            pass
        process.wait(30)
