"""Who is calling: the API key of a request, as a principal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from api.services import Services
from core.errors import Unauthenticated
from tenants.principal import Permission, Principal

Endpoint = Callable[[Request], Awaitable[Response]]


class MissingKey(Unauthenticated):
    """The request carries no API key."""

    def __init__(self) -> None:
        super().__init__("send an API key: `Authorization: Bearer <key>` or `X-API-Key: <key>`")


def presented_key(headers: Mapping[str, str]) -> str:
    """The key that headers present. Raises MissingKey."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    key = headers.get("x-api-key", "").strip()
    if not key:
        raise MissingKey
    return key


async def authenticate(connection: HTTPConnection, services: Services) -> Principal:
    """Whom the presented key stands for. Raises MissingKey or UnknownKey."""
    return await identify(connection.headers, services)


async def identify(headers: Mapping[str, str], services: Services) -> Principal:
    """Whom the key in these headers, their names in lower case, stands for. Raises MissingKey or UnknownKey."""
    key = presented_key(headers)
    principal = services.keys.cached(key)
    return principal if principal is not None else await services.read(services.keys.verify, key)


def guarded(endpoint: Endpoint, services: Services, permission: Permission) -> Endpoint:
    """The endpoint behind a check of key and permission; it finds the caller in `request.state.principal`."""

    async def checked(request: Request) -> Response:
        principal = await authenticate(request, services)
        principal.require(permission)
        request.state.principal = principal
        return await endpoint(request)

    return checked
