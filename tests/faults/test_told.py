"""Processes that tell channels, killed at random moments: everything is told, and little of it twice."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from core.database import Database
from notifications.channels import Channels, Kind, NewChannel
from notifications.outbox import Outbox, Sight, State, enqueue
from notifications.topics import Topic
from tenants.scope import Scope
from tests.faults.conftest import ROUNDS, report
from tests.notifications.receivers import http_receiver, wait_until
from tests.servers.postgres import PostgresServer
from tests.servers.tether import Tether

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(60 + 20 * ROUNDS)]


def test_killed_while_telling(postgres_server: PostgresServer, tmp_path: Path) -> None:
    random, sent = Random(ROUNDS), 0
    with postgres_server.database() as url, http_receiver() as hook:
        database = Database(url)
        database.migrate()
        for name in ("a", "b", "c"):
            Channels(database).create(NewChannel(name, Kind.WEBHOOK, hook.url))
        hook.seconds = 0.02

        def start() -> Tether:
            teller = Tether("tests.notifications.teller", url, log=tmp_path / "teller.log")
            teller.first_line()
            return teller

        tellers = [start(), start()]
        for _ in range(ROUNDS):
            sent += say(database, 40)
            time.sleep(random.uniform(0, 1))
            tellers[0].kill()
            tellers = [tellers[1], start()]
        wait_until(lambda: Outbox(database).depth()["pending"] == 0, seconds=30)
        for teller in tellers:
            teller.stop()
        delivered = Outbox(database).find(Sight(Scope()), first=10_000, state=State.DELIVERED)
        times = Counter((request.headers["webhook-id"]) for request in hook.requests)
        assert len(delivered) == sent
        assert {row.message_id for row in delivered} == set(times)
        report(f"{ROUNDS} kills: {sent} notifications, all delivered, {len(hook.requests) - sent} of them twice")
        database.close()


def say(database: Database, count: int) -> int:
    with database.session() as session:
        for number in range(count):
            enqueue(session, Topic.TEST, {}, channels=["abc"[number % 3]])
        session.commit()
    return count
