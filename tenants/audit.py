"""The audit log: who changed what about keys, prices and stored events, and when. Records are only ever added."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, unique
from typing import Final

from sqlalchemy import Column, Text
from sqlmodel import Field, Session, SQLModel, col, select

from core.database import Database, UtcDateTime
from core.money import plain

COMMAND_LINE: Final = "command line"
"""The actor of whatever is done by a command, which needs no key."""

_MAX_TARGET: Final = 500


@unique
class Action(Enum):
    """What can be done that is recorded."""

    CREATE_KEY = "key.create"
    REVOKE_KEY = "key.revoke"
    ADD_PRICE = "price.add"
    DELETE_EVENT = "event.delete"
    REDRIVE_EVENTS = "event.redrive"
    REPRICE_EVENTS = "event.reprice"
    ERASE_USER = "user.erase"
    CREATE_TIER = "tier.create"
    UPDATE_TIER = "tier.update"
    SET_TERMS = "tier.set_terms"
    SAVE_TENANT = "tenant.save"
    ASSIGN_TIER = "tenant.assign_tier"
    IMPORT_REVENUE = "revenue.import"
    WITHDRAW_REVENUE = "revenue.withdraw"
    CLOSE_STATEMENT = "statement.close"
    REOPEN_STATEMENT = "statement.reopen"
    SET_ALLOCATION_RULE = "allocation_rule.set"
    RUN_ALLOCATION = "allocation.run"
    IMPORT_BILL = "bill.import"
    REMOVE_BILL = "bill.remove"
    TRUE_UP = "bill.true_up"
    CREATE_CHANNEL = "channel.create"
    DELETE_CHANNEL = "channel.delete"
    ROTATE_CHANNEL_SECRET = "channel.rotate_secret"  # noqa: S105 - the name of an action
    RETRY_NOTIFICATIONS = "notification.retry"
    CREATE_BUDGET = "budget.create"
    UPDATE_BUDGET = "budget.update"
    DELETE_BUDGET = "budget.delete"
    MUTE_BUDGET = "budget.mute"
    CREATE_GUARDRAIL = "guardrail.create"
    UPDATE_GUARDRAIL = "guardrail.update"
    DELETE_GUARDRAIL = "guardrail.delete"
    MUTE_GUARDRAIL = "guardrail.mute"
    ACKNOWLEDGE_BREACH = "breach.acknowledge"


class AuditRecord(SQLModel, table=True):
    """One change. `actor` is a key's name or the command line; `details` is a JSON object."""

    __tablename__ = "audit_log"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=200)
    action: str = Field(max_length=40)
    target: str = Field(max_length=_MAX_TARGET)
    details: str = Field(sa_column=Column(Text, nullable=False))


def record(session: Session, actor: str, action: Action, target: str, **details: object) -> None:
    """Add a record to the transaction, so that it is kept exactly when the change is."""
    session.add(
        AuditRecord(
            at=datetime.now(UTC),
            actor=actor,
            action=action.value,
            target=target[:_MAX_TARGET].replace("\0", "\N{REPLACEMENT CHARACTER}"),
            details=json.dumps(details, default=_text),
        )
    )


def _text(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def record_now(database: Database, actor: str, action: Action, target: str, **details: object) -> None:
    """Keep a record ahead of a change in another store: nothing there changes unrecorded.

    Raises DatabaseUnavailable, and then the change must not happen.
    """
    with database.session() as session:
        record(session, actor, action, target, **details)
        session.commit()


def records(database: Database, *, first: int, before: int | None = None) -> Sequence[AuditRecord]:
    """The newest records, at most `first`, older than the one with that id."""
    statement = select(AuditRecord).order_by(col(AuditRecord.id).desc()).limit(first)
    if before is not None:
        statement = statement.where(col(AuditRecord.id) < before)
    with database.session() as session:
        return session.exec(statement).all()
