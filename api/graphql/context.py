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

    def revenue_scope(self) -> Scope | None:
        """Whose revenue the caller may see; None where it is of a team or an environment, which have none of their own.

        Raises NotAllowed.
        """
        scope = self.scope(Permission.FINANCE)
        return scope if scope.team is None and scope.environment is None else None

    async def scope_now(self, permission: Permission = Permission.READ) -> Scope:
        """As `scope`, the key looked at again: subscriptions outlive keys. Raises UnknownKey or NotAllowed."""
        principal = await authenticate(self.connection, self.services)
        principal.require(permission)
        return principal.scope


Information: TypeAlias = Info[Context, None]
