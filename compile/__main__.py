"""The command line: `python -m compile`, installed as `edgescope-compile`.

The one place of this package where an exception becomes a line on standard error and an exit code.
"""

import sys
from collections.abc import Sequence

from runtime.errors import EdgescopeError, InputError, report
from runtime.extras import install


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 the work failed or a budget was missed, 2 the call or its input was wrong."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(arguments)
    except (Exception, KeyboardInterrupt) as error:
        return report(error, debug="--debug" in arguments)


def _run(arguments: list[str]) -> int:
    try:
        from typer.exceptions import TyperException

        from .commands import app
    except ModuleNotFoundError as error:
        msg = f"{error.name} is not installed; run: {install('distill')}"
        raise EdgescopeError(msg) from error
    try:
        return app(args=arguments, prog_name="python -m compile", standalone_mode=False) or 0
    except TyperException as error:
        msg = f"{error.format_message()} See python -m compile --help."
        raise InputError(msg) from error


if __name__ == "__main__":
    sys.exit(main())
