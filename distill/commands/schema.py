"""`python -m distill schema`: the JSON schema of a configuration, which editors complete and check keys by."""

import json
from pathlib import Path
from typing import Annotated

import typer

from distill import settings
from runtime.system.atomic import write_bytes


def schema(
    out: Annotated[Path | None, typer.Option(metavar="F.json", help="File for the schema. Default: print it.")] = None,
) -> int:
    """Write the JSON schema of a configuration, for editors."""
    text = json.dumps(settings.schema(), indent=2)
    if out:
        write_bytes(out, f"{text}\n".encode())
        print(f"{out}: begin a configuration with the line #:schema {out}")
    else:
        print(text)
    return 0
