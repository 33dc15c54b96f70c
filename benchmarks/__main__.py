"""The command line: `python -m benchmarks COMMAND`, installed as `edgescope-bench`; the commands are in commands.py."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from runtime.commands import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

SEVERAL_VALUES = frozenset({"--artifact", "--images"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0 done, 1 a measurement failed, 2 the call or its input was wrong."""
    words = spread(sys.argv[1:] if arguments is None else arguments)
    return command_line.run(lambda: import_module("benchmarks.commands.app").app, "benchmarks", "bench", words)


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
