"""The edge of a command line: where an exception becomes one line on standard error and an exit code.

`distill`, `compile` and `benchmarks` speak to people through Typer, which this file never imports: it knows their
application as something to call, and a wrong call by the message that the exception formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import EdgescopeError, InputError, report
from ..system.extras import install
from .output import open_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


DEBUG = "--debug"
EPILOG = "--debug, anywhere: show a traceback with an error."


def run(load: Callable[[], Callable[..., Any]], package: str, extra: str, arguments: Sequence[str]) -> int:
    """Run a package's command and return its exit code: 0 done, 1 the work failed, 2 the call or its input was wrong.

    load : imports and returns the Typer application; a library that it misses is named with the extra that brings it
    arguments : --debug is taken out of them here, wherever it stands, and no command declares it; see EPILOG
    """
    open_streams()
    own = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    rest = [word for word in own if word != DEBUG] + list(arguments[len(own) :])
    try:
        return _call(load, package, extra, rest)
    except (Exception, KeyboardInterrupt) as error:
        return report(error, debug=DEBUG in own)


def _call(load: Callable[[], Callable[..., Any]], package: str, extra: str, arguments: Sequence[str]) -> int:
    program = f"python -m {package}"
    try:
        return load()(args=list(arguments), prog_name=program, standalone_mode=False) or 0
    except ModuleNotFoundError as error:
        msg = f"{error.name} is not installed; run: {install(extra)}"
        raise EdgescopeError(msg) from error
    except Exception as error:
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        msg = f"{describe()} See {program} --help."
        raise InputError(msg) from error
