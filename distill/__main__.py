"""The command line: `python -m distill fit|evaluate|students`, installed as `edgescope-distill`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from runtime.commands import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0 done, 1 the work failed or a budget was missed, 2 a wrong call or input."""
    return command_line.run(_app, "distill", "distill", sys.argv[1:] if arguments is None else arguments)


def _app() -> Callable[..., Any]:
    from distill.commands.app import app

    return app


if __name__ == "__main__":
    sys.exit(main())
