"""A scope is what a caller may see and send. It is part of every query, so no query exists without it."""

from __future__ import annotations

from dataclasses import dataclass


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
