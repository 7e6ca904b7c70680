"""Who is calling: a role that says what they may do, and a scope that says where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

from core.errors import Forbidden
from tenants.scope import Scope


@unique
class Permission(Enum):
    """One thing a caller may be allowed to do."""

    SEND = "send usage"
    READ = "read costs"
    EDIT = "change budgets"
    REDRIVE = "see and redrive rejected events"
    FINANCE = "see and change prices and revenue"
    ADMIN = "administer"


@unique
class Role(Enum):
    """What a key is for. Every role but `ingest` may read; `admin` may do everything."""

    INGEST = "ingest"
    VIEWER = "viewer"
    EDITOR = "editor"
    FINANCE = "finance"
    ADMIN = "admin"

    @property
    def permissions(self) -> frozenset[Permission]:
        """What this role allows."""
        return _PERMISSIONS[self]


_PERMISSIONS = {
    Role.INGEST: frozenset({Permission.SEND}),
    Role.VIEWER: frozenset({Permission.READ}),
    Role.EDITOR: frozenset({Permission.READ, Permission.EDIT, Permission.REDRIVE}),
    Role.FINANCE: frozenset({Permission.READ, Permission.FINANCE}),
    Role.ADMIN: frozenset(Permission),
}


class NotAllowed(Forbidden):
    """The caller's role does not allow this."""

    def __init__(self, role: Role, permission: Permission) -> None:
        allowed = " or ".join(r.value for r in Role if permission in r.permissions)
        super().__init__(f"a key with role {role.value} may not {permission.value}; use one with role {allowed}")


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose key was verified."""

    name: str
    role: Role
    scope: Scope

    def require(self, permission: Permission) -> None:
        """Return when the role allows it; raise NotAllowed when it does not."""
        if permission not in self.role.permissions:
            raise NotAllowed(self.role, permission)
