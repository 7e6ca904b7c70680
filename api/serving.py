"""Running the application: migrate, bind, say where, serve until told to stop."""

from __future__ import annotations

import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

import uvicorn
from rich.console import Console

from api.app import make_app
from api.services import Services
from core.database import Turn
from core.errors import Unavailable
from core.settings import Settings
from tenants.principal import Role

COLLECT_EVERY: Final = 50_000
"""New containers between two collections; a body of 500 events makes some thousands."""

console = Console(highlight=False, soft_wrap=True)


class PortInUse(Unavailable):
    """Somebody else listens there."""

    code = "PORT_IN_USE"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} of {host} is in use; choose another with --port, or 0 for a free one")


class CannotListen(Unavailable):
    """The address is not this machine's, or the port is not for this user."""

    code = "CANNOT_LISTEN"

    def __init__(self, host: str, port: int, error: OSError) -> None:
        super().__init__(f"cannot listen on port {port} of {host}: {error.strerror}")


def open_services(settings: Settings) -> Services:
    """The services on migrated stores."""
    services = Services(settings)
    services.migrate()
    return services


def open_to_serve(settings: Settings) -> Services:
    """The services on migrated stores; while a ClickHouse server is away they take events all the same."""
    services = Services(settings)
    services.migrate_now_or_later()
    return services


def serve(services: Services, *, announce: Callable[[str], None] = lambda _: None) -> None:
    """Serve until the process is told to stop; then finish what was accepted, close the services and exit with 0.

    The first start with no keys prints an admin key, once. `announce` is told the URL just before serving.
    """
    settings = services.settings
    try:
        with _listen(settings.host, settings.port) as listener:
            services.pipeline.own_spool()
            _print_first_key(services)
            url = _url(listener)
            console.print(f"Apportion listens on {url} (GraphQL and GraphiQL at /graphql)")
            if settings.grpc_port:
                console.print(f"OTLP over gRPC: port {settings.grpc_port}")
            if services.is_behind:
                console.print("ClickHouse does not answer: events wait in the spool until it does")
            announce(url)
            _end_quietly()
            _Server(services).run(sockets=[listener])
    finally:
        services.release()  # for when it never came to serving, which ends with releasing them


class _Server(uvicorn.Server):
    """A server that counts the application's start as its own, and ends subscriptions before it stops."""

    def __init__(self, services: Services) -> None:
        super().__init__(_config(services))
        self._services = services

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        _keep_pauses_short()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way; subscriptions would never end by themselves."""
        self._services.watch.end_subscriptions()
        await super().shutdown(sockets)


def _config(services: Services) -> uvicorn.Config:
    level = services.settings.log_level
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return uvicorn.Config(
        make_app(services),
        log_level=level,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
        timeout_keep_alive=75,  # longer than balancers keep theirs, or they meet connections that just closed
        ws_max_size=1_000_000,
    )


def _keep_pauses_short() -> None:
    """Keep requests from waiting for other work of the process: decisions are made in a millisecond.

    What is loaded by now, prices above all, stays for good, so the collector need not look through it, which took 0.4 s
    each time; nor need it run for each of the many containers that a body of events is made of. And a thread that
    evaluates budgets gives way after a tenth of a millisecond: each read of a socket waits for that.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 20)
    sys.setswitchinterval(0.0001)


def _print_first_key(services: Services) -> None:
    with services.database.lock(Turn.MIGRATION):  # replicas that start together must not each make one
        if services.keys.is_empty():
            key = services.keys.create("first admin", Role.ADMIN)
            console.print(f"admin key, shown only now: [bold]{key}[/bold]")


def _end_quietly() -> None:
    """Make being told to stop an ordinary end: uvicorn raises the signal again once it has shut down."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, bound before anything is promised. Raises PortInUse or CannotListen."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from error
        raise CannotListen(host, port, error) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
