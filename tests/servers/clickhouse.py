"""A real ClickHouse server, HTTP interface included, out of the chdb wheel.

The engine inside the wheel is ClickHouse's own, and `SYSTEM START LISTEN HTTP` makes it open ClickHouse's own
HTTP listener. Only the extension module's entry point can do so, hence the private `chdb._chdb`; the version of
chdb is pinned. Run as a module, this file is the server; imported, it is the handle on one.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tests.servers.tether import Tether, reserved_port

_START_TIMEOUT_SECONDS = 60
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy setting must not reach loopback

# `listen_reuse_port` lets the server bind the port that the handle keeps reserved for it.
_CONFIG = """<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <listen_reuse_port>1</listen_reuse_port>
  <users_config>{directory}/users.xml</users_config>
</clickhouse>
"""
_USERS = """<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <access_management>1</access_management>
    </default>
  </users>
</clickhouse>
"""


class ClickHouseServer:
    """A ClickHouse server on the loopback interface, running inside a `with` block, empty at its first start.

    `directory` keeps data, configuration and `server.log`; a restart finds them again. `overrides` is a directory
    with `config.d` and `users.d`, merged as a packaged server merges them; `environment` is for its `from_env`.
    The port is reserved from construction to exit, so it survives restarts and no other process can be given it.
    """

    def __init__(
        self, directory: Path, *, overrides: Path | None = None, environment: dict[str, str] | None = None
    ) -> None:
        self.directory = directory.resolve()
        self._environment = os.environ | (environment or {})
        self._reservation = reserved_port()
        self.port: int = self._reservation.getsockname()[1]
        self._tether: Tether | None = None
        self._configure(overrides)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def start(self) -> None:
        """Running and answering. Raises `ServerFailed` with the server's log when it does not come up."""
        assert self._tether is None, "the server runs already"
        log = self.directory / "server.log"
        self._tether = Tether(__name__, str(self.directory), log=log, environment=self._environment)
        self._await_answer(self._tether)

    def stop(self, grace_seconds: float = 20) -> None:
        """Stopped in an orderly way, or killed after the grace; nothing happens when it was not running.

        The server waits about five seconds for clients that keep an idle connection.
        """
        if self._tether is not None:
            self._tether.stop(grace_seconds)
            self._tether = None

    def kill(self) -> None:
        """Gone as by `kill -9`; `start` brings it back with whatever reached the disk."""
        self._running().kill()
        self._tether = None

    def restart(self) -> None:
        """Stopped in an orderly way and running again, on the same data and the same port."""
        self.stop()
        self.start()

    def url(self, database: str, *, user: str | None = None, password: str = "") -> str:
        """The setting that points the product at this server: `http://[user:password@]127.0.0.1:PORT/?database=…`."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user is not None else ""
        return f"http://{login}127.0.0.1:{self.port}/?database={quote(database, safe='')}"

    def execute(self, sql: str) -> str:
        """The answer to one statement of the `default` user, as tab-separated text.

        Raises `urllib.error.HTTPError`; its body is ClickHouse's sentence.
        """
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", data=sql.encode())
        with _DIRECT.open(request, timeout=60) as response:
            return str(response.read().decode())

    def _leave(self) -> None:
        self.stop(grace_seconds=1)  # nobody will look at its data again
        self._reservation.close()

    def _running(self) -> Tether:
        assert self._tether is not None, "the server is not running"
        return self._tether

    def _configure(self, overrides: Path | None) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if overrides is not None:
            shutil.copytree(overrides, self.directory, dirs_exist_ok=True)
        config = _CONFIG.format(port=self.port, directory=self.directory)
        (self.directory / "config.xml").write_text(config)
        (self.directory / "users.xml").write_text(_USERS)

    def _await_answer(self, tether: Tether) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not self._answers():
            if not tether.is_running() or time.monotonic() > deadline:
                self._tether = None
                raise tether.failure()
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with _DIRECT.open(f"http://127.0.0.1:{self.port}/ping", timeout=5) as response:
                return bool(response.read() == b"Ok.\n")
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return False
        except OSError:
            return False


def serve(directory: Path) -> None:
    """Served from the directory until standard input ends, then shut down in an orderly way.

    The engine reads `config.xml` from its working directory. The last statement blocks on standard input; the output
    format doubles as the server's default one, which clients expect to be ClickHouse's `TabSeparated`.
    """
    from chdb import _chdb  # before the change of directory: importing opens an engine, which must not read our config

    os.dup2(2, 1)  # nobody reads its standard output, which would block the server once full
    os.chdir(directory)
    sql = "SYSTEM START LISTEN HTTP; SELECT count() FROM file('-', LineAsString)"
    _chdb.query(sql, "TabSeparated", path=str(directory / "data"))  # type: ignore[attr-defined]  # compiled, unstubbed


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
