"""Tiers and the versions of their terms. A version holds from its date until the next one."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, select

from core.database import Database
from core.errors import Conflict, InvalidInput, NotFound
from core.time import NaiveDatetime, parse_timezone
from tenants.audit import Action, record
from tenants.changes import changing, check_version
from tenants.models import NAME_LENGTH, Tier, TierVersion
from tenants.terms import InvalidTerms, TierOverrides, TierTerms, encode_terms

_KEY: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NOTE_LENGTH: Final = 1000


class InvalidTier(InvalidInput):
    """A field of a tier breaks a rule."""

    code = "INVALID_TIER"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} is not usable: {rule}")
        self.field = field


class TierExists(Conflict):
    """There is a tier of that key."""

    code = "TIER_EXISTS"

    def __init__(self, key: str) -> None:
        super().__init__(f"there is a tier {key!r} already; set its terms, or choose another key")
        self.field = "key"


class NoSuchTier(NotFound):
    """There is no tier of that key."""

    code = "NO_SUCH_TIER"

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no tier {key!r}; the query `tiers` lists them")
        self.field = "tier"


class Tiers:
    """The tiers of a deployment. Safe to share between threads.

    Terms are in `currency`, and meter `measures`: the names of the additive measures there are.
    """

    def __init__(self, database: Database, currency: str, measures: Collection[str]) -> None:
        self._database = database
        self._currency = currency
        self._measures = measures

    def all(self) -> list[Tier]:
        """Every tier, in the order they were made."""
        with self._database.session() as session:
            return list(session.exec(select(Tier).order_by(col(Tier.id))))

    def versions(self) -> list[TierVersion]:
        """Every version of every tier, by tier and then date."""
        with self._database.session() as session:
            order = (col(TierVersion.tier), col(TierVersion.effective_from))
            return list(session.exec(select(TierVersion).order_by(*order)))

    def create(self, key: str, name: str, *, description: str = "", timezone: str = "UTC", by: str) -> Tier:
        """A new tier, without terms yet. Raises InvalidTier, UnknownTimezone or TierExists."""
        if not _KEY.fullmatch(key):
            raise InvalidTier("key", "use up to 64 lower-case letters, digits, hyphens and underscores")
        _check_names(name, description)
        now = datetime.now(UTC)
        zone = parse_timezone(timezone).key
        tier = Tier(key=key, name=name, description=description, timezone=zone, created_at=now, updated_at=now)
        with changing(self._database) as session:
            if _found(session, key) is not None:
                raise TierExists(key)
            session.add(tier)
            record(session, by, Action.CREATE_TIER, f"tier {key}", name=name, timezone=zone)
        return tier

    def update(
        self,
        key: str,
        *,
        name: str | None = None,
        description: str | None = None,
        expected_version: int | None = None,
        by: str,
    ) -> Tier:
        """The tier with another name or description. Raises NoSuchTier, InvalidTier or VersionConflict."""
        with changing(self._database) as session:
            tier = _current(session, key, expected_version)
            tier.name = tier.name if name is None else name
            tier.description = tier.description if description is None else description
            _check_names(tier.name, tier.description)
            _touch(session, tier)
            record(session, by, Action.UPDATE_TIER, f"tier {key}", name=tier.name, description=tier.description)
        return tier

    def set_terms(
        self,
        key: str,
        effective_from: datetime,
        terms: TierTerms,
        *,
        note: str = "",
        expected_version: int | None = None,
        by: str,
    ) -> Tier:
        """The tier with these terms from that instant until its next version; a version of that instant is replaced.

        The audit log keeps what was replaced. Raises NoSuchTier, InvalidTier, InvalidTerms, NaiveDatetime or
        VersionConflict.
        """
        start = whole_second("effectiveFrom", effective_from)
        self.check(terms)
        if len(note) > _NOTE_LENGTH:
            raise InvalidTier("note", f"it must have at most {_NOTE_LENGTH:,} characters")
        text = encode_terms(terms)
        with changing(self._database) as session:
            tier = _current(session, key, expected_version)
            found = session.exec(
                select(TierVersion).where(TierVersion.tier == key, TierVersion.effective_from == start)
            ).one_or_none()
            replaced = found.terms if found else None
            version = found or TierVersion(
                tier=key, effective_from=start, terms=text, created_at=datetime.now(UTC), created_by=by
            )
            version.terms, version.note = text, note
            session.add(version)
            _touch(session, tier)
            target = f"tier {key}"
            record(session, by, Action.SET_TERMS, target, effective_from=start, terms=text, replaced=replaced)
        return tier

    def check(self, terms: TierTerms | TierOverrides) -> None:
        """Return when the terms can be charged here; raise InvalidTerms."""
        if isinstance(terms, TierTerms) and terms.currency != self._currency:
            raise InvalidTerms("currency", f"this deployment accounts in {self._currency}")
        for meter in terms.meters:
            if meter.measure not in self._measures:
                raise InvalidTerms("measure", f"{meter.measure!r} is no additive measure")


def whole_second(field: str, instant: datetime) -> datetime:
    """The instant in UTC when it is a whole second. Raises NaiveDatetime or InvalidTier."""
    if instant.tzinfo is None:
        raise NaiveDatetime(field, instant)
    utc = instant.astimezone(UTC)
    if utc.microsecond or not 1970 <= utc.year < 2106:
        raise InvalidTier(field, "it must be a whole second between 1970 and 2105")
    return utc


def zones(session: Session) -> dict[str, ZoneInfo]:
    """Every tier's key and zone, as the transaction sees them."""
    return {key: ZoneInfo(name) for key, name in session.exec(select(Tier.key, Tier.timezone))}


def _check_names(name: str, description: str) -> None:
    if not 1 <= len(name) <= NAME_LENGTH:
        raise InvalidTier("name", f"it must have 1 to {NAME_LENGTH} characters")
    if len(description) > _NOTE_LENGTH:
        raise InvalidTier("description", f"it must have at most {_NOTE_LENGTH:,} characters")


def _found(session: Session, key: str) -> Tier | None:
    return session.exec(select(Tier).where(Tier.key == key)).one_or_none()


def _current(session: Session, key: str, expected_version: int | None) -> Tier:
    tier = _found(session, key)
    if tier is None:
        raise NoSuchTier(key)
    check_version(f"tier {key!r}", tier.version, expected_version)
    return tier


def _touch(session: Session, tier: Tier) -> None:
    tier.version += 1
    tier.updated_at = datetime.now(UTC)
    session.add(tier)
