"""completion: print what makes a shell complete the commands and options of `edgescope-run`.

bash: put `eval "$(edgescope-run completion bash)"` into ~/.bashrc, zsh: the same with zsh into ~/.zshrc,
fish: `edgescope-run completion fish > ~/.config/fish/completions/edgescope-run.fish`.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from .command_line import summary

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

NAME = "completion"
EXAMPLE = "completion bash"
SCRIPT = "edgescope-run"
BASH = """\
_edgescope_run() {{
    local words= word="${{COMP_WORDS[COMP_CWORD]}}" command="${{COMP_WORDS[1]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
    case "$COMP_CWORD $word" in
        1\\ *) words="{commands} --help --version" ;;
        *\\ -*) case "$command" in
{options}
        esac ;;
        *) case "$command $before" in
{choices}
        esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _edgescope_run {script}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("shell", choices=tuple(SHELLS), help="whose words to print")


def run(args: argparse.Namespace) -> int:
    """Print the shell's words; exit code 0."""
    print("\n".join(SHELLS[args.shell](args.parsers)))
    return 0


def _bash(parsers: Mapping[str, argparse.ArgumentParser]) -> Iterator[str]:
    choices: list[str] = []
    options: list[str] = []
    for name, parser in parsers.items():
        known = _options(parser)
        options.append(
            f'            {name}) words="{" ".join(word for one in known for word in one.option_strings)}" ;;'
        )
        for one in known:
            if one.choices:
                pattern = "|".join(f'"{name} {word}"' for word in one.option_strings)
                choices.append(f'            {pattern}) words="{_values(one)}" ;;')
        for one in _positional(parser):
            choices.append(f'            "{name} {name}") words="{_values(one)}" ;;')
    yield BASH.format(commands=" ".join(parsers), choices="\n".join(choices), options="\n".join(options), script=SCRIPT)


def _zsh(parsers: Mapping[str, argparse.ArgumentParser]) -> Iterator[str]:
    yield "autoload -Uz compinit bashcompinit && compinit && bashcompinit"
    yield from _bash(parsers)


def _fish(parsers: Mapping[str, argparse.ArgumentParser]) -> Iterator[str]:
    yield f"complete -c {SCRIPT} -n __fish_use_subcommand -l help -l version"
    for name, parser in parsers.items():
        yield f"complete -c {SCRIPT} -n __fish_use_subcommand -a {name} -d {shlex.quote(summary(parser.description))}"
        within = f"complete -c {SCRIPT} -n '__fish_seen_subcommand_from {name}'"
        for one in _options(parser):
            words = " ".join(
                f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}" for word in one.option_strings
            )
            value = "" if one.nargs == 0 else " -r"
            if one.choices:
                value = f" -xa {shlex.quote(_values(one))}"
            yield f"{within} {words}{value} -d {shlex.quote(one.help or '')}"
        for one in _positional(parser):
            yield f"{within} -xa {shlex.quote(_values(one))}"


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.option_strings]


def _positional(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Those of a few words; others are files."""
    return [action for action in parser._actions if action.choices and not action.option_strings]


def _values(action: argparse.Action) -> str:
    return " ".join(map(str, action.choices or ()))


SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
