"""`apportion serve` as its users run it: a process of its own on an empty directory, spoken to over HTTP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_STARTED = re.compile(r"(?P<key>apn_\w+).*listens on http://127\.0\.0\.1:(?P<port>\d+)", re.DOTALL)


class Server:
    """A running server, inside a `with` block: its process id, its port and its admin key."""

    def __init__(self, directory: Path) -> None:
        command = (sys.executable, "-m", "api.cli", "serve", "--port", "0", "--data-dir", str(directory))
        environment = os.environ | {"APPORTION_LOG_LEVEL": "warning", "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self.key, self.port = self._await_start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate(timeout=60)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def _await_start(self) -> tuple[str, int]:
        """The key and port it prints at its first start. From then on requests wait until they are answered."""
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            if started := _STARTED.search(said):
                return started["key"], int(started["port"])
        message = f"the server ended with code {self._process.wait()} before it listened"
        raise RuntimeError(message)
