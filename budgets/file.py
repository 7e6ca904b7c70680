"""`budgets.yaml`: budgets and guardrails as teams keep them in git, and what it takes to make the deployment agree.

    version: 1
    budgets:
      - {name: search, team: search, where: {team: search}, amount: 1200, period: {every: month}}
    guardrails:
      - {name: slow answers, measure: latency_p95_ms, above: 2000, each: feature}

Pure but for reading and writing YAML text: changes are planned here and made elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any, Final

import msgspec
import yaml

from budgets.definition import Terms
from budgets.document import VERSION, read_budget, read_guardrail, terms_document
from budgets.targets import Definition, kind_of
from core.errors import ApportionError, InvalidInput


class UnreadableFile(InvalidInput):
    """The text is no file of budgets."""

    code = "UNREADABLE_FILE"


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Leaves dates and amounts as the texts they are, for one reader to read them."""


_READ_LATER: Final = frozenset({"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float"})
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _READ_LATER]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    budgets: list[Any] = []
    guardrails: list[Any] = []


@unique
class Change(Enum):
    """What has to be done, and its sign in front of a line."""

    CREATE = "+"
    UPDATE = "~"
    DELETE = "-"
    KEEP = "="


@dataclass(frozen=True, slots=True)
class Step:
    """One change: from what there is, to what is wanted."""

    change: Change
    before: Definition | None
    after: Terms | None

    @property
    def terms(self) -> Terms:
        """What it is about."""
        terms = self.after or (self.before.terms if self.before else None)
        assert terms is not None
        return terms

    def lines(self) -> Iterator[str]:
        """The change for people: what, and below it each field that differs."""
        yield f"{self.change.value} {kind_of(self.terms).value} {self.terms.name}"
        if self.before and self.after:
            old, new = terms_document(self.before.terms), terms_document(self.after)
            for name in dict.fromkeys((*old, *new)):
                if old.get(name) != new.get(name):
                    yield f"    {name}: {_shown(old.get(name))} -> {_shown(new.get(name))}"


def read_file(text: str) -> list[Terms]:
    """The budgets and guardrails that the text lists. Raises UnreadableFile, which says where."""
    try:
        read = msgspec.convert(yaml.load(text, _Loader), _File)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise UnreadableFile(f"this is no file of budgets: {error}") from None
    if read.version != VERSION:
        raise UnreadableFile(f"version {read.version} is not known here, {VERSION} is")
    terms: list[Terms] = [_read(f"budgets[{i}]", read_budget, each) for i, each in enumerate(read.budgets)]
    terms += [_read(f"guardrails[{i}]", read_guardrail, each) for i, each in enumerate(read.guardrails)]
    _check_names(terms)
    return terms


def _read(place: str, reader: Any, data: object) -> Any:
    try:
        return reader(data)
    except ApportionError as error:
        name = data.get("name", "") if isinstance(data, dict) else ""
        raise UnreadableFile(f"{place} {name}: {error}".replace(" :", ":")) from None


def _check_names(terms: Iterable[Terms]) -> None:
    seen = set()
    for each in terms:
        if (key := _key(each)) in seen:
            raise UnreadableFile(f"{key[0]} {each.name!r} is there twice")
        seen.add(key)


def _key(terms: Terms) -> tuple[str, str]:
    return kind_of(terms).value, terms.name


def write_file(terms: Iterable[Terms]) -> str:
    """The text that lists them: read back, it plans no change."""
    lists: dict[str, list[Any]] = {"budget": [], "guardrail": []}
    for each in terms:
        lists[kind_of(each).value].append(terms_document(each))
    content = {"version": VERSION, **{f"{kind}s": found for kind, found in lists.items() if found}}
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=_WIDTH))


def plan(wanted: Sequence[Terms], live: Collection[Definition], *, prune: bool, team: str | None) -> list[Step]:
    """The steps that make the deployment agree with what is wanted, in its order; deletions last.

    With `prune`, what is not wanted is deleted; with `team`, only that team's.
    """
    existing = {_key(each.terms): each for each in live}
    steps = [_step(existing.pop(_key(terms), None), terms) for terms in wanted]
    if prune:
        rest = [each for each in existing.values() if team is None or each.terms.team == team]
        steps += [Step(Change.DELETE, each, None) for each in rest]
    return steps


def _step(before: Definition | None, terms: Terms) -> Step:
    if before is None:
        return Step(Change.CREATE, None, terms)
    return Step(Change.KEEP if before.terms == terms else Change.UPDATE, before, terms)


def _shown(value: object) -> str:
    if value is None:
        return "(default)"
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=_WIDTH)
    return str(text).removesuffix("...\n").strip()


_WIDTH: Final = 10_000
"""No line is broken: a diff of two files shows fields, not the wrapping of texts."""
