"""The JSON Schema of a report, made of its dataclasses.

`python -m benchmarks.report.schema > benchmarks/report/report.schema.json` writes it anew.

For those who read reports with other tools. Our own reader checks the same and more: samples, digest, finite numbers.
"""

import dataclasses
import json
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from benchmarks.report.report import SCHEMA_VERSION, Report
from runtime.records import Record

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}

Json = dict[str, Any]


def report_schema() -> Json:
    """The schema of a report of this version."""
    definitions: dict[str, Json] = {}
    top = _record(Report, definitions)
    top["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    top["properties"]["digest"] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    title = f"edgescope benchmark report, version {SCHEMA_VERSION}"
    return {"$schema": DIALECT, "title": title, **top, "$defs": dict(sorted(definitions.items()))}


def text() -> str:
    """The file's text."""
    return json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"


def _record(kind: type[Record], definitions: dict[str, Json]) -> Json:
    hints = get_type_hints(kind)
    fields = dataclasses.fields(cast("Any", kind))
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": {field.name: _of(hints[field.name], definitions) for field in fields},
        "required": [field.name for field in fields if not field.metadata.get("optional")],
        "additionalProperties": False,
    }


def _of(kind: Any, definitions: dict[str, Json]) -> Json:
    if kind is Any:
        return {}
    if isinstance(kind, type) and issubclass(kind, Record):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}  # taken, should it hold itself
            definitions[kind.__name__] = _record(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    made = MAKERS.get(get_origin(kind))
    return made(kind, definitions) if made else {"type": SCALARS[kind]}


def _tuple(kind: Any, definitions: dict[str, Json]) -> Json:
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        return {"type": "array", "items": _of(kinds[0], definitions)}
    items = [_of(item, definitions) for item in kinds]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _mapping(kind: Any, definitions: dict[str, Json]) -> Json:
    return {"type": "object", "additionalProperties": _of(get_args(kind)[1], definitions)}


def _optional(kind: Any, definitions: dict[str, Json]) -> Json:
    inner = next(item for item in get_args(kind) if item is not types.NoneType)
    return {"anyOf": [_of(inner, definitions), {"type": "null"}]}


MAKERS: dict[Any, Callable[[Any, dict[str, Json]], Json]] = {
    tuple: _tuple,
    Mapping: _mapping,
    Union: _optional,
    types.UnionType: _optional,
}

if __name__ == "__main__":
    sys.stdout.write(text())
