"""What is asked about profit, as a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import Enum, unique
from zoneinfo import ZoneInfo

from attribution.dimensions import Dimension
from attribution.measures import Measure
from attribution.query import All, Condition, Filter, Operator
from core.errors import Forbidden, InvalidInput
from core.time import Granularity, Window, midnight
from finance.revenue.proration import days_between, first_day
from tenants.scope import Scope


@unique
class By(Enum):
    """Whose revenue and cost are compared."""

    TENANT = (Dimension.TENANT,)
    TIER = (Dimension.TIER,)
    FEATURE = (Dimension.TIER, Dimension.FEATURE)
    USER_SEGMENT = (Dimension.TIER, Dimension.TENANT, Dimension.USER)

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """What costs are read by; the last one is the member's own."""
        dimensions: tuple[Dimension, ...] = self.value
        return dimensions

    @property
    def is_allocated(self) -> bool:
        """True where nobody pays for a member itself: each gets a part of its tier's revenue."""
        return self in {By.FEATURE, By.USER_SEGMENT}


@unique
class AllocateBy(Enum):
    """In proportion to what a tier's revenue is allocated to features and user segments."""

    COST = Measure.EFFECTIVE_COST
    OPERATIONS = Measure.OPERATIONS
    TOKENS = Measure.TOTAL_TOKENS


class RevenueIsTheTenants(Forbidden):
    """Revenue has no team and no environment."""

    def __init__(self) -> None:
        super().__init__("revenue is a whole tenant's: a key scoped to a team or an environment cannot see it")


class TooFine(InvalidInput):
    """Revenue is prorated by days."""

    code = "TOO_FINE"

    def __init__(self) -> None:
        super().__init__("revenue is prorated by days: ask for buckets of a day or more")


@dataclass(frozen=True, slots=True)
class Question:
    """Profit in `window`, of which `tenants` and `tiers` (None: all) narrow what is looked at.

    Power users are the fewest whose cost comes to `power_percent` of the cost of all users. Raises RevenueIsTheTenants
    or TooFine.
    """

    scope: Scope
    window: Window
    zone: ZoneInfo
    by: By = By.TENANT
    granularity: Granularity | None = None
    tenants: tuple[str, ...] | None = None
    tiers: tuple[str, ...] | None = None
    allocate_by: AllocateBy = AllocateBy.COST
    power_percent: Decimal = Decimal(80)

    def __post_init__(self) -> None:
        if self.scope.team is not None or self.scope.environment is not None:
            raise RevenueIsTheTenants
        if self.granularity is not None and not self.granularity.is_calendar:
            raise TooFine
        whole = Window(self.window.start.replace(microsecond=0), self.window.end.replace(microsecond=0))
        object.__setattr__(self, "window", whole)

    @property
    def where(self) -> Filter:
        """The operations whose cost counts."""
        chosen = ((Dimension.TENANT, self.tenants), (Dimension.TIER, self.tiers))
        return All(tuple(Condition(d, Operator.ANY_OF, values) for d, values in chosen if values is not None))

    def covers(self, tenant_id: str, tier: str) -> bool:
        """Whether the tenant's revenue from that tier counts."""
        is_in_scope = self.scope.tenant in {None, tenant_id}
        is_chosen = (self.tenants is None or tenant_id in self.tenants) and (self.tiers is None or tier in self.tiers)
        return is_in_scope and is_chosen

    def buckets(self) -> Iterator[tuple[Window, Window]]:
        """Each time bucket, whole, and what of it lies in the window; one without a granularity."""
        if self.granularity is None:
            yield self.window, self.window
            return
        for whole in self.granularity.buckets(self.window, self.zone):
            yield whole, Window(max(whole.start, self.window.start), min(whole.end, self.window.end))

    def before(self) -> Question:
        """The same question about the time just before: as many local days, or as many seconds where it has none."""
        return replace(self, window=_before(self.window, self.zone))


def _before(window: Window, zone: ZoneInfo) -> Window:
    day, days = first_day(window.start, zone), days_between(window.start, window.end, zone)
    is_of_days = midnight(day, zone) == window.start and midnight(first_day(window.end, zone), zone) == window.end
    if is_of_days and days:
        return Window(midnight(day - timedelta(days=days), zone), window.start)
    return Window(window.start - (window.end - window.start), window.start)
