"""The edge of a command line: where an exception becomes one line on standard error and an exit code.

`distill`, `compile` and `benchmarks` speak to people through Typer, which this file never imports: it knows their
application as something to call, and a wrong call by the message that the exception formats.
"""

from __future__ import annotations

import os
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import UNREAD, EdgescopeError, InputError, report
from ..system import cache_folder
from ..system.extras import install
from .output import close_streams, open_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


DEBUG = "--debug"
EPILOG = "--debug, anywhere: show a traceback with an error."
VERSION = "--version"
HELP = ("-h", "--help")
SCRIPT = "edgescope-"  # how the names of the installed scripts begin


def epilog(example: str) -> str:
    """The end of a command's --help: an example to copy, in a line of its own, and EPILOG."""
    return f"\b\nExample:\n  {example}\n\n{EPILOG}"


def version_line(package: str) -> str:
    """What --version prints."""
    return f"edgescope {__version__} ({package})"


def summary(description: str | None) -> str:
    """What a command does, by the first line of its description, "NAME: what it does"."""
    return (description or "").partition("\n")[0].partition(": ")[2]


def run(load: Callable[[], Callable[..., Any]], package: str, extra: str, arguments: Sequence[str]) -> int:
    """Run a package's command and return its exit code: 0 done, 1 the work failed, 2 the call or its input was wrong.

    load : imports and returns the Typer application; a library that it misses is named with the extra that brings it
    arguments : --debug is taken out of them here, wherever it stands, and no command declares it; see EPILOG
    """
    open_streams()
    # Matplotlib keeps what it knows about fonts in the user's home, unless it is told another place.
    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder.locate("matplotlib")))
    own = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    rest = [word for word in own if word != DEBUG] + list(arguments[len(own) :])
    if rest == [VERSION]:
        print(version_line(package))
        return 0
    try:
        code = _call(load, package, extra, rest)
    except SystemExit as error:  # click's own answer to a closed pipe
        code = UNREAD if isinstance(error.__context__, BrokenPipeError) else int(error.code or 0)
    except (Exception, KeyboardInterrupt) as error:
        code = report(_cause(error), debug=DEBUG in own)
    return code if close_streams() else UNREAD


def program_name(package: str) -> str:
    """What the user has called: an installed script such as edgescope-bench, or a module."""
    called = PurePath(sys.argv[0]).name.removesuffix(".exe")
    return called if called.startswith(SCRIPT) else f"python -m {package}"


def can_complete() -> bool:
    """Whether a shell may complete the options of the program: of a script by its name, never of a module."""
    return program_name("").startswith(SCRIPT)


def _cause(error: BaseException) -> BaseException:
    """The interruption behind what a library made of it, else the error."""
    behind: BaseException | None = None if isinstance(error, EdgescopeError) else error
    while behind is not None and not isinstance(behind, (KeyboardInterrupt, BrokenPipeError)):
        behind = behind.__cause__
    return behind or error


def _call(load: Callable[[], Callable[..., Any]], package: str, extra: str, arguments: Sequence[str]) -> int:
    program = program_name(package)
    try:
        call = load()
        names = list(HELP)
        return call(args=list(arguments), prog_name=program, standalone_mode=False, help_option_names=names) or 0
    except ModuleNotFoundError as error:
        msg = f"{error.name} is not installed; run: {install(extra)}"
        raise EdgescopeError(msg) from error
    except Exception as error:
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        said = describe()
        msg = f"{said}{'' if said.endswith(('.', '?')) else '.'} See {program} --help."
        raise InputError(msg) from error
