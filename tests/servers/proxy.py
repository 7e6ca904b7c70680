"""A way to ClickHouse's HTTP port on which chosen requests come to grief.

What the network may do at any moment happens here on demand: the connection is reset before the server hears of a
request, after it did the work, or in the middle of its answer.
"""

from __future__ import annotations

import re
import socket
import socketserver
import struct
from enum import Enum, unique
from threading import Lock, Thread
from types import TracebackType
from typing import BinaryIO, Self, cast
from urllib.parse import unquote_plus

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@unique
class Fault(Enum):
    """What befalls a request."""

    UNHEARD = "The connection is reset; the server never hears of it."
    UNANSWERED = "The server does the work; the connection is reset instead of an answer."
    CUT_SHORT = "The server does the work; the connection is reset after half of the answer."


class FaultyProxy:
    """A loopback port in front of another one, open inside a `with` block. It passes every request on, unless told otherwise."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._lock = Lock()
        self._planned: list[tuple[str, Fault]] = []
        self._heard: list[str] = []
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                proxy._serve(self.connection, cast("BinaryIO", self.rfile))

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def plan(self, text: str, *faults: Fault) -> None:
        """The next requests that hold the text meet these faults, one each."""
        with self._lock:
            self._planned += [(text, fault) for fault in faults]

    def count(self, text: str) -> int:
        """How many requests that hold the text have come so far."""
        with self._lock:
            return sum(text in request for request in self._heard)

    def _serve(self, connection: socket.socket, stream: BinaryIO) -> None:
        """Requests of one connection, until one of the sides ends it: answers say `Connection: close`."""
        request = _read_request(stream)
        if not request:
            return
        fault = self._fault_of(request)
        answer = b"" if fault is Fault.UNHEARD else self._forward(request)
        if fault is None:
            connection.sendall(answer)
            return
        if fault is Fault.CUT_SHORT:
            connection.sendall(answer[: len(answer) // 2])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        connection.close()

    def _fault_of(self, request: bytes) -> Fault | None:
        text = unquote_plus(request[:20_000].decode("latin-1"))
        with self._lock:
            self._heard.append(text)
            for plan in self._planned:
                if plan[0] in text:
                    self._planned.remove(plan)
                    return plan[1]
        return None

    def _forward(self, request: bytes) -> bytes:
        """The whole answer, at whose end the server is asked to hang up."""
        first, _, rest = request.partition(b"\r\n")
        rest = re.sub(rb"(?im)^connection: [^\r]*\r\n", b"", rest, count=1)
        with (
            socket.create_connection(("127.0.0.1", self._upstream_port)) as upstream,
            upstream.makefile("rb") as answer,
        ):
            upstream.sendall(first + b"\r\nConnection: close\r\n" + rest)
            return answer.read()


def _read_request(stream: BinaryIO) -> bytes:
    """One HTTP request as it came; nothing when the client has hung up."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return b""
        head += line
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    if length:
        return head + stream.read(int(length.group(1)))
    return head + (_read_chunks(stream) if re.search(rb"(?im)^transfer-encoding: *chunked", head) else b"")


def _read_chunks(stream: BinaryIO) -> bytes:
    body = b""
    while True:
        line = stream.readline()
        chunk = stream.read(int(line.split(b";")[0], 16) + 2)
        body += line + chunk
        if chunk == b"\r\n":
            return body
