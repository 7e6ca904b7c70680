"""`apportion` as people run it: processes of their own, in a directory of their own, with nothing set but what is given."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.servers.tether import mortal

ROOT = Path(__file__).resolve().parents[2]


class CommandLine:
    """Runs commands with `directory` as working and data directory; compiled code is kept in `compiled`."""

    def __init__(self, directory: Path, compiled: Path) -> None:
        self.directory = directory
        self._compiled = compiled

    def command(self, *arguments: str) -> list[str]:
        """The words of a command."""
        return [sys.executable, "-m", "api.cli", *arguments]

    def environment(self, **settings: str) -> dict[str, str]:
        """That of the tests, without settings of ours, and with compiled code kept as an installation keeps it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("APPORTION_")}
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        python = {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(self._compiled)}
        terminal = {"COLUMNS": "300", "NO_COLOR": "1"}
        return inherited | python | terminal | {"APPORTION_DATA_DIR": str(self.directory)} | settings

    def __call__(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """The finished command: its exit code and what it said."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def key(self, role: str, *options: str) -> str:
        """A new key."""
        created = self("keys", "create", "--name", role, "--role", role, *options)
        assert created.returncode == 0, created.stderr
        return created.stdout.splitlines()[-1]


class RunningServer:
    """`apportion serve` on a free port, inside a `with` block; it cannot outlive the tests."""

    def __init__(self, run: CommandLine) -> None:
        self._run = run

    def __enter__(self) -> Self:
        command = mortal(*self._run.command("serve", "--port", "0"))
        self._log = (self._run.directory / "server.log").open("ab")
        self._process = subprocess.Popen(
            command,
            cwd=self._run.directory,
            env=self._run.environment(),
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.greeting = self._read_greeting()
        self.port = int(re.search(r"listens on http://127\.0\.0\.1:(\d+)", self.greeting)[1])
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def stop(self, number: signal.Signals) -> int:
        """The exit code after that signal."""
        self._process.send_signal(number)
        return self._process.wait(timeout=40)

    def send(self, key: str, *events: dict[str, Any]) -> httpx.Response:
        """The response to those events."""
        return self._client.post("/v1/events", json=list(events), headers={"x-api-key": key})

    def ask(self, key: str, query: str) -> httpx.Response:
        """The response to a GraphQL query."""
        return self._client.post("/graphql", json={"query": query}, headers={"authorization": f"Bearer {key}"})

    def _read_greeting(self) -> str:
        """What it prints until it says where it listens."""
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            if "listens on" in line:
                return said
        raise AssertionError(f"ended with {self._process.wait()}: {(self._run.directory / 'server.log').read_text()}")
