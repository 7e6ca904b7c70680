"""A plain HTTP service that stands where an API replica stands, for the tools around it."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self


class Replica:
    """Answers every request with its name, and `/healthz` with the health it was given."""

    def __init__(self, name: str, *, health: int = 200) -> None:
        self.seen: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, name, health))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Gone: connections are refused. May be asked for twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(replica: Replica, name: str, health: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            replica.seen.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(health if self.path == "/healthz" else 200)
            self.send_header("Content-Length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        do_GET = do_POST = answer  # noqa: N815  # names of the standard library

        def log_message(self, *arguments: object) -> None:
            """Silent."""

    return Handler
