"""Every column of a FOCUS row, and where its value comes from.

Names that a dimension declares come from there. Where FOCUS forbids null and nothing is said, the rule is in the
column's function; no amount is made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, unique
from functools import lru_cache
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

import orjson
import pyarrow as pa

from attribution.dimensions import Dimension
from attribution.export import Sum, column_name, key_name
from attribution.measures import Measure
from attribution.query import Tag
from core.time import Granularity, Window
from finance.exports.services import service_of

CUSTOM: Final = (
    Dimension.FEATURE,
    Dimension.TEAM,
    Dimension.ENVIRONMENT,
    Dimension.MODEL,
    Dimension.COST_CATEGORY,
    Dimension.WORKLOAD,
    Measure.OPERATIONS,
    Measure.UNCACHED_INPUT_TOKENS,
    Measure.CACHE_READ_INPUT_TOKENS,
    Measure.CACHE_CREATION_INPUT_TOKENS,
    Measure.OUTPUT_TOKENS,
)
"""What FOCUS has no column for, as `x_...`; tokens by direction too, since no cost is known by direction."""

_ACCOUNT, _CATEGORY, _CHARGE, _MODEL, _PRICE, _PROVIDER, _TENANT = map(
    key_name,
    (
        Dimension.PROVIDER_ACCOUNT,
        Dimension.COST_CATEGORY,
        Dimension.CHARGE,
        Dimension.MODEL,
        Dimension.PRICE,
        Dimension.PROVIDER,
        Dimension.TENANT,
    ),
)
_UNKNOWN: Final = "Unknown"
_USAGE: Final = "Usage"
_PURCHASE: Final = "Purchase"
_TAX: Final = "Tax"

Row: TypeAlias = Mapping[str, Any]
"""A row of the export by column name."""


@unique
class FocusType(Enum):
    """What a FOCUS column holds."""

    TEXT = pa.string()
    AMOUNT = pa.decimal128(38, 12)
    MOMENT = pa.timestamp("s", "UTC")
    COUNT = pa.int64()


@dataclass(frozen=True, slots=True)
class Dataset:
    """What all rows share: months and days of `timezone`, amounts in `currency`, these tags of events in Tags.

    `names` are those of tenants that have one.
    """

    currency: str
    timezone: ZoneInfo
    tags: tuple[Tag, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """A row with what several columns are derived from."""

    row: Row
    dataset: Dataset
    category: str
    consumed: tuple[Any, str]
    sku: str

    @property
    def month(self) -> Window:
        """The month of the row's day."""
        return _month(self.row["bucket_start"], self.dataset.timezone)


def facts_of(row: Row, dataset: Dataset) -> Facts:
    """The row with what its columns are derived from."""
    category = _USAGE if row["kind"] == "usage" else (row["charge_category"] or "adjustment").capitalize()
    consumed = _consumed(row)
    sku = "/".join(part for part in (row["provider"], row["model"], row["cost_category"], consumed[1]) if part)
    return Facts(row, dataset, category, consumed, sku)


def _consumed(row: Row) -> tuple[Any, str]:
    """How much of what: the metered quantity, else tokens, else operations; of a charge, charges. Never zero."""
    choices = (
        (row["quantity"], (row["unit"] or "").replace("_", " ").title()),
        (row["total_tokens"], "Tokens"),
        (row["operations"], "Operations"),
    )
    return next(((much, unit) for much, unit in choices if unit and float(much)), (row["charges"], "Charges"))


@lru_cache(maxsize=4_096)
def _month(start: datetime | str, zone: ZoneInfo) -> Window:
    instant = datetime.fromisoformat(start) if isinstance(start, str) else start
    return Granularity.MONTH.bucket(instant, zone)


def _said(dimension: Dimension) -> Callable[[Facts], Any]:
    return _cell(key_name(dimension))


def _sum(column: Measure | Sum) -> Callable[[Facts], Any]:
    return _cell(column_name(column))


def _cell(name: str) -> Callable[[Facts], Any]:
    return lambda facts: facts.row[name]


def _constant(value: str | None) -> Callable[[Facts], Any]:
    return lambda _facts: value


def _provider(facts: Facts) -> str:
    return facts.row[_PROVIDER] or _UNKNOWN


def _account(facts: Facts) -> str:
    return facts.row[_ACCOUNT] or _provider(facts)


def _tenant_name(facts: Facts) -> str:
    tenant: str = facts.row[_TENANT]
    return facts.dataset.names.get(tenant) or tenant


def _description(facts: Facts) -> str:
    """A charge's own words; of usage, what was used of which model or service."""
    what = facts.row[_MODEL] or _service(facts)
    return facts.row[_CHARGE] or f"{what}, {facts.consumed[1]}"


def _frequency(facts: Facts) -> str:
    return "Usage-Based" if facts.category == _USAGE else "One-Time"


