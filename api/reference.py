"""The reference tables of `docs/`, written from the code: `python -m api.reference`, or `--check` to only compare.

A table stands between the comments `<!-- generated: NAME -->` and `<!-- end -->`; people write the text around it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import graphql
import msgspec

from api.graphql.naming import camel
from api.graphql.schema import make_schema
from attribution.dimensions import Dimension
from attribution.measures import Measure
from core.errors import NotFound
from core.settings import Settings
from ingest.payloads import EventPayload

DOCS: Final = Path(__file__).parents[1] / "docs"

JsonSchema = dict[str, Any]

_SECTION: Final = re.compile(r"(?P<start><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
_TYPES: Final = {
    "string": "text",
    "integer": "whole number",
    "boolean": "true or false",
    "array": "JSON list",
    "object": "JSON object",
}
_FORMATS: Final = {"date-time": "RFC 3339 time", "path": "directory"}

_MEANINGS: Final = {
    "start_time": "When the operation began. Part of the event's identity: sent again with another time, it counts "
    "twice. APPORTION_MAX_EVENT_AGE_DAYS and APPORTION_MAX_EVENT_AHEAD_SECONDS bound it.",
    "event_id": "Your id, unique within the tenant; sending it again changes nothing. Without one, it is derived from "
    "the content, and two operations with the same content count once.",
    "version": "To correct an event, send it again with the same id and start_time and a higher version.",
    "parent_event_id": "The operation that caused this one.",
    "duration_ms": "How long the operation took, in milliseconds.",
    "time_to_first_token_ms": "How long until the first token, in milliseconds; at most `duration_ms`.",
    "cache_creation_1h_input_tokens": "The part of `cache_creation_input_tokens` that is kept for an hour.",
    "quantity": "How much was used, where it is not tokens; comes with `unit`. At most 9 decimals. Write it as a text "
    "to keep every digit.",
    "unit": "What the quantity counts, such as gpu_seconds: up to 64 lower-case letters, digits and underscores.",
    "cost": "What it cost, where you know it already. Without it, the price book rates the usage.",
    "cost.amount": "A decimal number as a text, with at most 12 decimals, between -1,000,000 and 1,000,000.",
    "cost.currency": "Must be APPORTION_CURRENCY.",
    "kind": "usage, one operation; or charge, a cost that no operation caused.",
    "charge_category": "What a charge is for, in FOCUS's words; a charge needs one.",
    "charge_description": "What a charge is for, in words.",
    "tags": "Anything else to group and filter by. APPORTION_MAX_TAGS bounds their number.",
}
"""What the wire fields mean that are no dimension's column and no measure's name, or that have rules of their own."""


class MissingSection(NotFound):
    """A page of the documentation lacks the place for one of its tables, or has one for an unknown table."""

    code = "MISSING_SECTION"

    def __init__(self, page: str, names: Iterable[str]) -> None:
        super().__init__(f"{page} and its tables disagree about: {', '.join(sorted(names))}")


def settings_table() -> str:
    """Every setting, in the order of the code."""
    properties = Settings.model_json_schema()["properties"]
    rows = (
        (_code(f"APPORTION_{name.upper()}"), _default(field), _type(field), _limit(field), field["description"])
        for name, field in properties.items()
    )
    return _table(("Environment variable", "Default", "Type", "Limit", "Meaning"), rows)


def dimensions_table() -> str:
    """Every dimension: its names in GraphQL, OpenTelemetry and FOCUS."""
    specs = ((dimension.name, dimension.spec) for dimension in Dimension)
    rows = (
        (_code(camel(spec.name)), _code(value), _code(spec.otel), _code(spec.focus), spec.description)
        for value, spec in specs
    )
    return _table(("Field", "Enum value", "OpenTelemetry", "FOCUS 1.2", "Meaning"), rows)


def measures_table() -> str:
    """Every measure, with its type as clients see it."""
    schema = graphql.build_schema(make_schema().as_str())
    totals = graphql.assert_object_type(schema.type_map["CostTotals"]).fields
    specs = ((measure.name, measure.spec, camel(measure.spec.name)) for measure in Measure)
    rows = (
        (_code(field), _code(value), _code(totals[field].type), "yes" if spec.additive else "no", spec.description)
        for value, spec, field in specs
    )
    return _table(("Field", "Enum value", "Type", "Additive", "Meaning"), rows)


def event_table() -> str:
    """Every field of an event on the wire."""
    definitions = msgspec.json.schema(EventPayload)["$defs"]
    rows = (
        (_code(name), _type(field), _limit(field), _default(field) or "required", meaning(name))
        for name, field in _wire_fields(definitions, "EventPayload")
    )
    return _table(("Field", "Type", "Limit", "Default", "Meaning"), rows)


def meaning(field: str) -> str:
    """What a wire field means: as said here, else as the dimension of its column or the measure of its name says."""
    by_measure = {measure.spec.name: measure.spec.description for measure in Measure}
    by_column = {dimension.spec.sql.removeprefix("e."): dimension.spec.description for dimension in Dimension}
    return (by_measure | by_column | _MEANINGS)[field]


def _wire_fields(definitions: JsonSchema, struct: str, prefix: str = "") -> Iterator[tuple[str, JsonSchema]]:
    """The fields of a struct, each followed by those of the struct in it."""
    schema = definitions[struct]
    for name, field in schema["properties"].items():
        yield prefix + name, field
        for choice in _choices(field):
            if "$ref" in choice:
                yield from _wire_fields(definitions, choice["$ref"].rpartition("/")[2], f"{prefix}{name}.")


def _choices(field: JsonSchema) -> list[JsonSchema]:
    """What a value may be, apart from null, which is the same as leaving it out."""
    return [choice for choice in field.get("anyOf", [field]) if choice.get("type") != "null"]


def _type(field: JsonSchema) -> str:
    return " or ".join(dict.fromkeys(map(_simple_type, _choices(field))))


def _simple_type(choice: JsonSchema) -> str:
    if "enum" in choice:
        return "one of"
    name: str = choice.get("type", "object")
    return _FORMATS.get(choice.get("format", ""), _TYPES.get(name, name))


def _limit(field: JsonSchema) -> str:
    return "; ".join(filter(None, map(_simple_limit, _choices(field))))


def _simple_limit(choice: JsonSchema) -> str:
    if "enum" in choice:
        return ", ".join(map(_code, choice["enum"]))
    limits = (
        f"more than {choice['exclusiveMinimum']:,}" if "exclusiveMinimum" in choice else "",
        _span(choice.get("minimum"), choice.get("maximum")),
        _span(choice.get("minLength"), choice.get("maxLength"), " characters"),
        _code(choice.get("pattern", "")),
        _inner_limit("keys", choice.get("propertyNames")),
        _inner_limit("values", choice.get("additionalProperties")),
    )
    return ", ".join(filter(None, limits))


def _inner_limit(what: str, inner: JsonSchema | None) -> str:
    limit = _limit(inner) if inner else ""
    return limit and f"{what} {limit}"


def _span(least: int | None, most: int | None, unit: str = "") -> str:
    """The bounds, both inclusive."""
    if least is not None and most is not None:
        return f"{least:,} to {most:,}{unit}"
    if least is not None:
        return f"at least {least:,}{unit}"
    return "" if most is None else f"at most {most:,}{unit}"


def _default(field: JsonSchema) -> str:
    if "default" not in field:
        return ""
    default = field["default"]
    return "none" if default in (None, "") else _code(msgspec.json.encode(default).decode().strip('"'))


def _code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


PAGES: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "settings.md": {"settings": settings_table},
    "dimensions-and-measures.md": {"dimensions": dimensions_table, "measures": measures_table},
    "events.md": {"event": event_table},
}


def page(name: str, text: str) -> str:
    """That page with its tables as the code has them now. Raises MissingSection."""
    tables = PAGES[name]
    disagreement = {found["name"] for found in _SECTION.finditer(text)} ^ set(tables)
    if disagreement:
        raise MissingSection(name, disagreement)
    return _SECTION.sub(lambda found: f"{found['start']}\n{tables[found['name']]()}\n{found['end']}", text)


def outdated(docs: Path) -> dict[Path, str]:
    """The pages that differ from the code, with the text that they should have."""
    texts = {docs / name: (docs / name).read_text(encoding="utf-8") for name in PAGES}
    current = {path: page(path.name, text) for path, text in texts.items()}
    return {path: text for path, text in current.items() if text != texts[path]}


def main(arguments: list[str] | None = None, docs: Path = DOCS) -> int:
    """Write the pages, or with `--check` say which are outdated: then the exit code is 1."""
    parser = argparse.ArgumentParser(prog="python -m api.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page is outdated")
    is_check = parser.parse_args(arguments).check
    pages = outdated(docs)
    for path, text in pages.items():
        if is_check:
            sys.stderr.write(f"docs/{path.name} is outdated; run `make docs`\n")
        else:
            path.write_text(text, encoding="utf-8")
    return int(is_check and bool(pages))


if __name__ == "__main__":
    raise SystemExit(main())
