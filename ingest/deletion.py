"""`DELETE /v1/events/{event_id}`: one event is gone for good, from every sum at once.

For admins: a deletion changes money that was already reported, and leaves nothing that could be put back. Whoever sends
events corrects them instead, with a higher `version`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from attribution.event import EventRow, tombstone
from attribution.rows import RowQuery
from attribution.store import Store
from core.database import Database
from core.errors import Conflict, InvalidInput, NotFound
from tenants.audit import Action, record_now
from tenants.principal import Principal


class NoSuchEvent(NotFound):
    """Nothing to delete under that id, or not within the caller's scope."""

    code = "NO_SUCH_EVENT"

    def __init__(self, tenant_id: str, event_id: str) -> None:
        super().__init__(f"tenant {tenant_id!r} has no event {event_id!r}")


class AmbiguousEvent(Conflict):
    """The id names events of several days."""

    code = "AMBIGUOUS_EVENT"

    def __init__(self, event_id: str, rows: list[EventRow]) -> None:
        times = ", ".join(row.start_time.isoformat() for row in rows[:5])
        super().__init__(f"event {event_id!r} exists on several days ({times}); give start_time too")


class AllocatedEvent(Conflict):
    """The event follows from others: a deletion for good would leave the shares and their offset unequal."""

    code = "ALLOCATED_EVENT"

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {event_id!r} was allocated; change its rule, charge or bill, and run that again")


class MissingTenant(InvalidInput):
    """An id alone names no event."""

    code = "MISSING_TENANT"

    def __init__(self) -> None:
        super().__init__("say whose event it is: ?tenant_id=...")


class UnusableStartTime(InvalidInput):
    """The start time is no instant."""

    code = "UNUSABLE_START_TIME"

    def __init__(self, text: str) -> None:
        super().__init__(f"start_time {text!r} is not a time with a zone, such as 2026-03-01T00:00:00Z")


class Deletion:
    """Deletes events of one store. Safe to share between threads."""

    def __init__(self, store: Store, database: Database) -> None:
        self._store = store
        self._database = database

    async def delete(self, request: Request) -> Response:
        """`DELETE /v1/events/{event_id}?tenant_id=...&start_time=...`: 200 with the identity of what is gone.

        `start_time` is any instant of the event's UTC day; it is needed where an id was used on several days.
        """
        principal: Principal = request.state.principal
        tenant_id = request.query_params.get("tenant_id") or principal.scope.tenant
        if not tenant_id:
            raise MissingTenant
        day = _day(request.query_params.get("start_time"))
        row = await run_in_threadpool(self.event, tenant_id, request.path_params["event_id"], day, principal)
        return JSONResponse(_told(row))

    def event(self, tenant_id: str, event_id: str, day: date | None, principal: Principal) -> EventRow:
        """The event of that identity, once it is deleted: neither a replay nor a correction brings it back.

        Recorded before it happens. Raises NoSuchEvent, AmbiguousEvent, AllocatedEvent or Unavailable.
        """
        rows = self._store.rows(RowQuery(principal.scope, tenant_id=tenant_id, event_id=event_id, day=day))
        if not rows:
            raise NoSuchEvent(tenant_id, event_id)
        if len(rows) > 1:
            raise AmbiguousEvent(event_id, rows)
        if rows[0].cost_source == "allocated":
            raise AllocatedEvent(event_id)
        told = _told(rows[0])
        record_now(self._database, principal.name, Action.DELETE_EVENT, f"{tenant_id}/{event_id}", **told)
        self._store.insert([tombstone(rows[0])])
        return rows[0]


def _told(row: EventRow) -> dict[str, Any]:
    return {"tenant_id": row.tenant_id, "event_id": row.event_id, "start_time": row.start_time.isoformat()}


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise UnusableStartTime(text)
        return instant.astimezone(UTC).date()
    except (ValueError, OverflowError):
        raise UnusableStartTime(text) from None
