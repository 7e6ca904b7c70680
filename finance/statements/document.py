"""A statement as a document: its content, the one way to write it down, and the checksum of that text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from core.money import plain
from finance.statements.lines import Line, LineKey, LineKind, Value, amount_of
from finance.statements.period import BillingPeriod

_TEXTS: Final = ("feature", "model", "cost_category", "tier", "charge")
"""The parts of a key that are null in a document where nothing is said."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a statement of that tenant and month would say if it were closed now."""

    tenant_id: str
    period: BillingPeriod
    timezone: ZoneInfo
    currency: str
    lines: tuple[Line, ...]

    @property
    def cost(self) -> Decimal:
        """The sum of the cost lines with a known amount."""
        return amount_of(self.lines, LineKind.COST)

    @property
    def charges(self) -> Decimal:
        """The sum of the tier charges."""
        return amount_of(self.lines, LineKind.TIER_CHARGE)

    @property
    def adjustments(self) -> Decimal:
        """The part of the cost that belongs to earlier months."""
        return amount_of((line for line in self.lines if self.is_adjustment(line)), LineKind.COST)

    @property
    def unpriced_operations(self) -> int:
        """How many operations no amount is known for; less those that have got one since an earlier statement."""
        return sum(line.value.unpriced_operations for line in self.lines)

    def is_adjustment(self, line: Line) -> bool:
        """True when the line's money belongs to another month."""
        return line.key.period != str(self.period)

    def content(self) -> dict[str, Any]:
        """The draft in JSON's types; amounts and quantities as decimal texts."""
        window = self.period.window(self.timezone)
        return {
            "tenant": self.tenant_id,
            "period": str(self.period),
            "timezone": self.timezone.key,
            "start": _instant(window.start),
            "end": _instant(window.end),
            "currency": self.currency,
            "cost": plain(self.cost),
            "charges": plain(self.charges),
            "adjustments": plain(self.adjustments),
            "unpriced_operations": self.unpriced_operations,
            "lines": [self._line(line) for line in self.lines],
        }

    def _line(self, line: Line) -> dict[str, Any]:
        key, value = line.key._asdict(), line.value
        return {
            **{name: (text or None) if name in _TEXTS else text for name, text in key.items()},
            "is_adjustment": self.is_adjustment(line),
            "amount": None if value.amount is None else plain(value.amount),
            "quantity": plain(value.quantity),
            "unpriced_operations": value.unpriced_operations,
        }


@dataclass(frozen=True, slots=True)
class Seal:
    """What closing adds to a draft. `supersedes` is the number of the revision before."""

    number: int
    revision: int
    supersedes: int | None
    closed_at: datetime
    closed_by: str


def canonical(draft: Draft, seal: Seal) -> str:
    """The statement as canonical JSON (RFC 8785): keys in order, no white space, texts unescaped, no fractions."""
    content = draft.content() | {
        "number": seal.number,
        "revision": seal.revision,
        "supersedes": seal.supersedes,
        "closed_at": _instant(seal.closed_at),
        "closed_by": seal.closed_by,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def checksum(text: str) -> str:
    """SHA-256 of the text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def lines_of(content: Mapping[str, Any]) -> tuple[Line, ...]:
    """The lines of a statement's content."""
    return tuple(Line(_key(line), _value(line)) for line in content["lines"])


def _key(line: Mapping[str, Any]) -> LineKey:
    return LineKey(**{name: line[name] or "" for name in LineKey._fields})


def _value(line: Mapping[str, Any]) -> Value:
    amount = None if line["amount"] is None else Decimal(line["amount"])
    return Value(amount, Decimal(line["quantity"]), line["unpriced_operations"])


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
