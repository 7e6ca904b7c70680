"""What statements ask of whoever knows the pricing tiers, and of whoever carries the news."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlmodel import Session

from core.time import Window
from finance.statements.lines import TierChargeLine


class TierCharges(Protocol):
    """What tenants owe under their tiers, as it is known now: it may change until a month is closed, and after."""

    def tenants(self, window: Window) -> Iterable[str]:
        """The tenants with any charge in the window."""
        ...

    def lines(self, tenant_id: str, window: Window) -> Sequence[TierChargeLine]:
        """The tenant's charges for the window, exactly as revenue counts them."""
        ...


class NoTierCharges:
    """A deployment without pricing tiers."""

    def tenants(self, window: Window) -> Iterable[str]:  # noqa: ARG002
        """None."""
        return ()

    def lines(self, tenant_id: str, window: Window) -> Sequence[TierChargeLine]:  # noqa: ARG002
        """None."""
        return ()


class Announce(Protocol):
    """Puts a message out in the caller's transaction, so that it is sent exactly when the change is kept."""

    def __call__(self, session: Session, kind: str, payload: Mapping[str, Any]) -> object:
        """Enqueue a message of that kind."""
        ...
