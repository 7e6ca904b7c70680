"""Tenants as the seller knows them, and which tier each has when."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlmodel import Session, col, select

from core.database import Database
from core.errors import Conflict, InvalidInput
from tenants.audit import Action, record
from tenants.changes import changing, check_version
from tenants.models import NAME_LENGTH, Tenant, TenantStatus, TierAssignment
from tenants.terms import NO_OVERRIDES, TierOverrides, encode_terms
from tenants.tiers import NoSuchTier, whole_second, zones

_MAX_DETAILS: Final = 50


class InvalidTenant(InvalidInput):
    """A field of a tenant breaks a rule."""

    code = "INVALID_TENANT"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} is not usable: {rule}")
        self.field = field


class ExternalIdTaken(Conflict):
    """Two tenants cannot be one customer of the billing system."""

    code = "EXTERNAL_ID_TAKEN"

    def __init__(self, external_id: str, tenant_id: str) -> None:
        super().__init__(f"external id {external_id!r} belongs to tenant {tenant_id!r}")
        self.field = "externalId"


@dataclass(frozen=True, slots=True)
class TenantChange:
    """What is to be known of a tenant; None leaves it as it is. An empty external id takes it away."""

    tenant_id: str
    external_id: str | None = None
    name: str | None = None
    status: TenantStatus | None = None
    details: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for field, text in (("tenant", self.tenant_id), ("externalId", self.external_id), ("name", self.name)):
            if text is not None and (len(text) > NAME_LENGTH or not text.isprintable()):
                raise InvalidTenant(field, f"it must have at most {NAME_LENGTH} characters, none of them control ones")
        if not self.tenant_id:
            raise InvalidTenant("tenant", "name the tenant as events do")
        self._check_details()

    def _check_details(self) -> None:
        details = self.details or {}
        if len(details) > _MAX_DETAILS or any(len(text) > 1000 for pair in details.items() for text in pair):
            raise InvalidTenant("metadata", f"it holds at most {_MAX_DETAILS} texts of at most 1,000 characters")


@dataclass(frozen=True, slots=True)
class Placement:
    """The tenant has the tier (None: none) from `start` until `end` (None: for ever), instead of what it had."""

    tenant_id: str
    tier: str | None
    start: datetime
    end: datetime | None = None
    overrides: TierOverrides = NO_OVERRIDES

    def __post_init__(self) -> None:
        start, end = whole_second("start", self.start), self.end and whole_second("end", self.end)
        if end is not None and end <= start:
            raise InvalidTenant("end", "it must come after the start")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)


class Tenants:
    """The tenants of a deployment. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, tenant_id: str | None = None) -> list[Tenant]:
        """Every tenant that was entered, or that one, by id. Those only seen in events are not among them."""
        statement = select(Tenant).order_by(col(Tenant.tenant_id))
        if tenant_id is not None:
            statement = statement.where(Tenant.tenant_id == tenant_id)
        with self._database.session() as session:
            return list(session.exec(statement))

    def assignments(self, tenant_id: str | None = None) -> list[TierAssignment]:
        """All assignments, or that tenant's, by tenant and then start. A tenant's never overlap."""
        statement = select(TierAssignment).order_by(col(TierAssignment.tenant_id), col(TierAssignment.start))
        if tenant_id is not None:
            statement = statement.where(TierAssignment.tenant_id == tenant_id)
        with self._database.session() as session:
            return list(session.exec(statement))

    def save(self, change: TenantChange, *, expected_version: int | None = None, by: str) -> Tenant:
        """The tenant with that change, entered if it was not. Raises VersionConflict or ExternalIdTaken."""
        with changing(self._database) as session:
            tenant = _entered(session, change.tenant_id, expected_version)
            _apply(session, tenant, change)
            _touch(session, tenant)
            details = tenant.model_dump(include={"external_id", "name", "status", "details"})
            record(session, by, Action.SAVE_TENANT, f"tenant {tenant.tenant_id}", **details)
        return tenant

    def place(self, placement: Placement, *, expected_version: int | None = None, by: str) -> Tenant:
        """The tenant, entered if it was not, with that tier for that time. Other assignments make room.

        Raises NoSuchTier or VersionConflict.
        """
        with changing(self._database) as session:
            tenant = _entered(session, placement.tenant_id, expected_version)
            if placement.tier is not None and placement.tier not in zones(session):
                raise NoSuchTier(placement.tier)
            _touch(session, tenant)
            session.flush()
            _make_room(session, placement)
            if placement.tier is not None:
                session.add(_assignment(placement, placement.tier, by))
            target = f"tenant {tenant.tenant_id}"
            record(session, by, Action.ASSIGN_TIER, target, **_said(placement))
        return tenant


def _entered(session: Session, tenant_id: str, expected_version: int | None) -> Tenant:
    """The stored tenant, or a new one. A tenant that was only seen is at version 0."""
    tenant = session.exec(select(Tenant).where(Tenant.tenant_id == tenant_id)).one_or_none()
    check_version(f"tenant {tenant_id!r}", tenant.version if tenant else 0, expected_version)
    now = datetime.now(UTC)
    return tenant or Tenant(tenant_id=tenant_id, version=0, created_at=now, updated_at=now)


def _apply(session: Session, tenant: Tenant, change: TenantChange) -> None:
    if change.external_id is not None:
        _check_free(session, change.external_id, tenant.tenant_id)
        tenant.external_id = change.external_id or None
    if change.name is not None:
        tenant.name = change.name
    if change.status is not None:
        tenant.status = change.status.value
    if change.details is not None:
        tenant.details = json.dumps(dict(change.details))


def _check_free(session: Session, external_id: str, tenant_id: str) -> None:
    with session.no_autoflush:
        owner = session.exec(select(Tenant.tenant_id).where(Tenant.external_id == external_id)).one_or_none()
    if external_id and owner not in {None, tenant_id}:
        raise ExternalIdTaken(external_id, str(owner))


def _touch(session: Session, tenant: Tenant) -> None:
    tenant.version += 1
    tenant.updated_at = datetime.now(UTC)
    session.add(tenant)


def _assignment(placement: Placement, tier: str, by: str) -> TierAssignment:
    return TierAssignment(
        tenant_id=placement.tenant_id,
        tier=tier,
        start=placement.start,
        end=placement.end,
        overrides=encode_terms(placement.overrides),
        created_at=datetime.now(UTC),
        created_by=by,
    )


def _said(placement: Placement) -> Mapping[str, object]:
    overrides = encode_terms(placement.overrides)
    return {"tier": placement.tier, "start": placement.start, "end": placement.end, "overrides": overrides}


def _make_room(session: Session, placement: Placement) -> None:
    """Shorten, split or remove what the tenant had between the placement's start and end."""
    held = session.exec(select(TierAssignment).where(TierAssignment.tenant_id == placement.tenant_id)).all()
    for assignment in _overlapping(held, placement):
        _keep_after(session, assignment, placement.end)
        if assignment.start < placement.start:
            assignment.end = placement.start
            session.add(assignment)
        else:
            session.delete(assignment)


def _overlapping(held: Sequence[TierAssignment], placement: Placement) -> list[TierAssignment]:
    return [
        each
        for each in held
        if (each.end is None or each.end > placement.start) and (placement.end is None or each.start < placement.end)
    ]


def _keep_after(session: Session, assignment: TierAssignment, end: datetime | None) -> None:
    """A copy of the assignment for the time after `end`, when it goes on then."""
    if end is not None and (assignment.end is None or assignment.end > end):
        kept = assignment.model_dump(exclude={"id", "start"})
        session.add(TierAssignment(**kept, start=end))
