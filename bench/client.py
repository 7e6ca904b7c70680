"""The cheapest client that is still a client: blocking keep-alive connections, bodies made beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from threading import Lock
from types import TracebackType
from typing import Self

import msgspec

from ingest.payloads import Receipt


class NotAccepted(RuntimeError):
    """The server refused what it should have taken, so there is nothing to measure."""

    def __init__(self, status: int, answer: bytes) -> None:
        super().__init__(f"status {status}: {answer[:300].decode(errors='replace')}")


class Connection:
    """One keep-alive connection to a server on this machine."""

    def __init__(self, port: int, key: str) -> None:
        self._http = HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """The answer's body as it came. Raises NotAccepted for any status but 200."""
        self._http.request("POST", path, body, {**self._headers, **(headers or {})})
        response = self._http.getresponse()
        answer = response.read()
        if response.status != 200:
            raise NotAccepted(response.status, answer)
        return answer

    def close(self) -> None:
        """Hang up."""
        self._http.close()


class Senders:
    """Connections that post events side by side, each as soon as its last body was answered."""

    def __init__(self, port: int, key: str, *, connections: int = 4) -> None:
        self._connections = [Connection(port, key) for _ in range(connections)]
        self._threads = ThreadPoolExecutor(connections)
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()

    def send(self, bodies: Iterable[bytes]) -> int:
        """How many events were acknowledged. Raises NotAccepted when one was not new, or not accepted."""
        queue = iter(bodies)
        return sum(self._threads.map(lambda connection: self._drain(connection, queue), self._connections))

    def _drain(self, connection: Connection, queue: Iterator[bytes]) -> int:
        accepted = 0
        while (body := self._next(queue)) is not None:
            answer = connection.post("/v1/events", body)
            receipt = msgspec.json.decode(answer, type=Receipt)
            if receipt.accepted != receipt.received:
                raise NotAccepted(200, answer)
            accepted += receipt.accepted
        return accepted

    def _next(self, queue: Iterator[bytes]) -> bytes | None:
        with self._lock:
            return next(queue, None)
