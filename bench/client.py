"""The cheapest client that is still a client: blocking keep-alive connections, bodies made beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from threading import Lock

from bench.workloads import JSON, Workload

Body = tuple[bytes, int]
"""What is posted, and how many events it holds."""


class NotAccepted(RuntimeError):
    """The server refused what it should have taken, so there is nothing to measure."""

    def __init__(self, status: int, answer: bytes) -> None:
        super().__init__(f"status {status}: {answer[:300].decode(errors='replace')}")


class Connection:
    """One keep-alive connection to a server on this machine."""

    def __init__(self, port: int, key: str, content_type: str = JSON) -> None:
        self._http = HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": content_type}

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


def send(port: int, key: str, bodies: Iterable[Body], workload: Workload) -> int:
    """How many events were acknowledged over connections side by side, each posting as soon as it was answered.

    Raises NotAccepted when an event was not new, or not accepted.
    """
    queue = _Queue(bodies)
    with ThreadPoolExecutor(workload.connections) as threads:
        return sum(threads.map(lambda _: _drain(port, key, queue, workload), range(workload.connections)))


class _Queue:
    """Bodies that several threads take from."""

    def __init__(self, bodies: Iterable[Body]) -> None:
        self._bodies = iter(bodies)
        self._lock = Lock()

    def __iter__(self) -> Iterator[Body]:
        return self

    def __next__(self) -> Body:
        with self._lock:
            return next(self._bodies)


def _drain(port: int, key: str, queue: _Queue, workload: Workload) -> int:
    total = 0
    with closing(Connection(port, key, workload.content_type)) as connection:
        for body, events in queue:
            answer = connection.post(workload.path, body)
            accepted = workload.accepted(answer, events)
            if accepted != events:
                raise NotAccepted(200, answer)
            total += accepted
    return total
