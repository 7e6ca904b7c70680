"""Costs as FOCUS 1.2 has them, with the allocation columns of 1.3: a row a day for all that an invoice can tell apart.

An operation without a cost has no row: FOCUS knows no unknown cost. The other formats carry it, with a null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from attribution.dimensions import Dimension
from attribution.export import ExportQuery, Sum
from attribution.measures import Measure
from attribution.query import All, Attribute, Condition, Filter, Operator
from core.time import Granularity, Window
from finance.exports.focus_columns import COLUMNS, Dataset, FocusType, facts_of
from tenants.scope import Scope

KEYS: Final = (
    Dimension.TENANT,
    Dimension.FEATURE,
    Dimension.TEAM,
    Dimension.ENVIRONMENT,
    Dimension.REGION,
    Dimension.PROVIDER,
    Dimension.PROVIDER_ACCOUNT,
    Dimension.MODEL,
    Dimension.COST_CATEGORY,
    Dimension.UNIT,
    Dimension.WORKLOAD,
    Dimension.PRICE,
    Dimension.KIND,
    Dimension.CHARGE_CATEGORY,
    Dimension.CHARGE,
    Dimension.ALLOCATION,
    Dimension.ALLOCATION_DETAILS,
    Dimension.ALLOCATED_RESOURCE,
)
"""What rows are told apart by, besides the day and the asked tags."""

SUMS: Final = (
    Measure.EFFECTIVE_COST,
    Sum.LISTED_COST,
    Sum.QUANTITY,
    Sum.CHARGES,
    Measure.OPERATIONS,
    Measure.TOTAL_TOKENS,
    Measure.UNCACHED_INPUT_TOKENS,
    Measure.CACHE_READ_INPUT_TOKENS,
    Measure.CACHE_CREATION_INPUT_TOKENS,
    Measure.OUTPUT_TOKENS,
)


@dataclass(frozen=True, slots=True)
class Focus:
    """A FOCUS file: `as_text` for CSV, with decimals and instants for Parquet."""

    dataset: Dataset
    as_text: bool

    def query(self, scope: Scope, window: Window, where: Filter) -> ExportQuery:
        """The export whose pieces `table` turns into FOCUS rows: of everything with a known cost."""
        priced = Condition(Dimension.COST_SOURCE, Operator.NONE_OF, ("unpriced",))
        keys: tuple[Attribute, ...] = (*KEYS, *self.dataset.tags)
        zone, condition = self.dataset.timezone, All((priced, where))
        return ExportQuery(scope, window, SUMS, zone, keys, Granularity.DAY, condition, as_text=self.as_text)

    @property
    def schema(self) -> pa.Schema:
        """The columns, in the order of their names, the custom ones last."""
        return pa.schema([(name, self._type(type_)) for name, (type_, _) in COLUMNS.items()])

    def table(self, piece: pa.Table) -> pa.Table:
        """The rows of one piece."""
        rows = [row for row in piece.to_pylist() if row["effective_cost"] is not None]
        facts = [facts_of(row, self.dataset) for row in rows]
        columns = ([value(fact) for fact in facts] for _, value in COLUMNS.values())
        made = zip(columns, self.schema, strict=True)
        return pa.table([_array(values, field.type) for values, field in made], schema=self.schema)

    def _type(self, type_: FocusType) -> pa.DataType:
        return pa.string() if self.as_text and type_ is not FocusType.COUNT else type_.value


def _array(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    if pa.types.is_string(type_):
        values = [value if value is None or isinstance(value, str) else _text(value) for value in values]
    return pa.array(values, type_)


def _text(value: Any) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else str(value)
