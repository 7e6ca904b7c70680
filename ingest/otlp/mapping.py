"""The table as a value: the default, and what a tenant's own is derived from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final, Self

from ingest.otlp.content import SECRETS, is_content
from ingest.otlp.table import BAGS, INHERITED, RESOURCE, SIGNALS, TAGS, TEXTS, TOKENS, Names


@dataclass(frozen=True, eq=False)
class Fields:
    """Fields with the names that fill them. Asking which fields a span names costs one look-up per attribute."""

    names: Mapping[str, Names]

    @cached_property
    def _fields_of(self) -> dict[str, tuple[str, ...]]:
        fields: dict[str, tuple[str, ...]] = {}
        for field, names in self.names.items():
            for name in names:
                fields[name] = (*fields.get(name, ()), field)
        return fields

    def named_by(self, attributes: Iterable[str]) -> set[str]:
        """The fields that at least one of these attributes fills."""
        fields_of = self._fields_of
        return {field for name in attributes if name in fields_of for field in fields_of[name]}


@dataclass(frozen=True, eq=False)
class AttributeMapping:
    """Which attributes fill which field, and which become tags; a tenant's own is derived from `DEFAULT`."""

    tokens: Fields
    texts: Fields
    inherited: Fields
    resource: Fields
    signals: Mapping[str, Names]
    tags: Names

    def reading(self, **fields: Names) -> Self:
        """This mapping with the named attributes read before all others for an inherited field such as `tenant_id`.

        Raises ValueError for a field that is not inherited.
        """
        if unknown := fields.keys() - self.inherited.names.keys():
            raise ValueError(f"no attribute can be named for {', '.join(sorted(unknown))}")
        names = {field: fields.get(field, ()) + names for field, names in self.inherited.names.items()}
        return replace(self, inherited=Fields(names))

    def tagging(self, *names: str) -> Self:
        """This mapping with more attributes allowed as tags: exact names, or prefixes that end in `*`."""
        return replace(self, tags=self.tags + names)


@lru_cache(maxsize=16_384)
def tag_key(mapping: AttributeMapping, name: str) -> str | None:
    """The key under which an attribute becomes a tag; None if it is not allowed, is content, or smells of a secret."""
    allowed = any(name.startswith(tag[:-1]) if tag.endswith("*") else name == tag for tag in mapping.tags)
    if not allowed or is_content(name) or SECRETS.search(name):
        return None
    key = next((name.removeprefix(bag) for bag in BAGS if name.startswith(bag)), name)
    return key if 0 < len(key) <= 100 else None


DEFAULT: Final = AttributeMapping(
    tokens=Fields(TOKENS),
    texts=Fields(TEXTS),
    inherited=Fields(INHERITED),
    resource=Fields(RESOURCE),
    signals=SIGNALS,
    tags=TAGS,
)
