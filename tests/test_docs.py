"""What is written down is what the code does: the generated tables, the schema, and the examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import graphql
import msgspec
import pytest

from api import reference
from api.graphql.schema import make_schema
from attribution.dimensions import Dimension
from attribution.measures import Measure
from budgets.file import read_file
from core.settings import Settings
from ingest.payloads import Cost, EventPayload
from ingest.rules import EventRules

SCHEMA = Path(reference.__file__).with_name("schema.graphql")
KINDS = ("fields", "args", "values")
"""Where graphql-core keeps what a type, or a field of it, is made of."""


def docs(name: str) -> str:
    return (reference.DOCS / name).read_text(encoding="utf-8")


def test_the_committed_tables_are_those_of_the_code():
    assert sorted(path.name for path in reference.outdated(reference.DOCS)) == []


def test_the_committed_schema_is_that_of_the_code():
    assert SCHEMA.read_text(encoding="utf-8") == make_schema().as_str() + "\n"


def test_everything_in_the_schema_is_described():
    schema = graphql.build_schema(make_schema().as_str())
    own = [(name, type_) for name, type_ in schema.type_map.items() if not name.startswith("__")]
    parts = [part for name, type_ in own for part in described(name, type_)]
    assert len(parts) > 400
    assert [path for path, description in parts if not description] == []


def described(path: str, thing: Any) -> Iterator[tuple[str, str | None]]:
    """The path and description of a part of the schema and of all that is in it."""
    yield path, thing.description
    for kind in KINDS:
        for name, part in getattr(thing, kind, {}).items():
            yield from described(f"{path}.{name}", part)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name):
    description = Settings.model_fields[name].description
    assert description
    (row,) = [line for line in docs("settings.md").splitlines() if line.startswith(f"| `APPORTION_{name.upper()}` |")]
    assert row.endswith(f"| {description} |")


def test_the_documented_names_are_those_of_the_schema():
    schema = graphql.build_schema(make_schema().as_str())
    rows = re.findall(r"^\| `(\w+)` \| `([A-Z0-9_]+)` \|", docs("dimensions-and-measures.md"), re.MULTILINE)
    fields, values = {field for field, _ in rows}, {value for _, value in rows}
    assert len(rows) == len(Dimension) + len(Measure)
    assert fields <= set(schema.type_map["CostRow"].fields)
    assert values == {*schema.type_map["Dimension"].values, *schema.type_map["Measure"].values}


def test_every_wire_field_is_documented():
    documented = re.findall(r"^\| `([\w.]+)` \|", docs("events.md"), re.MULTILINE)
    inside_cost = [f"cost.{name}" for name in Cost.__struct_fields__]
    at = EventPayload.__struct_fields__.index("cost") + 1
    assert documented == [*EventPayload.__struct_fields__[:at], *inside_cost, *EventPayload.__struct_fields__[at:]]


def test_the_example_event_is_accepted():
    (example,) = re.findall(r"```json\n(.*?)```", docs("events.md"), re.DOTALL)
    event = msgspec.json.decode(example, type=EventPayload)
    EventRules(Settings(_env_file=None)).check(event, event.start_time, require_measure=True)
    assert event.start_time == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert set(json.loads(example)) <= set(EventPayload.__struct_fields__)


@pytest.fixture
def copied_docs(tmp_path) -> Path:
    """Pages that are current, whatever those of the repository are."""
    for name in reference.PAGES:
        (tmp_path / name).write_text(reference.page(name, docs(name)), encoding="utf-8")
    return tmp_path


def test_the_check_names_an_outdated_page_and_leaves_it(copied_docs, capsys):
    page = copied_docs / "settings.md"
    changed = page.read_text(encoding="utf-8").replace("APPORTION_PORT", "APPORTION_HARBOUR")
    page.write_text(changed, encoding="utf-8")
    assert reference.main(["--check"], copied_docs) == 1
    assert capsys.readouterr().err == "docs/settings.md is outdated; run `make docs`\n"
    assert page.read_text(encoding="utf-8") == changed


def test_writing_restores_the_tables_and_keeps_the_text_around_them(copied_docs):
    page = copied_docs / "settings.md"
    retitled = page.read_text(encoding="utf-8").replace("# Settings", "# All settings")
    page.write_text(retitled.replace("APPORTION_PORT", "APPORTION_HARBOUR"), encoding="utf-8")
    assert reference.main([], copied_docs) == 0
    assert page.read_text(encoding="utf-8") == retitled
    assert reference.main(["--check"], copied_docs) == 0


@pytest.mark.parametrize(
    "text", ["", "<!-- generated: settings -->\n<!-- end -->\n<!-- generated: typo -->\n<!-- end -->"]
)
def test_a_page_without_a_place_for_its_table_is_refused(text):
    with pytest.raises(reference.MissingSection) as refusal:
        reference.page("settings.md", text)
    assert refusal.value.code == "MISSING_SECTION"
    assert str(refusal.value).startswith("settings.md and its tables disagree about: ")


def fenced(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", docs(name), re.DOTALL)


def test_the_file_of_budgets_is_one():
    (text,) = fenced("budgets.md", "yaml")
    assert [terms.name for terms in read_file(text)] == ["search", "power users", "slow answers"]


def test_the_questions_about_budgets_can_be_asked():
    schema = graphql.build_schema(make_schema().as_str())
    questions = fenced("budgets.md", "graphql")
    assert len(questions) == 4
    for question in questions:
        assert graphql.validate(schema, graphql.parse(question)) == []