def _service(facts: Facts) -> str:
    return " ".join(part for part in (_provider(facts), facts.row[_CATEGORY]) if part)


def _service_category(facts: Facts) -> str:
    return service_of(facts.row[_CATEGORY], facts.row[_MODEL])[0]


def _service_subcategory(facts: Facts) -> str:
    return service_of(facts.row[_CATEGORY], facts.row[_MODEL])[1]


def _of_usage(index: int) -> Callable[[Facts], Any]:
    return lambda facts: facts.consumed[index] if facts.category == _USAGE else None


def _priced(index: int) -> Callable[[Facts], Any]:
    """Usage by what was consumed, purchases by how many there are; taxes, credits and adjustments by nothing."""
    return lambda facts: facts.consumed[index] if facts.category in {_USAGE, _PURCHASE} else None


def _sku(facts: Facts) -> str | None:
    return None if facts.category == _TAX else facts.sku or _UNKNOWN


def _sku_price(facts: Facts) -> str | None:
    return None if facts.category == _TAX else facts.row[_PRICE] or _sku(facts)


def _tags(facts: Facts) -> str | None:
    tags = {tag.key: facts.row[key_name(tag)] for tag in facts.dataset.tags}
    said = {key: value for key, value in sorted(tags.items()) if value is not None}
    return orjson.dumps(said).decode() if said else None


def _focus(dimension: Dimension) -> str:
    """FOCUS's name for the dimension, as declared with it."""
    assert dimension.spec.focus
    return dimension.spec.focus


def _custom(column: Dimension | Measure) -> tuple[str, tuple[FocusType, Callable[[Facts], Any]]]:
    name = "x_" + "".join(part.capitalize() for part in column.spec.name.split("_"))
    if isinstance(column, Dimension):
        return name, (FocusType.TEXT, _said(column))
    return name, (FocusType.COUNT, _sum(column))


_TEXTS: Final[dict[str, Callable[[Facts], Any]]] = {
    _focus(Dimension.ALLOCATION_DETAILS): _said(Dimension.ALLOCATION_DETAILS),
    _focus(Dimension.ALLOCATION): _said(Dimension.ALLOCATION),
    _focus(Dimension.ALLOCATED_RESOURCE): _said(Dimension.ALLOCATED_RESOURCE),
    "BillingAccountId": _account,
    "BillingAccountName": _constant(None),
    "BillingCurrency": lambda facts: facts.dataset.currency,
    _focus(Dimension.CHARGE_CATEGORY): lambda facts: facts.category,
    "ChargeClass": _constant(None),
    _focus(Dimension.CHARGE): _description,
    "ChargeFrequency": _frequency,
    _focus(Dimension.UNIT): _of_usage(1),
    "InvoiceId": _constant(None),
    "InvoiceIssuerName": _provider,
    "PricingUnit": _priced(1),
    _focus(Dimension.PROVIDER): _provider,
    "PublisherName": _provider,
    _focus(Dimension.REGION): _said(Dimension.REGION),
    "RegionName": _said(Dimension.REGION),
    "ServiceCategory": _service_category,
    "ServiceName": _service,
    _focus(Dimension.COST_CATEGORY): _service_subcategory,
    "SkuId": _sku,
    "SkuMeter": lambda facts: None if facts.category == _TAX else facts.consumed[1],
    _focus(Dimension.PRICE): _sku_price,
    _focus(Dimension.TENANT): _said(Dimension.TENANT),
    "SubAccountName": _tenant_name,
    "SubAccountType": _constant("Tenant"),
    "Tags": _tags,
}
_AMOUNTS: Final[dict[str, Callable[[Facts], Any]]] = {
    "BilledCost": _sum(Measure.EFFECTIVE_COST),
    "ConsumedQuantity": _of_usage(0),
    "ContractedCost": _sum(Measure.EFFECTIVE_COST),
    "EffectiveCost": _sum(Measure.EFFECTIVE_COST),
    "ListCost": _sum(Sum.LISTED_COST),
    "PricingQuantity": _priced(0),
}
_MOMENTS: Final[dict[str, Callable[[Facts], Any]]] = {
    "BillingPeriodEnd": lambda facts: facts.month.end,
    "BillingPeriodStart": lambda facts: facts.month.start,
    "ChargePeriodEnd": _cell("bucket_end"),
    "ChargePeriodStart": _cell("bucket_start"),
}
COLUMNS: Final[dict[str, tuple[FocusType, Callable[[Facts], Any]]]] = dict(
    sorted(
        (name, (type_, value))
        for type_, columns in (
            (FocusType.TEXT, _TEXTS),
            (FocusType.AMOUNT, _AMOUNTS),
            (FocusType.MOMENT, _MOMENTS),
        )
        for name, value in columns.items()
    )
) | dict([_custom(column) for column in CUSTOM])
"""Every column: its type, and its value for a row. ContractedCost equals BilledCost, as FOCUS asks where no contracted
unit price is told."""
