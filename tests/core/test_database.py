"""The relational database as a setting, and what is said when it is not there."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from core.database import Database, DatabaseUnavailable, UnusableDatabaseUrl, UnusableDirectory
from core.errors import InvalidInput, Unavailable
from tests.servers.tether import reserved_port


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_postgresql_goes_by_all_its_names(scheme):
    database = Database(f"{scheme}://me:secret@db.example:6000/costs?sslmode=require")
    assert database.url.drivername == "postgresql+psycopg"
    assert (database.url.host, database.url.port, database.url.database) == ("db.example", 6000, "costs")
    assert database.url.query == {"sslmode": "require", "connect_timeout": "5"}


def test_a_connect_timeout_of_ones_own_is_kept():
    assert Database("postgresql://db.example/costs?connect_timeout=60").url.query == {"connect_timeout": "60"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "costs.db",
        "://",
        "mysql://me:secret@db.example/costs",
        "postgresql+psycopg2://me:secret@db.example/costs",
        "postgresql://me:secret@db.example:port/costs",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_any_other_url_is_refused_without_repeating_it(url):
    with pytest.raises(UnusableDatabaseUrl) as refusal:
        Database(url)
    assert isinstance(refusal.value, InvalidInput)
    assert refusal.value.code == "UNUSABLE_DATABASE_URL"
    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_directory_is_made_for_the_file(tmp_path):
    Database(f"sqlite:///{tmp_path}/some/where/costs.db").ping()
    assert (tmp_path / "some" / "where" / "costs.db").is_file()


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnusableDirectory) as refusal:
        Database(f"sqlite:///{tmp_path}/file/costs.db")
    assert isinstance(refusal.value, Unavailable)
    assert str(refusal.value) == f"{tmp_path}/file cannot be used for data: File exists"


def test_a_lock_file_that_cannot_be_made_is_named(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/costs.db")
    (tmp_path / "costs.db.lock").mkdir()
    with (
        pytest.raises(UnusableDirectory, match=r"costs\.db\.lock cannot be used for data: Is a directory"),
        database.lock(),
    ):
        pytest.fail("inside without a lock")


def test_sqlite_survives_a_loss_of_power_and_lets_readers_by(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/costs.db")
    with database.session() as session:
        settings = {
            name: session.connection().execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}
    database.close()


def enter_lock(database: Database) -> None:
    with database.lock():
        pytest.fail("inside without a lock")


@pytest.mark.parametrize("use", [Database.ping, Database.migrate, Database.is_current, enter_lock])
def test_an_absent_server_is_unavailable_and_its_address_no_answer(use):
    with reserved_port() as port:
        database = Database(f"postgresql://me:secret@127.0.0.1:{port.getsockname()[1]}/costs")
        with pytest.raises(DatabaseUnavailable) as refusal:
            use(database)
    assert str(refusal.value) == "the relational database does not answer; retry shortly"
    (note,) = refusal.value.__notes__
    assert "127.0.0.1" in note
    assert "secret" not in note


def test_what_was_not_committed_is_rolled_back(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/costs.db")
    with database.session() as session:
        session.connection().execute(text("CREATE TABLE t (n INTEGER)"))
        session.commit()
    with database.session() as session:
        session.connection().execute(text("INSERT INTO t VALUES (1)"))
    with database.session() as session:
        assert session.connection().execute(text("SELECT count(*) FROM t")).scalar() == 0
    database.close()
