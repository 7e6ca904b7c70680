"""The audit log: every change leaves its record in the same transaction, and only unscoped admins read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from core.database import Database
from core.errors import ApportionError
from pricing.book import PriceBook
from tenants.audit import COMMAND_LINE, Action, record, record_now, records
from tenants.keys import KeyRing
from tenants.principal import Role
from tenants.scope import Scope
from tests.app import Api

LOG = "query($first: Int!, $after: String) { auditLog(first: $first, after: $after) { nodes { actor action target details } pageInfo { hasNextPage endCursor } } }"


def told(database: Database) -> list[tuple[str, str, str]]:
    return [(row.actor, row.action, row.target) for row in records(database, first=100)]


def test_keys_leave_a_record_of_their_creation_and_of_their_revocation_once(database: Database) -> None:
    ring = KeyRing(database)
    prefix = ring.create("ci", Role.INGEST, Scope(tenant="acme"), by="root").split("_")[1]
    ring.revoke(prefix)
    ring.revoke(prefix)
    assert told(database) == [(COMMAND_LINE, "key.revoke", prefix), ("root", "key.create", prefix)]
    details = json.loads(records(database, first=2)[1].details)
    assert details == {"name": "ci", "role": "ingest", "tenant": "acme", "team": None, "environment": None}
    assert records(database, first=1)[0].at.tzinfo is UTC


def test_a_price_is_recorded_when_it_is_added_and_not_when_it_is_refused(database: Database) -> None:
    book, start = PriceBook(database.session), datetime(2026, 1, 1, tzinfo=UTC)

    def add() -> None:
        book.add(provider="p", unit="gb", price=Decimal("0.0000001"), effective_from=start, created_by="fin")

    add()
    with pytest.raises(ApportionError):
        add()
    assert told(database) == [("fin", "price.add", "price 1")]
    assert json.loads(records(database, first=1)[0].details)["price"] == "0.0000001"


def test_a_record_shares_the_fate_of_its_transaction(database: Database) -> None:
    with database.session() as session:
        record(session, "somebody", Action.DELETE_EVENT, "undone")
        session.flush()
    record_now(database, "somebody", Action.DELETE_EVENT, "a\0b" + "x" * 600)
    assert [target for _, _, target in told(database)] == [("a\N{REPLACEMENT CHARACTER}b" + "x" * 600)[:500]]


def test_the_log_is_paged_newest_first(embedded_api: Api) -> None:
    for i in range(3):
        embedded_api.services.keys.create(f"key {i}", Role.VIEWER)
    first = embedded_api.data(LOG, first=2)["auditLog"]
    assert [json.loads(node["details"])["name"] for node in first["nodes"]] == ["key 2", "key 1"]
    assert (first["nodes"][0]["action"], first["pageInfo"]["hasNextPage"]) == ("CREATE_KEY", True)
    rest = embedded_api.data(LOG, first=9, after=first["pageInfo"]["endCursor"])["auditLog"]
    assert [json.loads(node["details"])["name"] for node in rest["nodes"]] == ["key 0", "test admin"]
    assert rest["pageInfo"]["hasNextPage"] is False


def test_the_log_is_for_unscoped_admins(embedded_api: Api) -> None:
    for role in (Role.VIEWER, Role.EDITOR, Role.FINANCE, Role.INGEST):
        answer = embedded_api.graphql(LOG, key=embedded_api.make_key(role), first=1)
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    scoped = embedded_api.make_key(Role.ADMIN, tenant="acme")
    assert embedded_api.data(LOG, key=scoped, first=1)["auditLog"] is None
    assert embedded_api.graphql(LOG, first=0)["errors"][0]["extensions"]["code"] == "BAD_PAGE_SIZE"
    assert embedded_api.graphql(LOG, first=1, after="x")["errors"][0]["extensions"]["code"] == "BAD_CURSOR"
