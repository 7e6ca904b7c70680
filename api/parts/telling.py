"""Telling people and systems: channels, the outbox and its courier, and what of ours goes into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from budgets.notices import Notice
from core.database import Database
from core.settings import Settings
from notifications.channels import Channels
from notifications.courier import Courier
from notifications.outbox import Outbox, enqueue
from notifications.senders import Senders
from notifications.topics import BY_NAME, Topic
from tenants.scope import Scope


class Telling:
    """What tells, on the deployment's database."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.channels = Channels(database)
        self.outbox = Outbox(database)
        self.senders = Senders(smtp_url=settings.smtp_url, mail_sender=settings.mail_sender)
        self.courier = Courier(
            self.outbox,
            self.channels,
            self.senders,
            max_attempts=settings.notification_attempts,
            first_pause_seconds=settings.notification_pause_seconds,
            kept_days=settings.notifications_kept_days,
        )

    async def close(self) -> None:
        """Finish what is being told; the rest stays in the outbox."""
        await self.courier.close()
        await self.senders.close()


def tell(session: Session, notice: Notice) -> None:
    """Put a notice about a breach into the outbox: for its owner's channels, and keys that see what is counted."""
    enqueue(
        session,
        BY_NAME[notice.topic],
        notice.payload,
        channels=notice.channels,
        dedupe_key=notice.dedupe_key,
        team=notice.team or None,
        scope=notice.scope,
    )


def announce(session: Session, statement: Mapping[str, Any]) -> None:
    """Put a closed statement into the outbox, for its tenant."""
    whose = Scope(tenant=str(statement["tenant"]).replace("\0", "\N{REPLACEMENT CHARACTER}"))
    key = f"statement:{statement['number']}"
    enqueue(session, Topic.STATEMENT_CLOSED, statement, dedupe_key=key, scope=whose)
