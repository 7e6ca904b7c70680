"""What the relational database says about revenue, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.time import Window
from finance.revenue.actual import ActualRevenue, Actuals
from finance.revenue.contracts import Contract, Definition
from tenants.directory import Tenants
from tenants.tiers import Tiers


@dataclass(frozen=True, slots=True)
class Books:
    """Contracts, tiers' terms over time, and the actual revenue of a window."""

    contracts: Sequence[Contract]
    definitions: Mapping[str, Definition]
    actuals: Sequence[ActualRevenue]


class Bookkeeping:
    """Reads the books. Safe to share between threads."""

    def __init__(self, tenants: Tenants, tiers: Tiers, actuals: Actuals) -> None:
        self._tenants = tenants
        self._tiers = tiers
        self._actuals = actuals

    def books(self, window: Window, tenant_id: str | None) -> Books:
        """The books of all tenants, or of that one."""
        versions = self._tiers.versions()
        return Books(
            [Contract.of(row) for row in self._tenants.assignments(tenant_id)],
            {tier.key: Definition.of(tier, versions) for tier in self._tiers.all()},
            self._actuals.between(window, tenant_id),
        )
