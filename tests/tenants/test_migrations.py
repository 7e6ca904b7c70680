"""The relational schema on both databases: reached from nothing, once, by one process or several, all or nothing."""

from __future__ import annotations

import re
from pathlib import Path
from threading import Event, Thread

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect, text
from sqlmodel import SQLModel

from core.database import Database
from tenants.keys import KeyRing
from tenants.principal import Role
from tests.tenants.race import race

SCRIPTS = Path(__file__).parents[2] / "alembic"


@pytest.fixture
def empty(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_an_empty_database_is_not_current_until_migrated(empty):
    assert not empty.is_current()
    assert tables(empty) == set()
    empty.migrate()
    assert empty.is_current()
    assert tables(empty) >= {"api_keys", "negotiated_prices"}


def test_migrating_again_keeps_what_is_stored(empty):
    empty.migrate()
    key = KeyRing(empty).create("k", Role.VIEWER)
    empty.migrate()
    assert empty.is_current()
    assert KeyRing(empty).verify(key).name == "k"


def test_the_migrations_lead_to_the_models(database):
    """To all of them: migrating has imported what `alembic/env.py` lists."""
    options = {"compare_type": True, "compare_server_default": True}
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, SQLModel.metadata) == []


def test_an_interrupted_migration_leaves_nothing_and_runs_again(empty):
    def interrupt(_connection, _cursor, statement, *_rest):
        if "CREATE TABLE negotiated_prices" in statement:
            raise InterruptedError

    event.listen(empty.engine, "before_cursor_execute", interrupt)
    with pytest.raises(InterruptedError):
        empty.migrate()
    event.remove(empty.engine, "before_cursor_execute", interrupt)
    assert tables(empty) == set()
    empty.migrate()
    assert empty.is_current()


def test_a_newer_schema_is_current_and_left_alone(database):
    """Replicas of the old version go on while new ones are rolled out."""
    with database.session() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = '9999'"))
        session.commit()
    assert database.is_current()
    database.migrate()
    with database.session() as session:
        assert session.connection().execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"


def test_an_older_schema_is_not_current(database):
    with database.session() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = '0000'"))
        session.commit()
    assert not database.is_current()


def test_revisions_are_one_line_numbered_like_their_files():
    scripts = list(ScriptDirectory(str(SCRIPTS)).walk_revisions())[::-1]
    numbers = [script.revision for script in scripts]
    assert numbers == [f"{number:04}" for number in range(1, len(scripts) + 1)]
    assert [script.down_revision for script in scripts] == [None, *numbers[:-1]]
    assert all(re.fullmatch(rf"{script.revision}_\w+\.py", Path(script.path).name) for script in scripts)


def migrate(url: str) -> bool:
    database = Database(url)
    with database.lock():
        database.migrate()
    is_current = database.is_current()
    database.close()
    return is_current


@pytest.mark.slow
def test_processes_that_migrate_at_once_take_turns(empty, database_url):
    assert race(migrate, database_url) == [True, True]
    with empty.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_one_at_a_time_is_inside_the_lock(empty, database_url):
    entered, other = Event(), Database(database_url)

    def enter() -> None:
        with other.lock():
            entered.set()

    second = Thread(target=enter)
    with empty.lock():
        second.start()
        assert not entered.wait(0.3)
    assert entered.wait(10)
    second.join()
    other.close()


def test_the_lock_is_free_again_after_an_error(empty, database_url):
    with pytest.raises(InterruptedError), empty.lock():
        raise InterruptedError
    assert migrate(database_url)
