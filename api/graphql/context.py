"""What resolvers work with: the caller, the services and the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from starlette.requests import HTTPConnection
from strawberry.types import Info

from api.auth import authenticate
from api.services import Services
from tenants.principal import Permission, Principal
from tenants.scope import Scope


@dataclass(frozen=True, slots=True)
class Context:
    """One operation's context."""

    principal: Principal
    services: Services
    now: datetime
    connection: HTTPConnection

    def scope(self, permission: Permission = Permission.READ) -> Scope:
        """What the caller may see, provided the role allows it. Raises NotAllowed."""
        self.principal.require(permission)
        return self.principal.scope

    async def scope_now(self, permission: Permission = Permission.READ) -> Scope:
        """As `scope`, the key looked at again: subscriptions outlive keys. Raises UnknownKey or NotAllowed."""
        principal = await authenticate(self.connection, self.services)
        principal.require(permission)
        return principal.scope


Information: TypeAlias = Info[Context, None]
