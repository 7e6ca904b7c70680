"""Targets and breaches as stored. A target's terms are versions that are only ever added; a breach is one row."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import Enum, unique

from sqlalchemy import Column, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from core.database import ExactDecimal, UtcDateTime

LIVE = text("deleted_at IS NULL")
UNRESOLVED = text("resolved_at IS NULL")


@unique
class Kind(Enum):
    """What a target is."""

    BUDGET = "budget"
    GUARDRAIL = "guardrail"


@unique
class State(Enum):
    """Where a breach stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@unique
class Resolution(Enum):
    """Why a breach is over."""

    PERIOD_OVER = "period_over"
    CORRECTED = "corrected"
    RECOVERED = "recovered"
    WITHDRAWN = "withdrawn"


class Target(SQLModel, table=True):
    """A budget or guardrail. `version` counts its changes; name and team repeat what its newest terms say.

    `slice_version` is the version since which it counts what it counts now.
    """

    __tablename__ = "targets"
    __table_args__ = (
        Index("uq_targets_kind_name", "kind", "name", unique=True, sqlite_where=LIVE, postgresql_where=LIVE),
    )

    id: int | None = Field(default=None, primary_key=True)
    kind: str = Field(max_length=20)
    name: str = Field(max_length=200)
    team: str = Field(max_length=200)
    version: int
    slice_version: int = 1
    muted_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(max_length=200)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class TargetVersion(SQLModel, table=True):
    """What a target said from `effective_from` until its next version. `terms` is as `budgets.document` writes it."""

    __tablename__ = "target_versions"
    __table_args__ = (UniqueConstraint("target_id", "version"),)

    id: int | None = Field(default=None, primary_key=True)
    target_id: int = Field(foreign_key="targets.id")
    version: int
    effective_from: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(max_length=200)
    terms: str = Field(sa_column=Column(Text, nullable=False))


class Breach(SQLModel, table=True):
    """A threshold of a target that was crossed in a period, and what was known then.

    At most one for each period, and at most one at a time that is not resolved. `member` is '' for all together.
    `observed` is what was spent or measured when it last opened, `bound` what it must not reach, `limit_amount` the
    budget's whole limit; `contributors` is a JSON list of {name, value}, the largest first.
    """

    __tablename__ = "breaches"
    __table_args__ = (
        UniqueConstraint("target_id", "member", "period_start", "threshold"),
        Index(
            "uq_breaches_unresolved",
            "target_id",
            "member",
            "threshold",
            unique=True,
            sqlite_where=UNRESOLVED,
            postgresql_where=UNRESOLVED,
        ),
        Index("ix_breaches_period_end", "period_end"),
    )

    id: int | None = Field(default=None, primary_key=True)
    target_id: int = Field(foreign_key="targets.id")
    target_version: int
    member: str = Field(max_length=500)
    period_start: datetime = Field(sa_type=UtcDateTime)
    period_end: datetime = Field(sa_type=UtcDateTime)
    threshold: str = Field(max_length=60)
    state: str = Field(max_length=20)
    observed: Decimal = Field(sa_type=ExactDecimal)
    bound: Decimal = Field(sa_type=ExactDecimal)
    limit_amount: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    forecast: Decimal | None = Field(default=None, sa_type=ExactDecimal)
    operations: int = 0
    contributors: str = Field(sa_column=Column(Text, nullable=False))
    opened_at: datetime = Field(sa_type=UtcDateTime)
    openings: int = 1
    acknowledged_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    acknowledged_by: str | None = Field(default=None, max_length=200)
    note: str | None = Field(default=None, max_length=2_000)
    resolved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    resolution: str | None = Field(default=None, max_length=20)


class LeaseRow(SQLModel, table=True):
    """Who does what only one process may do. `expires_at` is in unix seconds of the database's own clock."""

    __tablename__ = "leases"

    name: str = Field(max_length=40, primary_key=True)
    holder: str = Field(max_length=40)
    expires_at: float


class SnapshotRow(SQLModel, table=True):
    """The last evaluation, for the processes that do not evaluate. There is one row, numbered 1."""

    __tablename__ = "budget_snapshots"

    id: int = Field(primary_key=True)
    evaluated_at: datetime = Field(sa_type=UtcDateTime)
    content: bytes
