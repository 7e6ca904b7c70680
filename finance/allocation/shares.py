"""Sharing an amount out exactly: the parts sum to the whole, to the last pico."""

from __future__ import annotations

from collections.abc import Sequence

from attribution.event import Pico
from core.errors import InvalidInput


class NothingToShareBy(InvalidInput):
    """All weights are zero, so that no share is better than another."""

    code = "NOTHING_TO_SHARE_BY"

    def __init__(self) -> None:
        super().__init__("nobody has any part in the measure that shares are taken by")


def largest_remainder(amount: Pico, weights: Sequence[int]) -> list[Pico]:
    """The amount in parts proportional to the weights (none negative), summing to it exactly.

    Each part is rounded towards zero; the units left go one each to the largest remainders, earlier parts first among
    equals (Hamilton's method). A negative amount is shared like its opposite. Raises NothingToShareBy.
    """
    total = sum(weights)
    if total == 0:
        raise NothingToShareBy
    sign = -1 if amount < 0 else 1
    divided = [divmod(abs(amount) * weight, total) for weight in weights]
    parts = [whole for whole, _ in divided]
    left = abs(amount) - sum(parts)
    for place in sorted(range(len(weights)), key=lambda i: (-divided[i][1], i))[:left]:
        parts[place] += 1
    return [sign * part for part in parts]
