"""What the demo company asks its tenants for: three tiers, a price rise, an upgrade, a contract, an invoice.

One tier loses money: `pro` was priced before there were agents, and its fee includes whatever they use. One tenant has
no tier at all. Fees are for 300,000 events; a demo of another size has fees and allowances in proportion.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from api.demo import company
from api.services import Services
from core.time import Granularity
from finance.revenue.actual import RevenueItem
from tenants.directory import Placement, TenantChange
from tenants.scope import Scope
from tenants.terms import NO_OVERRIDES, Band, Meter, Seats, TierOverrides, TierTerms

USUAL_EVENTS: Final = 300_000
BY: Final = "demo"
_CENT: Final = Decimal("0.01")
_MILLION: Final = Decimal(1_000_000)


class DemoTier(NamedTuple):
    """A tier with the plan whose tenants have it, and its terms at first and since the price rise."""

    key: str
    name: str
    plan: str
    timezone: str
    terms: TierTerms
    later: TierTerms | None = None


_TOKENS: Final = Meter(
    "total_tokens",
    20 * _MILLION,
    (Band(50 * _MILLION, Decimal("1.60"), 1_000_000), Band(None, Decimal("1.20"), 1_000_000)),
)
_ENTERPRISE: Final = TierTerms(
    period_fee=Decimal(55),
    meters=(_TOKENS,),
    seats=Seats(Decimal("0.25"), included=100),
    minimum_fee=Decimal(70),
)
TIERS: Final = (
    DemoTier(
        "starter",
        "Starter",
        "free",
        "UTC",
        TierTerms(
            period_fee=Decimal("4.00"),
            meters=(Meter("operations", Decimal(800), (Band(None, Decimal("0.004")),)),),
        ),
    ),
    DemoTier("pro", "Pro, everything included", "pro", "UTC", TierTerms(period_fee=Decimal("9.00"))),
    DemoTier(
        "enterprise",
        "Enterprise",
        "enterprise",
        "UTC",
        _ENTERPRISE,
        replace(_ENTERPRISE, period_fee=Decimal(60), minimum_fee=Decimal(80)),
    ),
)
UNASSIGNED: Final = "quiet-harbor"
UPGRADED: Final = "harbor-freight-lines"
WITH_A_CONTRACT: Final = "northwind-logistics"
CONTRACT: Final = TierOverrides(discount_percent=Decimal(10))
INVOICED: Final = "helvetia-insurance"
INVOICE: Final = Decimal("195.00")


def scaled(terms: TierTerms, events: int) -> TierTerms:
    """The terms for a demo of that many events: fees to the cent, allowances in whole units."""
    factor = Decimal(events) / USUAL_EVENTS
    meters = tuple(
        replace(
            meter,
            included=Decimal(round(meter.included * factor)),
            bands=tuple(replace(b, up_to=b.up_to and Decimal(max(1, round(b.up_to * factor)))) for b in meter.bands),
        )
        for meter in terms.meters
    )
    seats = terms.seats and replace(terms.seats, included=round(terms.seats.included * factor))
    fee, minimum = ((each * factor).quantize(_CENT) for each in (terms.period_fee, terms.minimum_fee))
    return replace(terms, period_fee=fee, minimum_fee=minimum, meters=meters, seats=seats)


def agree(services: Services, *, events: int, end: datetime) -> None:
    """Make the tiers, give them to the tenants, and enter an invoice. Safe to repeat."""
    month = Granularity.MONTH.first_day(end.astimezone(UTC).date())
    last = Granularity.MONTH.first_day(month - timedelta(days=1))
    before_last = Granularity.MONTH.first_day(last - timedelta(days=1))
    beginning = _instant(before_last - timedelta(days=120))
    known = {tier.key for tier in services.money.tiers.all()}
    for tier in TIERS:
        if tier.key not in known:
            services.money.tiers.create(tier.key, tier.name, timezone=tier.timezone, by=BY)
        services.money.tiers.set_terms(tier.key, beginning, scaled(tier.terms, events), by=BY)
        if tier.later is not None:
            rise = _instant(before_last + timedelta(days=14))
            services.money.tiers.set_terms(tier.key, rise, scaled(tier.later, events), note="Price rise", by=BY)
    _place(services, beginning, upgrade=_instant(last + timedelta(days=14)))
    _invoice(services, last, month, events)


def _place(services: Services, beginning: datetime, *, upgrade: datetime) -> None:
    tiers = {tier.plan: tier.key for tier in TIERS}
    for number, tenant in enumerate(company.TENANTS, 1):
        if tenant.tenant_id == UNASSIGNED:
            continue
        name = tenant.tenant_id.replace("-", " ").title()
        services.money.tenants.save(TenantChange(tenant.tenant_id, f"cus_{number:04}", name), by=BY)
        overrides = CONTRACT if tenant.tenant_id == WITH_A_CONTRACT else NO_OVERRIDES
        placement = Placement(tenant.tenant_id, tiers[tenant.plan], beginning, overrides=overrides)
        services.money.tenants.place(placement, by=BY)
    services.money.tenants.place(Placement(UPGRADED, "enterprise", upgrade), by=BY)
    services.money.tier_mirror.refresh()


def _invoice(services: Services, start: date, end: date, events: int) -> None:
    amount = (INVOICE * events / USUAL_EVENTS).quantize(_CENT)
    item = RevenueItem(
        source="billing",
        client_id=f"inv-{start:%Y-%m}-{INVOICED}",
        tenant_id=INVOICED,
        start=start,
        end=end,
        amount=amount,
        currency=services.settings.currency,
    )
    services.money.actuals.enter([item], scope=Scope(), by=BY)


def _instant(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
