"""To whom a call belongs: what its attributes say, and what stands in where nobody said anything."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from attribution.event import UNATTRIBUTED
from ingest.otlp.encoding import Attributes, Span
from ingest.otlp.mapping import AttributeMapping, Fields, tag_key
from ingest.otlp.values import filled, label, text


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """What holds for a whole request when its spans do not say otherwise, from headers or from the key."""

    tenant_id: str = ""
    team: str = ""
    feature: str = ""
    environment: str = ""


def said(attributes: Attributes, mapping: AttributeMapping) -> dict[str, Any]:
    """The payload fields and the tags that these attributes tell."""
    return {**_fields(attributes, mapping.inherited), "tags": _tags(attributes, mapping)}


def with_agent_as_feature(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as a payload has them: the agent stands in for a feature that nobody named."""
    if "agent" not in fields:
        return fields
    return {"feature": fields["agent"]} | {field: value for field, value in fields.items() if field != "agent"}


def _fields(attributes: Attributes, fields: Fields) -> dict[str, Any]:
    return {field: told for field, value in filled(attributes, fields).items() if (told := text(value))}


def _tags(attributes: Attributes, mapping: AttributeMapping) -> dict[str, str]:
    tags: dict[str, str] = {}
    for name, value in attributes.items():
        key = tag_key(mapping, name)
        if key is not None and (tag := label(value)):
            tags.setdefault(key, tag)
    return tags


class Implied:
    """What stands in where nobody said anything: the resource, then the request's defaults."""

    def __init__(self, defaults: Attribution, mapping: AttributeMapping) -> None:
        given = {field: value for field, value in asdict(defaults).items() if value}
        self._defaults = {"tenant_id": UNATTRIBUTED, **given}
        self._mapping = mapping
        self._of_resource: dict[int, dict[str, Any]] = {}

    def of(self, span: Span) -> dict[str, Any]:
        """The fields and tags implied for the span. One trace is one user action, so it names the request."""
        resource = span.resource
        implied = self._of_resource.get(id(resource))
        if implied is None:
            fields = _fields(resource, self._mapping.resource)
            implied = {**self._defaults, **fields, "tags": _tags(resource, self._mapping)}
            self._of_resource[id(resource)] = implied
        return {**implied, "request_id": span.trace_id}
