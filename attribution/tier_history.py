"""Who had which tier when, as the events store knows it: a value, its one row, and how an event is looked up in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

import pyarrow as pa

from attribution.statement import Statement

TABLE: Final = "tier_history"

# One text, so that the engine reads the row once per statement, however often it is looked into. Before there is one,
# nobody has a tier.
_ROWS = (
    f"SELECT version, (tenants, numbers, bounds, tiers, assignments) AS history FROM {TABLE} "
    "UNION ALL SELECT toUInt64(0), ([''], [toUInt64(0)], [toUInt64(0)], [''], [''])"
)
_ROW = f"(SELECT argMax(history, version) FROM ({_ROWS}))"
_TENANT = f"transform(e.tenant_id, {_ROW}.1, {_ROW}.2, toUInt64(0))"
_BOUND = f"roundDown({_TENANT} * 4294967296 + toUnixTimestamp(e.start_time), {_ROW}.3)"

TIER_SQL: Final = f"transform({_BOUND}, {_ROW}.3, {_ROW}.4, '')"
"""The tier the event's tenant had when it started; empty for none. Two hash look-ups and a binary search an event."""
ASSIGNMENT_SQL: Final = f"transform({_BOUND}, {_ROW}.3, {_ROW}.5, '')"

NEWEST: Final = Statement(f"SELECT max(version), argMax(digest, version) FROM {TABLE}", {})
"""Which version of the history the store has, and its digest: 0 and empty before there is one."""


@dataclass(frozen=True, slots=True, order=True)
class TierSpan:
    """The tenant has the tier, by that assignment, from `start` (in) to `end` (out; None is open): whole seconds."""

    tenant_id: str
    start: datetime
    end: datetime | None
    tier: str
    assignment: str


class _Bound(NamedTuple):
    key: int
    tier: str
    assignment: str


@dataclass(frozen=True, slots=True)
class TierHistory:
    """All spans there are. Those of one tenant never overlap."""

    spans: tuple[TierSpan, ...]

    @property
    def digest(self) -> str:
        """Text that differs between any two histories."""
        return hashlib.blake2b(repr(sorted(self.spans, key=_order)).encode(), digest_size=16).hexdigest()

    def to_arrow(self, version: int) -> pa.Table:
        """The one row that says it."""
        tenants = sorted({span.tenant_id for span in self.spans})
        bounds = [_Bound(0, "", ""), *self._bounds()]
        texts, numbers = pa.list_(pa.string()), pa.list_(pa.uint64())
        return pa.table(
            {
                "name": pa.array(["tiers"]),
                "version": pa.array([version], pa.uint64()),
                "digest": pa.array([self.digest]),
                "tenants": pa.array([["", *tenants]], texts),
                "numbers": pa.array([list(range(len(tenants) + 1))], numbers),
                "bounds": pa.array([[bound.key for bound in bounds]], numbers),
                "tiers": pa.array([[bound.tier for bound in bounds]], texts),
                "assignments": pa.array([[bound.assignment for bound in bounds]], texts),
            }
        )

    def _bounds(self) -> Iterator[_Bound]:
        """The bounds of every tenant but number 0, which stands for all that are not named."""
        by_tenant = groupby(sorted(self.spans, key=_order), key=attrgetter("tenant_id"))
        for number, (_, spans) in enumerate(by_tenant, 1):
            base = number << 32
            end = base
            for span in spans:
                start = base + int(span.start.timestamp())
                if start > end:
                    yield _Bound(end, "", "")
                yield _Bound(start, span.tier, span.assignment)
                end = base + (int(span.end.timestamp()) if span.end else 0)
            if end > base:
                yield _Bound(end, "", "")


def _order(span: TierSpan) -> tuple[str, datetime]:
    return span.tenant_id, span.start
