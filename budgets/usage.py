"""What one operation takes from budgets, by what they measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from attribution.event import EventRow
from attribution.measures import Measure
from core.money import from_pico


@dataclass(frozen=True, slots=True)
class Usage:
    """What an operation is estimated to take, or took: money in the billing currency, and tokens."""

    cost: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0

    def of(self, measure: Measure) -> Decimal:
        """How much of the measure that is. Nothing of those that only time will tell, such as failed cost."""
        take = _TAKES.get(measure)
        return take(self) if take else _NOTHING


_NOTHING: Final = Decimal(0)
_ONE: Final = Decimal(1)
_TAKES: Final[Mapping[Measure, Callable[[Usage], Decimal]]] = {
    Measure.OPERATIONS: lambda _: _ONE,
    Measure.EFFECTIVE_COST: lambda usage: usage.cost,
    Measure.LIST_COST: lambda usage: usage.cost,
    Measure.RATED_COST: lambda usage: usage.cost,
    Measure.REPORTED_COST: lambda usage: usage.cost,
    Measure.INPUT_TOKENS: lambda usage: Decimal(usage.input_tokens),
    Measure.OUTPUT_TOKENS: lambda usage: Decimal(usage.output_tokens),
    Measure.TOTAL_TOKENS: lambda usage: Decimal(usage.input_tokens + usage.output_tokens),
}


def usage_of(row: EventRow) -> Usage:
    """What a stored event took. An unknown cost takes nothing, as in the evaluation."""
    return Usage(
        cost=from_pico(row.effective_cost or 0),
        input_tokens=row.uncached_input_tokens
        + row.cache_read_input_tokens
        + row.cache_creation_5m_input_tokens
        + row.cache_creation_1h_input_tokens
        + row.audio_input_tokens,
        output_tokens=row.text_output_tokens + row.reasoning_output_tokens + row.audio_output_tokens,
    )
