"""A scope is what a caller may see and send. It is part of every query, so no query exists without it."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import Forbidden


class WholeDeploymentOnly(Forbidden):
    """What concerns all tenants is none of a key's that may see some."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} concern the whole deployment; use a key without a scope")


@dataclass(frozen=True, slots=True)
class Scope:
    """Rows of this tenant, team and environment only; None leaves that side open. `Scope()` sees everything."""

    tenant: str | None = None
    team: str | None = None
    environment: str | None = None

    @property
    def unrestricted(self) -> bool:
        """True when nothing is hidden from the caller."""
        return self.tenant is None and self.team is None and self.environment is None

    def covers(self, other: Scope) -> bool:
        """Whether nothing that the other lets see is hidden here."""
        sides = ((self.tenant, other.tenant), (self.team, other.team), (self.environment, other.environment))
        return all(own in {None, theirs} for own, theirs in sides)

    def require_unrestricted(self, what: str) -> None:
        """Return when nothing is hidden. Raises WholeDeploymentOnly."""
        if not self.unrestricted:
            raise WholeDeploymentOnly(what)
