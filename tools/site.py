"""What the site (mkdocs.yml) changes of the checkout's texts: links that leave docs/, and lists in docstrings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from griffe import Extension

if TYPE_CHECKING:
    from griffe import Object
    from mkdocs.structure.pages import Page

LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<up>(?:\.\./)+)(?P<path>\w[\w./-]*)(?:#[\w-]+)?\)")
PARAMETER = re.compile(r"(?P<names>\w+(?:, \w+)*) : (?P<text>.*)")


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """A page, with the path in the place of a link to a file of the checkout: the site has no such page."""
    depth = page.file.src_uri.count("/")
    return LINK.sub(lambda link: _as_path(link) if link["up"].count("/") > depth else link[0], markdown)


def _as_path(link: re.Match[str]) -> str:
    text, path = link["text"], link["path"]
    return text if path.endswith(text.strip("`")) else f"{text} (`{path}`)"


class Lists(Extension):
    """Lines "name : text" of a docstring become a list; the lines that continue them are indented already."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Change the docstring of one module, class or function."""
        if obj.docstring:
            obj.docstring.value = as_list(obj.docstring.value)


def as_list(docstring: str) -> str:
    """A docstring in Markdown, each parameter with an entry of a list."""
    result: list[str] = []
    inside = False
    for line in docstring.splitlines():
        parameter = PARAMETER.fullmatch(line)
        if bool(parameter) != inside and not (inside and line.startswith(" ")):
            result.append("")  # a list begins or ends with an empty line
            inside = bool(parameter)
        if parameter:
            names = ", ".join(f"`{name}`" for name in parameter["names"].split(", "))
            result += [f"- {entry}" for entry in _split(f"{names}: {parameter['text']}")]
        else:
            result.append(line)
    return "\n".join(result)


def _split(entry: str) -> list[str]:
    """`one : text; other : text` on one line are two entries."""
    first, *others = re.split(r"; (?=\w+(?:, \w+)* : )", entry)
    return [first, *(re.sub(r"^([\w, ]+) : ", lambda match: f"`{match[1]}`: ", other) for other in others)]
