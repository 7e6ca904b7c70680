"""Charges: costs that no single operation caused, such as a platform fee, a reserved GPU or a labor entry.

They come through the same door as usage, with `"kind": "charge"`. A cost that all tenants share is sent with the tenant
`unattributed`; allocation rules share it out.
"""

from __future__ import annotations

from typing import Final

from ingest.payloads import EventPayload
from ingest.rules import RuleBroken
from tenants.scope import Scope

MAY_BE_NEGATIVE: Final = frozenset({"credit", "adjustment", "tax"})

_OF_OPERATIONS: Final = tuple(
    (name, default)
    for name, default in zip(
        EventPayload.__struct_fields__[-len(EventPayload.__struct_defaults__) :],
        EventPayload.__struct_defaults__,
        strict=True,
    )
    if name.endswith(("_tokens", "_ms"))
    or name in {"status", "error_type", "attempt", "cache_hit", "fallback", "session_id", "request_id"}
)
"""What only an operation has, with the value that says nothing."""


def check_charge(event: EventPayload, scope: Scope) -> None:
    """Return when an event keeps the rules about charges: those of a charge, or those of no charge.

    Raises RuleBroken.
    """
    if event.kind != "charge":
        _check_no_charge(event)
        return
    if not scope.unrestricted:
        raise RuleBroken("kind", "scope", "charges are sent with a key that has no scope")
    if event.cost is None:
        raise RuleBroken("cost", "required", "a charge needs a cost")
    if not event.charge_category:
        message = "a charge needs a category: usage, purchase, tax, credit or adjustment"
        raise RuleBroken("charge_category", "required", message)
    for name, default in _OF_OPERATIONS:
        if getattr(event, name) != default:
            raise RuleBroken(name, "kind", f"a charge is no operation: it has no {name}")
    _check_sign(event.charge_category, is_negative=event.cost.amount.strip().startswith("-"))


def _check_no_charge(event: EventPayload) -> None:
    for name in ("charge_category", "charge_description"):
        if getattr(event, name):
            raise RuleBroken(name, "kind", f'only a charge has a {name}: send "kind": "charge"')


def _check_sign(category: str, *, is_negative: bool) -> None:
    if is_negative and category not in MAY_BE_NEGATIVE:
        message = f"a {category} costs something; what is given back is a credit or an adjustment"
        raise RuleBroken("cost.amount", "sign", message)
    if category == "credit" and not is_negative:
        raise RuleBroken("cost.amount", "sign", "a credit gives back: its amount is negative")
