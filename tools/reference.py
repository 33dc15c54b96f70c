"""The reference pages of the site, made of the program itself: every command's help, and every configuration key.

`python -m tools.reference DIR` writes commands.md and configuration.md into DIR.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from benchmarks.commands.app import app as benchmarks_app
from compile.commands.app import make_app
from distill import settings
from distill.commands.app import app as distill_app
from runtime.__main__ import make_parser
from runtime.system.atomic import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100  # of a help text, in characters


def helps() -> dict[str, str]:
    """The help text of every command, by "distill fit", and of `compile`, which has one command."""
    result: dict[str, str] = {}
    for package, app in (("distill", distill_app), ("compile", make_app()), ("benchmarks", benchmarks_app)):
        result.update(_app_helps(package, typer.main.get_command(app)))
    result.update(_parser_helps())
    return result


def _app_helps(package: str, command: Any) -> Iterator[tuple[str, str]]:
    if isinstance(command, TyperGroup):
        for name, sub in command.commands.items():
            yield f"{package} {name}", _help(f"python -m {package} {name}", sub)
    else:
        yield package, _help(f"python -m {package}", command)


def _help(usage: str, command: Any) -> str:
    return command.get_help(typer.Context(command, info_name=usage, max_content_width=WIDTH, terminal_width=WIDTH))


def _parser_helps() -> Iterator[tuple[str, str]]:
    for action in make_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, parser in action.choices.items():
                yield f"runtime {name}", parser.format_help()


def commands_page() -> str:
    """Every command with its help text, in Markdown."""
    sections = [f"## {name}\n\n```text\n{text.strip()}\n```\n" for name, text in helps().items()]
    return "# Commands\n\nThe help text of every command.\n\n" + "\n".join(sections)


def configuration_page() -> str:
    """Every key of a training configuration, one table for each section, in Markdown."""
    schema = settings.schema()
    parts = ["# Configuration", "", "The keys of a training configuration (TOML), with their types and defaults.", ""]
    for name, entry in schema["properties"].items():
        if "$ref" not in entry:
            parts += [f"## {name}", "", f"{entry.get('description', '')} Default: `{entry.get('default')}`.", ""]
            continue
        parts += _table(name, entry, schema["$defs"])
    return "\n".join(parts)


def _table(name: str, entry: dict[str, Any], sections: dict[str, Any]) -> list[str]:
    """The lines of a section's table, and of the sections inside it."""
    properties: dict[str, dict[str, Any]] = sections[entry["$ref"].rpartition("/")[2]].get("properties", {})
    inner = {key: value for key, value in properties.items() if "$ref" in value}
    rows = [_row(key, value) for key, value in properties.items() if key not in inner]
    lines = [f"## [{name}]", "", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    for key, value in inner.items():
        lines += _table(f"{name}.{key}", value, sections)
    return lines


def _row(key: str, entry: dict[str, Any]) -> str:
    default = f"`{entry['default']}`" if "default" in entry else ""
    meaning = " ".join(entry.get("description", "").split()).replace("|", "\\|")
    return f"| `{key}` | {_type(entry)} | {default} | {meaning} |"


def _type(entry: dict[str, Any]) -> str:
    if "anyOf" in entry:
        return " or ".join(_type(one) for one in entry["anyOf"])
    if "enum" in entry:
        return " or ".join(f"`{value}`" for value in entry["enum"])
    if "const" in entry:
        return f"`{entry['const']}`"
    if entry.get("type") == "array":
        return f"list of {_type(entry['items'])}" if isinstance(entry.get("items"), dict) else "list"
    return str(entry.get("type", "table"))


def main() -> int:
    """Write the pages into the folder that is given."""
    parser = argparse.ArgumentParser(description="Write the generated reference pages.")
    parser.add_argument("folder", type=Path, metavar="DIR")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("commands.md", commands_page()), ("configuration.md", configuration_page())):
        write_bytes(folder / name, text.encode())
        print(folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
