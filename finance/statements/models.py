"""Statements and their reopenings as stored. Rows are added, never changed: triggers of both databases see to it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from sqlalchemy import Column, ForeignKey, Integer, Text, UniqueConstraint
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import String, TypeDecorator
from sqlmodel import Field, SQLModel

from core.database import UtcDateTime

_ESCAPE: Final = re.compile(r"\\(.)")


class AnyText(TypeDecorator[str]):
    """A text that may hold NUL, which PostgreSQL keeps in no column: written `\\0`, and a backslash twice."""

    impl = String(400)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The escaped text."""
        return None if value is None else value.replace("\\", "\\\\").replace("\0", "\\0")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The text."""
        return None if value is None else _ESCAPE.sub(lambda found: "\0" if found[1] == "0" else "\\", value)


class StatementRecord(SQLModel, table=True):
    """One closed statement. `content` is its canonical JSON, `checksum` that text's SHA-256.

    `of_everyone`: it came out of closing the month for every tenant, so the month is closed for those without a
    statement too.
    """

    __tablename__ = "statements"
    __table_args__ = (UniqueConstraint("tenant_id", "period", "revision"),)

    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    tenant_id: str = Field(sa_type=AnyText)
    period: str = Field(max_length=7, index=True)
    revision: int
    timezone: str = Field(max_length=64)
    of_everyone: bool
    closed_at: datetime = Field(sa_type=UtcDateTime)
    closed_by: str = Field(max_length=200)
    checksum: str = Field(max_length=64)
    content: str = Field(sa_column=Column(Text, nullable=False))


class StatementReopening(SQLModel, table=True):
    """That a statement no longer holds: once, for a reason. The statement itself stays."""

    __tablename__ = "statement_reopenings"

    number: int = Field(
        sa_column=Column(Integer, ForeignKey("statements.number"), primary_key=True, autoincrement=False)
    )
    at: datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(max_length=200)
    reason: str = Field(sa_column=Column(Text, nullable=False))
