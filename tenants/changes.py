"""Changes of tenants and tiers take turns, and each is refused when it was made in ignorance of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlmodel import Session, col, select, update

from core.database import Database
from core.errors import Conflict
from tenants.models import TierEdition


class VersionConflict(Conflict):
    """Somebody else changed it since the caller looked."""

    code = "VERSION_CONFLICT"

    def __init__(self, what: str, found: int, expected: int) -> None:
        state = f"is at version {found}" if found else "does not exist yet"
        super().__init__(f"{what} {state}, not at version {expected}: look again, then repeat the change")
        self.field = "expectedVersion"


def check_version(what: str, found: int, expected: int | None) -> None:
    """Return when the caller knows the version that is stored, or does not mind; raise VersionConflict."""
    if expected is not None and found != expected:
        raise VersionConflict(what, found, expected)


@contextmanager
def changing(database: Database) -> Iterator[Session]:
    """A transaction during which nobody else changes tenants or tiers; committed unless something was raised."""
    with database.session() as session:
        # The first statement writes, so that whoever comes second waits here, and then sees what the first one did.
        session.execute(update(TierEdition).values(number=col(TierEdition.number) + 1))
        yield session
        session.commit()


def edition(database: Database) -> int:
    """A number that is higher after every change of tenants and tiers."""
    with database.session() as session:
        return session.exec(select(TierEdition.number)).one()


def raise_edition(database: Database, beyond: int) -> int:
    """A new edition, higher than that number."""
    with changing(database) as session:
        found = session.get_one(TierEdition, 1)
        found.number = max(found.number, beyond + 1)
        session.add(found)
        return found.number
