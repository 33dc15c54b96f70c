"""The generated reference, and what the documents say of it: their links, their commands, and the commands' options."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tools import reference

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/reference").glob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)|!\[[^\]]*\]\((?P<image>[^)\s]+)\)")
COMMAND = re.compile(r"^\s*(?:\$ )?python -m (?P<line>(?:distill|compile|runtime|benchmarks)\b.*)$")
HISTORY = ("CHANGELOG.md",)  # tells of commands as they were


@cache
def helps() -> dict[str, str]:
    return reference.helps()


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub and mkdocs make them."""
    prose = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def commands(document: Path) -> Iterator[list[str]]:
    """The words of each `python -m` line, lines that end with a backslash joined, comments left out."""
    joined = document.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in joined.splitlines():
        if found := COMMAND.match(line):
            yield re.split(r" {2,}#| #", found["line"])[0].split()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path):
    for found in LINK.finditer(document.read_text(encoding="utf-8")):
        target, _, anchor = (found["target"] or found["image"]).partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        place = (document.parent / target).resolve() if target else document
        generated = place.name in ("commands.md", "configuration.md")
        assert generated or place.exists(), f"{document.name}: {target} does not exist"
        if anchor and place.suffix == ".md" and not generated:
            assert anchor in anchors(place), f"{document.name}: {place.name} has no heading #{anchor}"


@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if path.name not in HISTORY], ids=lambda path: path.name
)
def test_every_command_and_option_exists(document: Path):
    for package, *words in commands(document):
        name = package if package == "compile" else f"{package} {words[0]}"
        assert name in helps(), f"{document.name}: there is no command {name}"
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", helps()[name] + " --debug --help"), (
                f"{document.name}: {name} has no {option}"
            )


def test_a_made_up_option_would_be_noticed():
    assert "--until" in helps()["benchmarks run"]
    assert "--made-up" not in helps()["benchmarks run"]


def test_the_commands_page_has_every_command():
    page = reference.commands_page()
    for name in ("distill fit", "compile", "runtime predict", "benchmarks choose"):
        assert f"\n## {name}\n" in page


def test_the_configuration_page_has_every_key_with_its_default():
    page = reference.configuration_page()
    assert "| `crop` | integer | `256` |" in page
    assert page.count("\n## ") >= 9


def test_parameters_of_a_docstring_become_a_list():
    site = pytest.importorskip("tools.site", reason="griffe is not installed; it comes with the development extra")
    text = site.as_list("What it does.\n\nframe : (H, W)\n    in counts\none : 1; other : 2\nInputError for nonsense.")
    assert text.splitlines() == [
        "What it does.",
        "",
        "",
        "- `frame`: (H, W)",
        "    in counts",
        "- `one`: 1",
        "- `other`: 2",
        "",
        "InputError for nonsense.",
    ]
