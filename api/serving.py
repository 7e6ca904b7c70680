"""Running the application: migrate, bind, say where, serve until told to stop."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import uvicorn
from rich.console import Console

from api.app import make_app
from api.services import Services
from core.errors import Unavailable
from core.settings import Settings
from tenants.principal import Role

console = Console(highlight=False, soft_wrap=True)


class PortInUse(Unavailable):
    """Somebody else listens there."""

    code = "PORT_IN_USE"

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} of {host} is in use; choose another with --port, or 0 for a free one")


def open_services(settings: Settings) -> Services:
    """The services on migrated stores."""
    services = Services(settings)
    services.migrate()
    return services


def serve(services: Services, *, announce: Callable[[str], None] = lambda _: None) -> None:
    """Serve until the process is told to stop; then finish what was accepted and close the services.

    The first start with no keys prints an admin key, once. `announce` is told the URL just before serving.
    """
    settings = services.settings
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    if services.keys.is_empty():
        key = services.keys.create("first admin", Role.ADMIN)
        console.print(f"admin key, shown only now: [bold]{key}[/bold]")
    console.print(f"Apportion listens on http://{host}:{port} (GraphQL and GraphiQL at /graphql)")
    announce(f"http://{host}:{port}")
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        make_app(services),
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
        ws_max_size=1_000_000,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    """The listening socket, bound before anything is promised. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise PortInUse(settings.host, settings.port) from error
    listener.listen(2048)
    return listener
