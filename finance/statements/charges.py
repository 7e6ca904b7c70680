"""What statements ask of whoever knows the pricing tiers, and of whoever carries the news."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from sqlmodel import Session

from core.time import Window
from finance.statements.lines import TierChargeLine


class TierCharges(Protocol):
    """What tenants owe under their tiers, as it is known now: it may change until a month is closed, and after."""

    def tenants(self, window: Window) -> Iterable[str]:
        """The tenants with any charge in the window."""
        ...

    def lines(self, tenant_id: str, months: Sequence[Window]) -> Iterable[tuple[Window, TierChargeLine]]:
        """The tenant's charges for each of these months, which follow one another, exactly as revenue counts them."""
        ...


Announce: TypeAlias = Callable[[Session, Mapping[str, Any]], object]
"""Tells of a closed statement in the caller's transaction, so that it is told exactly when it is kept."""
