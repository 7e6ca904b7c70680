"""Allocation rules as stored: a version is added and never changed, so that a past period can be run again."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import Column, Text, UniqueConstraint
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, col, select

from attribution.dimensions import Dimension
from attribution.filters import filter_document, read_filter
from attribution.measures import Measure
from attribution.query import Attribute, Tag
from core.database import Database, UtcDateTime
from core.errors import Conflict, NotFound
from core.money import plain
from core.time import NaiveDatetime
from finance.allocation.rules import Method, Rule
from tenants.audit import Action, record


class AllocationRule(SQLModel, table=True):
    """One version of a rule; `definition` is JSON."""

    __tablename__ = "allocation_rules"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=100)
    version: int
    effective_from: datetime = Field(sa_type=UtcDateTime)
    retired: bool = False
    priority: int
    definition: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(max_length=200)

    @property
    def rule(self) -> Rule:
        """The rule as a value."""
        said = json.loads(self.definition)
        return Rule(
            name=self.name,
            version=self.version,
            effective_from=self.effective_from,
            retired=self.retired,
            priority=self.priority,
            where=read_filter(said["where"]),
            members=_members(said["members"]),
            method=Method(said["method"]),
            measure=Measure[said["measure"]] if said["measure"] else None,
            only=None if said["only"] is None else tuple(said["only"]),
            basis=read_filter(said["basis"]),
            shares={member: Decimal(part) for member, part in said["shares"].items()},
        )


class RuleChanged(Conflict):
    """Somebody else has added a version meanwhile."""

    code = "RULE_CHANGED"

    def __init__(self, name: str, expected: int, found: int) -> None:
        super().__init__(f"rule {name!r} is at version {found}, not {expected}; look at it and send your change again")
        self.field = "expectedVersion"


class NoSuchRule(NotFound):
    """No allocation rule has that name."""

    code = "NO_SUCH_RULE"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no allocation rule {name!r}")


class AllocationRules:
    """The rules of one deployment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def versions(self) -> Sequence[AllocationRule]:
        """Every version of every rule, by name, newest first."""
        with self._database.session() as session:
            order = (col(AllocationRule.name), col(AllocationRule.version).desc())
            return session.exec(select(AllocationRule).order_by(*order)).all()

    def by_name(self) -> Mapping[str, Sequence[Rule]]:
        """The versions of each rule."""
        found: defaultdict[str, list[Rule]] = defaultdict(list)
        for row in self.versions():
            found[row.name].append(row.rule)
        return found

    def set(self, rule: Rule, *, expected_version: int, by: str) -> AllocationRule:
        """The next version of a rule, or its first where 0 is expected. Recorded.

        Raises RuleChanged when the newest version is another one, or NaiveDatetime.
        """
        if rule.effective_from.tzinfo is None:
            raise NaiveDatetime("effective_from", rule.effective_from)
        with self._database.session() as session:
            newest = _newest(session, rule.name)
            found = newest.version if newest else 0
            if found != expected_version:
                raise RuleChanged(rule.name, expected_version, found)
            row = _row(replace(rule, version=found + 1), by)
            session.add(row)
            record(session, by, Action.SET_ALLOCATION_RULE, rule.name, version=row.version, retired=row.retired)
            try:
                session.commit()
            except IntegrityError:
                raise RuleChanged(rule.name, expected_version, found + 1) from None
            return row

    def retire(self, name: str, *, effective_from: datetime, expected_version: int, by: str) -> AllocationRule:
        """The version that ends a rule from that instant on. Raises NoSuchRule, RuleChanged or NaiveDatetime."""
        with self._database.session() as session:
            newest = _newest(session, name)
        if newest is None:
            raise NoSuchRule(name)
        ended = replace(newest.rule, effective_from=effective_from, retired=True)
        return self.set(ended, expected_version=expected_version, by=by)


def members_text(members: Attribute) -> str:
    """Who bears, as one text: `tenant`, or `tag:plan`."""
    return f"{_TAG}{members.key}" if isinstance(members, Tag) else members.spec.name


def _members(text: str) -> Attribute:
    return Tag(text.removeprefix(_TAG)) if text.startswith(_TAG) else Dimension[text.upper()]


_TAG: Final = "tag:"


def _newest(session: Session, name: str) -> AllocationRule | None:
    newest = select(AllocationRule).where(AllocationRule.name == name).order_by(col(AllocationRule.version).desc())
    return session.exec(newest.limit(1)).first()


def _row(rule: Rule, by: str) -> AllocationRule:
    definition = {
        "where": filter_document(rule.where),
        "members": members_text(rule.members),
        "method": rule.method.value,
        "measure": rule.measure.name if rule.measure else None,
        "only": rule.only,
        "basis": filter_document(rule.basis),
        "shares": {member: plain(part) for member, part in rule.shares.items()},
    }
    return AllocationRule(
        name=rule.name,
        version=rule.version,
        effective_from=rule.effective_from.astimezone(UTC),
        retired=rule.retired,
        priority=rule.priority,
        definition=json.dumps(definition),
        created_at=datetime.now(UTC),
        created_by=by,
    )
