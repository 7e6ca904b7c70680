"""`apportion serve` as a process of its own, to be killed and started again on the same data."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.tether import ServerFailed, mortal

_ROOT = Path(__file__).resolve().parents[2]
_KEY = re.compile(r"apn_\w+")
_PORT = re.compile(r"listens on http://127\.0\.0\.1:(\d+)")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Product:
    """The product on one data directory, running inside a `with` block. Every start listens on another port."""

    def __init__(self, directory: Path, clickhouse_url: str = "", **settings: object) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.key = ""
        self.port = 0
        given = {"data_dir": directory, "clickhouse_url": clickhouse_url, "log_level": "warning", **settings}
        self._environment = os.environ | {f"APPORTION_{name.upper()}": str(value) for name, value in given.items()}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill()

    @property
    def log(self) -> Path:
        """What the process says on standard error, over all its lives."""
        return self.directory / "product.log"

    def start(self) -> None:
        """Running and listening. Raises ServerFailed."""
        command = mortal(sys.executable, "-m", "api.cli", "serve", "--port", "0")
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=_ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.port = self._await_port(self._process)

    def kill(self) -> None:
        """Gone as by `kill -9`."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """Told to stop, as by a supervisor; its exit status once it has."""
        return self._end(signal.SIGTERM)

    @property
    def peak_megabytes(self) -> float:
        """The most memory the running process ever had resident."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1000

    def graphql(self, query: str) -> Any:
        """The data of an answer that must have no errors."""
        answer = json.loads(self._request("/graphql", json.dumps({"query": query}).encode()))
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def metric(self, name: str) -> float:
        """The sum over all labels of one metric."""
        text = self._request("/metrics").decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))

    def get(self, path: str) -> tuple[int, Any]:
        """Status and decoded JSON of an answer, whatever the status."""
        try:
            return 200, json.loads(self._request(path))
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.loads(refusal.read())

    def _request(self, path: str, body: bytes | None = None) -> bytes:
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)
        with _DIRECT.open(request, timeout=90) as response:
            return bytes(response.read())

    def _end(self, how: signal.Signals) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(how)
        process.communicate(timeout=90)
        return process.returncode

    def _await_port(self, process: subprocess.Popen[str]) -> int:
        assert process.stdout is not None
        for line in process.stdout:
            if key := _KEY.search(line):
                self.key = key[0]
            if port := _PORT.search(line):
                return int(port[1])
        raise ServerFailed("api.cli", process.wait(), self.log.read_text())
