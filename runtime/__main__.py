"""The command line: `python -m runtime COMMAND`, installed as `edgescope-run`; the commands are in commands/.

The one place of this package where an exception becomes a line on standard error and an exit code.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .commands import completion, doctor, info, predict, prewarm, segment, serve, verify
from .commands.command_line import summary, version_line
from .commands.output import close_streams, open_streams
from .errors import UNREAD, InputError, did_you_mean, report

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (predict, segment, serve, verify, prewarm, info, doctor, completion)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 the work failed, 2 the call or its input was wrong."""
    arguments = sys.argv[1:] if argv is None else argv
    open_streams()
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        args = make_parser().parse_args(arguments)
        code = args.run(args)
    except (Exception, KeyboardInterrupt) as error:
        code = report(error, debug="--debug" in arguments)
    return code if close_streams() else UNREAD


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are reported like every other error, in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the call, with the command that is nearest to one that does not exist."""
        names = [command.NAME for command in COMMANDS]
        if wrong := re.match(r"argument COMMAND: invalid choice: '([^']*)'", message):
            message = f"There is no command {wrong[1]!r}; there are {', '.join(names)}.{did_you_mean(wrong[1], names)}"
            msg = f"{message} See {self.prog} --help."
        else:
            msg = f"{message}; see {self.prog} --help"
        raise InputError(msg)


def make_parser() -> Parser:
    parser = Parser(prog="python -m runtime", description="Run edgescope artefacts.")
    parser.add_argument("--version", action="version", version=version_line("runtime"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(
            command.NAME,
            help=summary(command.__doc__),
            description=command.__doc__,
            epilog=f"Example:\n  python -m runtime {command.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.add_argument("--json", type=Path, metavar="F", help="also write the printed result as JSON")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(run=command.run, parsers=commands.choices)
    return parser


if __name__ == "__main__":
    sys.exit(main())
