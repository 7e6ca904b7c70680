"""Tenants, tiers and who has which tier when, as stored. `Tenants` and `Tiers` change them, and record it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum, unique
from typing import Final

from sqlalchemy import Column, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from core.database import UtcDateTime

NAME_LENGTH: Final = 200


@unique
class TenantStatus(Enum):
    """Where a tenant stands with the seller. It changes no number; it is for people and for filters."""

    ACTIVE = "active"
    TRIAL = "trial"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class Tenant(SQLModel, table=True):
    """A customer as the seller knows it. `tenant_id` is what events say, `external_id` what the billing system says.

    `version` counts its changes, those of its tiers included. `details` is a JSON object of texts.
    """

    __tablename__ = "tenants"

    id: int | None = Field(default=None, primary_key=True)
    tenant_id: str = Field(max_length=NAME_LENGTH, unique=True)
    external_id: str | None = Field(default=None, max_length=NAME_LENGTH, unique=True)
    name: str = Field(default="", max_length=NAME_LENGTH)
    status: str = Field(default=TenantStatus.ACTIVE.value, max_length=20)
    details: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    version: int = 1
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Tier(SQLModel, table=True):
    """A pricing tier. Its key is what the dimension TIER says, and never changes; nor does the zone of its periods."""

    __tablename__ = "tiers"

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(max_length=64, unique=True)
    name: str = Field(max_length=NAME_LENGTH)
    description: str = Field(default="", max_length=1000)
    timezone: str = Field(default="UTC", max_length=64)
    version: int = 1
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class TierVersion(SQLModel, table=True):
    """The terms of a tier from `effective_from` until its next version. `terms` is the JSON of a TierTerms."""

    __tablename__ = "tier_versions"
    __table_args__ = (UniqueConstraint("tier", "effective_from"),)

    id: int | None = Field(default=None, primary_key=True)
    tier: str = Field(max_length=64, foreign_key="tiers.key")
    effective_from: datetime = Field(sa_type=UtcDateTime)
    terms: str = Field(sa_column=Column(Text, nullable=False))
    note: str = Field(default="", max_length=1000)
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(default="", max_length=NAME_LENGTH)


class TierAssignment(SQLModel, table=True):
    """A tenant has a tier from `start` (in) to `end` (out; None is open). A tenant's assignments never overlap.

    Both are whole seconds. `overrides` is the JSON of a TierOverrides.
    """

    __tablename__ = "tier_assignments"

    id: int | None = Field(default=None, primary_key=True)
    tenant_id: str = Field(max_length=NAME_LENGTH, index=True, foreign_key="tenants.tenant_id")
    tier: str = Field(max_length=64, foreign_key="tiers.key")
    start: datetime = Field(sa_type=UtcDateTime)
    end: datetime | None = Field(default=None, sa_type=UtcDateTime)
    overrides: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(default="", max_length=NAME_LENGTH)


class TierEdition(SQLModel, table=True):
    """One row: how often assignments were changed. Every change raises it, so that changes take turns."""

    __tablename__ = "tier_edition"

    id: int = Field(primary_key=True)
    number: int
