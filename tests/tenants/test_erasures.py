"""The list of erased users: it names nobody, is known everywhere within seconds, and survives an absent database."""

from __future__ import annotations

import json
from threading import Barrier, Thread

import pytest
from sqlmodel import select

from core.database import Database, DatabaseUnavailable
from tenants.audit import records
from tenants.erasures import REFRESH_SECONDS, ErasedUsers, Erasure
from tests.tenants.conftest import Clock


def test_who_is_erased_is_known_at_once_here_and_soon_elsewhere(database: Database, clock: Clock) -> None:
    here, elsewhere = ErasedUsers(database, clock=clock), ErasedUsers(database, clock=clock)
    assert not elsewhere.known()
    here.add("acme", "ada", by="dpo", events=3)
    assert here.known().covers("acme", "ada")
    clock.now += REFRESH_SECONDS
    known = elsewhere.known()
    assert known.covers("acme", "ada")
    assert not any(known.covers(*other) for other in (("acme", "Ada"), ("acm", "eada"), ("acmea", "da"), ("x", "ada")))
    here.close()
    elsewhere.close()


def test_neither_the_list_nor_the_log_names_anybody(database: Database) -> None:
    erased = ErasedUsers(database)
    for user in ("ada@example.com", "ada@example.com", "bob"):
        erased.add("acme", user, by="dpo", kept_costs=True)
    with database.session() as session:
        rows = session.exec(select(Erasure)).all()
    assert (len(rows), len({row.salt for row in rows}), len({row.digest for row in rows})) == (2, 1, 2)
    log = records(database, first=9)
    assert [(row.actor, row.action) for row in log] == [("dpo", "user.erase")] * 3
    assert log[1].target == log[2].target != log[0].target
    assert json.loads(log[0].details) == {"tenant": "acme", "kept_costs": True}
    assert "ada@" not in repr([*rows, *log])
    erased.close()


def test_processes_may_erase_the_same_user_at_once(database: Database) -> None:
    lists, start = [ErasedUsers(database) for _ in range(4)], Barrier(4)

    def add(erased: ErasedUsers) -> None:
        start.wait()
        erased.add("acme", "ada", by="dpo")

    threads = [Thread(target=add, args=(erased,)) for erased in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records(database, first=9)) == 4
    for erased in lists:
        erased.refresh()
        assert erased.known().covers("acme", "ada")
        erased.close()


def test_while_the_database_is_away_the_last_list_stays_in_force(database: Database, clock: Clock) -> None:
    erased = ErasedUsers(database, clock=clock)
    erased.add("acme", "ada", by="dpo")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE erasures RENAME TO erasures_away")
    clock.now += 10 * REFRESH_SECONDS
    assert erased.known().covers("acme", "ada")
    erased.close()


def test_a_list_that_was_never_read_is_not_taken_for_empty(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path}/x.db")
    erased = ErasedUsers(database)
    with pytest.raises(DatabaseUnavailable):
        erased.known()
    erased.close()
    database.close()
