"""The table as a value: the default, and what a tenant's own is derived from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final, Self

from core.errors import InvalidInput
from ingest.otlp.content import SECRETS, is_content
from ingest.otlp.table import BAGS, IDS, INHERITED, RESOURCE, SIGNALS, TAGS, TEXTS, TOKENS, Names


@dataclass(frozen=True, eq=False)
class Fields:
    """Fields with the names that fill them, the first of which wins."""

    names: Mapping[str, Names]

    @cached_property
    def places(self) -> Mapping[str, tuple[tuple[str, int], ...]]:
        """From a name to the fields that it fills, and its rank among the names of each."""
        places: dict[str, tuple[tuple[str, int], ...]] = {}
        for field, names in self.names.items():
            for rank, name in enumerate(names):
                places[name] = (*places.get(name, ()), (field, rank))
        return places


@dataclass(frozen=True, eq=False)
class AttributeMapping:
    """Which attributes fill which field, and which become tags; a tenant's own is derived from `DEFAULT`."""

    tokens: Fields
    texts: Fields
    inherited: Fields
    resource: Fields
    signals: Mapping[str, Names]
    tags: Names

    def tags_by_prefix(self, name: str) -> bool:
        """Whether a prefix of the allow-list covers the attribute, which names no id."""
        prefixes = tuple(tag[:-1] for tag in self.tags if tag.endswith("*"))
        return name.startswith(prefixes) and not any(name in self.inherited.names[field] for field in IDS)

    @cached_property
    def call(self) -> Fields:
        """Everything that is asked of a call's own span, whichever way it is used."""
        return Fields({**self.tokens.names, **self.texts.names, **self.signals})

    def reading(self, **fields: Names) -> Self:
        """This mapping with the named attributes read before all others for an inherited field such as `tenant_id`.

        They count on spans, and where spans say nothing on the resource. Raises ValueError for any other field.
        """
        if unknown := fields.keys() - self.inherited.names.keys():
            raise ValueError(f"no attribute can be named for {', '.join(sorted(unknown))}")
        return replace(self, inherited=_before(self.inherited, fields), resource=_before(self.resource, fields))

    def tagging(self, *names: str) -> Self:
        """This mapping with more attributes allowed as tags: exact names, or prefixes that end in `*`."""
        return replace(self, tags=self.tags + names)


def _before(known: Fields, fields: Mapping[str, Names]) -> Fields:
    return Fields({**known.names, **{field: names + known.names.get(field, ()) for field, names in fields.items()}})


@lru_cache(maxsize=16_384)
def tag_key(mapping: AttributeMapping, name: str) -> str | None:
    """The key under which an attribute becomes a tag; None if it is not allowed, is content, or smells of a secret."""
    if not (name in mapping.tags or mapping.tags_by_prefix(name)) or is_content(name) or SECRETS.search(name):
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


class UnusableMapping(InvalidInput):
    """A deployment's own attribute names cannot be used; the sentence names the setting."""

    code = "UNUSABLE_MAPPING"


CONFIGURABLE: Final = tuple(field for field in INHERITED if field != "agent")
"""The fields for which a deployment may name attributes of its own."""


def configured(attributes: Mapping[str, Sequence[str]], tags: Sequence[str]) -> AttributeMapping:
    """`DEFAULT` with the settings `otlp_attributes` and `otlp_tags` worked in. Raises UnusableMapping."""
    for field, names in attributes.items():
        if field not in CONFIGURABLE:
            raise UnusableMapping(f"otlp_attributes: {field!r} is none of {', '.join(CONFIGURABLE)}")
        for name in names:
            _require_usable(f"otlp_attributes.{field}", name)
    for tag in tags:
        _require_usable("otlp_tags", tag.removesuffix("*") if tag != "*" else tag)
    return DEFAULT.reading(**{field: tuple(names) for field, names in attributes.items()}).tagging(*tags)


def _require_usable(setting: str, name: str) -> None:
    if not name.strip():
        raise UnusableMapping(f"{setting}: a name is empty")
    if is_content(name) or SECRETS.search(name):
        raise UnusableMapping(f"{setting}: {name!r} carries content or secrets, which are never kept")
