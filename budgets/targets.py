"""Budgets and guardrails as kept: made, changed, muted and deleted, each time with a version and a record of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import case, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from budgets.definition import BudgetTerms, Terms
from budgets.document import read_terms, terms_document, terms_text
from budgets.models import Kind, Target, TargetVersion
from core.database import Database
from core.errors import Conflict, NotFound
from tenants.audit import Action, record

_ACTIONS: Final = {
    Kind.BUDGET: (Action.CREATE_BUDGET, Action.UPDATE_BUDGET, Action.DELETE_BUDGET, Action.MUTE_BUDGET),
    Kind.GUARDRAIL: (Action.CREATE_GUARDRAIL, Action.UPDATE_GUARDRAIL, Action.DELETE_GUARDRAIL, Action.MUTE_GUARDRAIL),
}


_STATED: Final = case((col(Target.deleted_at).is_(None), col(Target.version)), else_=col(Target.version) - 1)
"""The version that the newest terms have: deleting counts the version up and says nothing."""


class NameTaken(Conflict):
    """Two targets of one kind cannot have one name: people and files know them by it."""

    code = "NAME_TAKEN"
    field = "name"

    def __init__(self, kind: Kind, name: str) -> None:
        super().__init__(f"there is a {kind.value} named {name!r} already")


class NoSuchTarget(NotFound):
    """There is none, or not any more, or not for this caller."""

    def __init__(self, kind: Kind, id_: int | str) -> None:
        super().__init__(f"there is no {kind.value} {id_}")


class ChangedMeanwhile(Conflict):
    """Somebody else changed it since it was read."""

    code = "CHANGED_MEANWHILE"
    field = "version"

    def __init__(self, kind: Kind, name: str, expected: int) -> None:
        super().__init__(f"{kind.value} {name!r} is not at version {expected} any more; read it again")


@dataclass(frozen=True, slots=True)
class Definition:
    """A target: its terms in force, and since when. Breaches of versions before `slice_version` are of other slices."""

    id: int
    version: int
    terms: Terms
    effective_from: datetime
    created_at: datetime
    created_by: str
    muted_until: datetime | None = None
    slice_version: int = 1
    is_deleted: bool = False

    @property
    def kind(self) -> Kind:
        """What it is."""
        return kind_of(self.terms)

    def is_muted(self, now: datetime) -> bool:
        """Whether nobody is to be told."""
        return self.muted_until is not None and now < self.muted_until


class _Known(NamedTuple):
    """The targets as they were read when the table bore that stamp."""

    stamp: tuple[object, ...] = ()
    live: tuple[Definition, ...] = ()
    ever: tuple[Definition, ...] = ()


def kind_of(terms: Terms) -> Kind:
    """What the terms are those of."""
    return Kind.BUDGET if isinstance(terms, BudgetTerms) else Kind.GUARDRAIL


class Targets:
    """The targets of a deployment. Every change adds a version and an audit record in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known = _Known()
        self._earlier: dict[tuple[int, int], list[tuple[datetime, Terms]]] = {}

    def all(self) -> Sequence[Definition]:
        """Every live target, oldest first: read again when something changed, which one small statement tells."""
        return self._read().live

    def ever(self) -> Sequence[Definition]:
        """Every target there ever was, with the last it said, oldest first."""
        return self._read().ever

    def _read(self) -> _Known:
        with self._database.session() as session:
            stamp = _stamp(session)
            if stamp != self._known.stamp:
                ever = _definitions(session)
                self._earlier = {}
                self._known = _Known(stamp, tuple(each for each in ever if not each.is_deleted), tuple(ever))
        return self._known

    def find(self, kind: Kind, id_: int) -> Definition:
        """The live target of that id. Raises NoSuchTarget."""
        for definition in self.all():
            if definition.id == id_ and definition.kind is kind:
                return definition
        raise NoSuchTarget(kind, id_)

    def as_of(self, definition: Definition, at: datetime) -> Definition:
        """The target as it was at that time; before there was any, as it was at first. Read once for each version."""
        if definition.effective_from <= at:
            return definition
        key, earlier = (definition.id, definition.version), self._earlier
        if key not in earlier:
            earlier[key] = self.versions([definition.id])[definition.id]
        version, (since, terms) = next(
            (each for each in reversed([*enumerate(earlier[key], 1)]) if each[1][0] <= at), (1, earlier[key][0])
        )
        return replace(definition, version=version, terms=terms, effective_from=since)

    def create(self, terms: Terms, *, by: str) -> Definition:
        """A new target. Raises NameTaken."""
        now, kind = datetime.now(UTC), kind_of(terms)
        target = Target(kind=kind.value, name=terms.name, team=terms.team, version=1, created_at=now, created_by=by)
        with self._database.session() as session:
            try:
                session.add(target)
                session.flush()
            except IntegrityError:
                raise NameTaken(kind, terms.name) from None
            assert target.id is not None
            _add_version(session, target.id, 1, terms, now, by)
            record(session, by, _ACTIONS[kind][0], _label(target.id, terms), terms=terms_document(terms))
            session.commit()
        return Definition(target.id, 1, terms, now, now, by)

    def update(self, before: Definition, terms: Terms, *, by: str) -> Definition:
        """The target under new terms, from now on. Raises ChangedMeanwhile, NameTaken or NoSuchTarget."""
        now, version = datetime.now(UTC), before.version + 1
        since = before.slice_version if counts_the_same(before.terms, terms) else version
        with self._database.session() as session:
            try:
                _change(session, before, version=version, slice_version=since, name=terms.name, team=terms.team)
            except IntegrityError:
                raise NameTaken(before.kind, terms.name) from None
            _add_version(session, before.id, version, terms, now, by)
            details = {"before": terms_document(before.terms), "after": terms_document(terms)}
            record(session, by, _ACTIONS[before.kind][1], _label(before.id, terms), version=version, **details)
            session.commit()
        return replace(before, version=version, slice_version=since, terms=terms, effective_from=now)

    def delete(self, before: Definition, *, by: str) -> None:
        """The target is watched no more; its breaches stay on record. Raises ChangedMeanwhile."""
        with self._database.session() as session:
            _change(session, before, version=before.version + 1, deleted_at=datetime.now(UTC))
            record(session, by, _ACTIONS[before.kind][2], _label(before.id, before.terms))
            session.commit()

    def mute(self, before: Definition, until: datetime | None, *, by: str) -> Definition:
        """Nobody is told of its breaches until then; None ends that. They are recorded all the same."""
        with self._database.session() as session:
            session.exec(update(Target).where(col(Target.id) == before.id).values(muted_until=until))
            record(session, by, _ACTIONS[before.kind][3], _label(before.id, before.terms), until=until)
            session.commit()
        return replace(before, muted_until=until)

    def versions(self, ids: Collection[int]) -> dict[int, list[tuple[datetime, Terms]]]:
        """What those targets have said, and since when, oldest first."""
        statement = select(TargetVersion).where(col(TargetVersion.target_id).in_(ids))
        found: dict[int, list[tuple[datetime, Terms]]] = {id_: [] for id_ in ids}
        with self._database.session() as session:
            for row in session.exec(statement.order_by(col(TargetVersion.version))):
                found[row.target_id].append((row.effective_from, read_terms(row.terms)))
        return found


