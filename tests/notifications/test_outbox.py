"""The outbox on both databases: written with what happened, once; claimed by one at a time, and never lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from core.database import Database
from notifications.channels import Kind, NewChannel
from notifications.outbox import LEASE, Outbox, Sight, State, enqueue, letter_of
from notifications.topics import Topic
from tenants.audit import records
from tenants.scope import Scope
from tests.tenants.race import race

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
URL = "https://hooks.example.com/x"


def put(database: Database, count: int = 1, channel: str = "ops", **options: object) -> None:
    with database.session() as session:
        for n in range(count):
            enqueue(session, Topic.TEST, {"n": n}, channels=[channel], now=NOW, **options)
        session.commit()


def test_what_is_rolled_back_is_not_told(database, outbox):
    with database.session() as session:
        assert enqueue(session, Topic.TEST, {}, channels=["ops"]) == 1
    assert outbox.find(Sight(Scope()), first=10) == []


def test_a_payload_keeps_money_and_time_exact(database, outbox):
    payload = {"spent": Decimal("0.100000000001"), "at": NOW, "none": None, "name": "München"}
    with database.session() as session:
        enqueue(session, Topic.TEST, payload, channels=["ops"], now=NOW)
        session.commit()
    (row,) = outbox.find(Sight(Scope()), first=1)
    letter = letter_of(row)
    assert letter.payload == {"spent": "0.100000000001", "at": "2026-11-25T12:00:00Z", "none": None, "name": "München"}
    assert (letter.topic, letter.created_at) == (Topic.TEST, NOW)


def test_of_one_key_a_channel_gets_one(database, outbox):
    put(database, dedupe_key="breach:1:opened")
    put(database, dedupe_key="breach:1:opened")
    put(database, dedupe_key="breach:1:opened", channel="other")
    put(database, dedupe_key="breach:2:opened")
    assert len(outbox.find(Sight(Scope()), first=10)) == 3


def test_news_go_to_the_named_and_to_those_who_listen(database, channels, outbox):
    channels.create(NewChannel("all", Kind.SLACK, URL, (Topic.TEST,)))
    channels.create(NewChannel("mine", Kind.SLACK, URL, (Topic.TEST,), "search"))
    channels.create(NewChannel("theirs", Kind.SLACK, URL, (Topic.TEST,), "chat"))
    channels.create(NewChannel("else", Kind.SLACK, URL, (Topic.STATEMENT_CLOSED,)))
    with database.session() as session:
        assert (
            enqueue(session, Topic.TEST, {}, channels=["named", "all"], team="search", scope=Scope(team="search")) == 3
        )
        assert enqueue(session, Topic.TEST, {}) == 1
        assert enqueue(session, Topic.BREACH_OPENED, {}) == 0
        session.commit()
    rows = outbox.find(Sight(Scope()), first=10)
    assert sorted(row.channel for row in rows) == ["all", "all", "mine", "named"]
    assert len({row.message_id for row in rows}) == 2
    assert len(outbox.find(Sight(Scope(team="search")), first=10)) == 3
    assert outbox.find(Sight(Scope(tenant="acme")), first=10) == []


def test_what_is_claimed_is_nobody_elses_until_the_lease_ends(database):
    put(database, 3)
    mine, yours = Outbox(database), Outbox(database)
    assert len(mine.claim(NOW, limit=2)) == 2
    assert len(yours.claim(NOW, limit=10)) == 1
    assert yours.claim(NOW + LEASE - timedelta(seconds=1), limit=10) == []
    assert len(yours.claim(NOW + LEASE, limit=10)) == 3


def test_a_lease_can_be_renewed_and_given_up(database):
    put(database)
    mine, yours = Outbox(database), Outbox(database)
    (row,) = mine.claim(NOW, limit=1)
    mine.renew([row.id], NOW + LEASE)
    assert yours.claim(NOW + LEASE, limit=1) == []
    mine.let_go(NOW)
    assert len(yours.claim(NOW, limit=1)) == 1


def test_who_lost_a_claim_has_no_say_any_more(database):
    put(database)
    mine, yours = Outbox(database), Outbox(database)
    (row,) = mine.claim(NOW, limit=1)
    (taken,) = yours.claim(NOW + LEASE, limit=1)
    mine.failed(row, "late", again_at=None)
    mine.renew([row.id], NOW + 10 * LEASE)
    yours.delivered(taken, NOW)
    (end,) = mine.find(Sight(Scope()), first=1)
    assert (end.state, end.attempts, end.last_error, end.delivered_at) == ("delivered", 1, None, NOW)


def test_busy_channels_are_left_out(database, outbox):
    put(database, 2)
    put(database, 1, channel="quick")
    assert [row.channel for row in outbox.claim(NOW, limit=10, besides={"ops"})] == ["quick"]


def test_a_dead_letter_is_sent_again_within_the_scope(database, outbox):
    put(database, scope=Scope(team="search"))
    (row,) = outbox.claim(NOW, limit=1)
    outbox.failed(row, "no", again_at=None)
    assert outbox.claim(NOW + 10 * LEASE, limit=1) == []
    assert outbox.retry(Sight(Scope(team="chat")), [row.id], by="me") == []
    assert [again.id for again in outbox.retry(Sight(Scope()), [row.id], by="me")] == [row.id]
    assert outbox.retry(Sight(Scope()), [row.id], by="me") == []
    assert [entry.action for entry in records(database, first=5)] == ["notification.retry"]
    assert outbox.depth() == {"pending": 1, "delivered": 0, "dead": 0}


def test_what_is_over_is_forgotten_and_what_waits_is_not(database, outbox):
    put(database, 2)
    (row,) = outbox.claim(NOW, limit=1)
    outbox.delivered(row, NOW)
    outbox.forget(NOW)
    assert outbox.depth()["delivered"] == 1
    outbox.forget(NOW + timedelta(days=1))
    assert outbox.depth() == {"pending": 1, "delivered": 0, "dead": 0}


def test_pages_go_back_in_time(database, outbox):
    put(database, 3)
    first = outbox.find(Sight(Scope()), first=2)
    rest = outbox.find(Sight(Scope()), first=2, before=first[-1].id, state=State.PENDING)
    assert len(first) == 2
    assert len(rest) == 1
    assert outbox.find(Sight(Scope()), first=2, state=State.DEAD) == []


def claim_all(url: str) -> list[int]:
    database = Database(url)
    outbox, found = Outbox(database), []
    while rows := outbox.claim(NOW, limit=7):
        found += [row.id for row in rows]
    database.close()
    return found


@pytest.mark.slow
def test_two_processes_never_claim_the_same(database, database_url):
    put(database, 200)
    mine, yours = race(claim_all, database_url)
    assert sorted(mine + yours) == sorted({*mine, *yours})
    assert len(mine + yours) == 200


def enqueue_key(url: str) -> int:
    database = Database(url)
    with database.session() as session:
        added = sum(enqueue(session, Topic.TEST, {}, channels=["ops"], dedupe_key=f"k{n}") for n in range(50))
        session.commit()
    database.close()
    return added


@pytest.mark.slow
def test_two_processes_that_tell_the_same_tell_it_once(database, database_url, outbox):
    assert sum(race(enqueue_key, database_url)) == 50
    assert len(outbox.find(Sight(Scope()), first=100)) == 50


def test_channels_of_a_deleted_name_stay_where_they_are(database, channels, outbox):
    channels.create(NewChannel("ops", Kind.SLACK, URL))
    put(database)
    channels.delete("ops")
    assert [row.channel for row in outbox.claim(NOW, limit=1)] == ["ops"]
