"""One holder at a time, by the database's clock, on both kinds of database."""

from __future__ import annotations

import time

import pytest

from budgets.lease import Lease, LeaseLost
from core.database import Database
from tests.tenants.race import race


def test_one_holds_it_until_it_falls_silent(database: Database) -> None:
    first, second = (Lease(database, "x", ttl_seconds=0.4) for _ in range(2))
    assert [first.hold(), second.hold(), first.hold()] == [True, False, True]
    assert Lease(database, "another").hold()
    time.sleep(0.5)
    assert [second.hold(), first.hold()] == [True, False]
    assert (first.term, second.term) == (1, 1)


def test_who_lets_go_is_replaced_at_once(database: Database) -> None:
    first, second = (Lease(database, "x", ttl_seconds=60) for _ in range(2))
    assert first.hold()
    second.release()
    assert not second.hold()
    first.release()
    assert second.hold()


def test_what_a_deposed_holder_writes_is_not_kept(database: Database) -> None:
    first, second = (Lease(database, "x", ttl_seconds=0.1) for _ in range(2))
    assert first.hold()
    time.sleep(0.2)
    with database.session() as session:
        first.confirm(session)  # late, and nobody took it meanwhile
        session.commit()
    assert not second.hold()
    time.sleep(0.2)
    assert second.hold()
    with database.session() as session, pytest.raises(LeaseLost):
        first.confirm(session)


def test_terms_tell_whether_somebody_else_held_it_in_between(database: Database) -> None:
    first, second = (Lease(database, "x", ttl_seconds=0.1) for _ in range(2))
    assert first.hold()
    time.sleep(0.2)
    assert first.hold()
    assert first.term == 1
    time.sleep(0.2)
    assert second.hold()
    time.sleep(0.2)
    assert first.hold()
    assert first.term == 2


def grab(url: str) -> int:
    database = Database(url)
    held = sum(Lease(database, f"n{i}", ttl_seconds=60).hold() for i in range(20))
    database.close()
    return held


@pytest.mark.slow
def test_of_two_processes_one_gets_it(database: Database, database_url: str) -> None:
    assert sum(race(grab, database_url)) == 20