def counts_the_same(before: Terms, after: Terms) -> bool:
    """Whether both are about the same amount of the same operations of the same members."""
    return (before.where, before.measure, before.each) == (after.where, after.measure, after.each)


def _stamp(session: Session) -> tuple[object, ...]:
    """Differs whenever some target did. Every change counts its version up but muting."""
    return tuple(
        map(tuple, session.exec(select(Target.id, Target.version, Target.muted_until).order_by(col(Target.id))))
    )


def _definitions(session: Session) -> list[Definition]:
    statement = (
        select(Target, TargetVersion)
        .join(TargetVersion, (col(TargetVersion.target_id) == Target.id) & (TargetVersion.version == _STATED))
        .order_by(col(Target.id))
    )
    return [_definition(target, version) for target, version in session.exec(statement)]


def _definition(target: Target, version: TargetVersion) -> Definition:
    assert target.id is not None
    return Definition(
        id=target.id,
        version=target.version,
        terms=read_terms(version.terms),
        effective_from=version.effective_from,
        created_at=target.created_at,
        created_by=target.created_by,
        muted_until=target.muted_until,
        slice_version=target.slice_version,
        is_deleted=target.deleted_at is not None,
    )


def _add_version(session: Session, id_: int, version: int, terms: Terms, now: datetime, by: str) -> None:
    session.add(
        TargetVersion(target_id=id_, version=version, effective_from=now, created_by=by, terms=terms_text(terms))
    )


def _change(session: Session, before: Definition, **values: object) -> None:
    unchanged = (col(Target.id) == before.id, col(Target.version) == before.version, col(Target.deleted_at).is_(None))
    if session.exec(update(Target).where(*unchanged).values(**values)).rowcount != 1:
        raise ChangedMeanwhile(before.kind, before.terms.name, before.version)


def _label(id_: int, terms: Terms) -> str:
    return f"{id_} {terms.name}"
