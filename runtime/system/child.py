"""A Python process of one's own that runs a part of this package, and talks in lines of JSON.

It is started as `python -c`, and not by multiprocessing, which would import the host's `__main__` again: a REPL, an
acquisition program or a notebook has none that could be. It gets this process's `sys.path` and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from multiprocessing.spawn import get_executable
from typing import IO, TYPE_CHECKING, Any, cast

from ..errors import InputError
from ..records import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The same package as here, from the same place, whatever the working folder has become.
START = """
import json, sys
from importlib.util import module_from_spec, spec_from_file_location
setup = json.loads(sys.stdin.buffer.readline())
sys.path[:] = setup["path"]
spec = spec_from_file_location(setup["package"], setup["file"])
sys.modules[spec.name] = package = module_from_spec(spec)
spec.loader.exec_module(package)
from importlib import import_module
import_module(setup["package"] + setup["main"]).main(setup)
"""

Message = dict[str, Any]
LONGEST_LINE = 1 << 20  # bytes; a message has a few hundred


def command(title: str) -> list[str]:
    """What starts it; the title is for `ps`. Its first line of input is `origin` and what else it is to know."""
    return [get_executable(), "-c", START, title]


def origin(main: str) -> Message:
    """Where the child finds this package, and which module's main() it runs: ".live.worker"."""
    root = __name__.partition(".")[0]
    path = [entry for entry in sys.path if isinstance(cast("object", entry), str)]
    return {"path": path, "package": root, "file": sys.modules[root].__file__, "main": main}


def messages(lines: IO[bytes]) -> Iterator[Message]:
    """What a child says, until its pipe ends; half a line, of a child that died meanwhile, is its end.

    InputError for a line that is no JSON object, or over LONGEST_LINE: what runs in the child may write to its pipe.
    """
    while (line := lines.readline(LONGEST_LINE)).endswith(b"\n"):
        try:
            message = parse_json(line.decode())
        except UnicodeDecodeError as error:
            msg = f"The line is no text: {line[:60]!r}."
            raise InputError(msg) from error
        if not isinstance(message, dict):
            msg = f"The line is no JSON object: {line[:60]!r}."
            raise InputError(msg)
        yield cast("Message", message)
    if len(line) == LONGEST_LINE:
        msg = f"The line is over {LONGEST_LINE} bytes."
        raise InputError(msg)


def quiet_output() -> Callable[[Message], None]:
    """In the child: keep the pipe for messages alone, and let what libraries print go to standard error.

    Returns what sends a message.
    """
    pipe = os.fdopen(os.dup(1), "wb")
    try:
        os.dup2(2, 1)
    except OSError:  # a host with a window may have no standard error
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def say(message: Message) -> None:
        try:
            pipe.write(json.dumps(message).encode() + b"\n")
            pipe.flush()
        except OSError:  # the host is gone
            os._exit(0)

    return say


def name_signal(code: int) -> str:
    """The signal that a process was ended by, from its negative exit code: "SIGKILL"."""
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
