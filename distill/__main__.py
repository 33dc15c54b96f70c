"""The command line: `python -m distill fit|evaluate|students`, installed as `edgescope-distill`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from runtime.commands import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0 done, 1 the work failed or a budget was missed, 2 a wrong call or input."""
    words = sys.argv[1:] if arguments is None else arguments
    return command_line.run(lambda: import_module("distill.commands.app").app, "distill", "distill", words)


if __name__ == "__main__":
    sys.exit(main())
