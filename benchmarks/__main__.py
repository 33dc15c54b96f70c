"""The command line: `python -m benchmarks run|compare`, installed as `edgescope-bench`.

The one place of this package where an exception becomes a line on standard error and an exit code.
"""

import sys
from collections.abc import Sequence

from runtime.errors import EdgescopeError, InputError, report
from runtime.extras import install

SEVERAL_VALUES = frozenset({"--artifact", "--images"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 a measurement failed, 2 the call or its input was wrong."""
    arguments = spread(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(arguments)
    except (Exception, KeyboardInterrupt) as error:
        return report(error, debug="--debug" in arguments)


def _run(arguments: list[str]) -> int:
    try:
        from typer.exceptions import TyperException

        from .commands import app
    except ModuleNotFoundError as error:
        msg = f"{error.name} is not installed; run: {install('bench')}"
        raise EdgescopeError(msg) from error
    try:
        return app(args=arguments, prog_name="python -m benchmarks", standalone_mode=False) or 0
    except TyperException as error:
        msg = f"{error.format_message()} See python -m benchmarks --help."
        raise InputError(msg) from error


def spread(arguments: Sequence[str]) -> list[str]:
    """`--images a b` as `--images a --images b`: what a shell makes of a pattern is taken as it is."""
    result: list[str] = []
    option = None
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in SEVERAL_VALUES else None
        elif option and result[-1] != option:
            result.append(option)
        result.append(argument)
    return result


if __name__ == "__main__":
    sys.exit(main())
