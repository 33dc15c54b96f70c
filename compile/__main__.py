"""The command line: `python -m compile`, installed as `edgescope-compile`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from runtime.commands import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0 done, 1 the work failed or a budget was missed, 2 a wrong call or input."""
    return command_line.run(_app, "compile", "compile", sys.argv[1:] if arguments is None else arguments)


def _app() -> Callable[..., Any]:
    from compile.commands.app import make_app

    return make_app()


if __name__ == "__main__":
    sys.exit(main())
