"""What each tenant paid, by tier and time bucket: actual revenue for the days it covers, modelled for the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from core.time import Window
from finance.revenue.actual import ActualRevenue
from finance.revenue.amounts import Revenue
from finance.revenue.contracts import Contract, Definition, Stretch, leads, overlap, stretches
from finance.revenue.lines import Line, SoFar, charges_of
from finance.revenue.metering import Metering, Report
from finance.revenue.proration import Share, days_between, prorated
from tenants.scope import Scope


@dataclass(frozen=True, slots=True)
class Earned:
    """What a tenant paid while it had the tier (empty: none), in one time bucket."""

    tenant_id: str
    tier: str
    bucket: Window
    revenue: Revenue


@dataclass(frozen=True, slots=True)
class Charged:
    """What a stretch is charged by its terms, whether or not actual revenue stands in its place."""

    stretch: Stretch
    lines: tuple[Line, ...]


def charge(
    report: Report,
    scope: Scope,
    contracts: Iterable[Contract],
    definitions: Mapping[str, Definition],
    buckets: Sequence[Window],
) -> list[Charged]:
    """What the contracts in scope are charged in these buckets."""
    held = [contract for contract in contracts if scope.tenant in {None, contract.tenant_id}]
    parts = stretches(held, definitions, buckets)
    before = leads(held, definitions, buckets[0].start)
    metering = Metering.read(report, scope, [*before, *parts])
    return list(charge_in_turn([*before, *parts], metering))[len(before) :]


def charge_in_turn(parts: Iterable[Stretch], metering: Metering) -> Iterator[Charged]:
    """What each part adds to what its contract owes in the billing period so far: each contract's in order of time."""
    reached: defaultdict[tuple[str, Window], SoFar] = defaultdict(SoFar)
    for part in parts:
        place, usage = (part.contract.id, part.segment.span), metering.of(part)
        lines = charges_of(part.terms, usage, part.share, part.held, reached[place])
        reached[place] = reached[place].after(usage, lines)
        yield Charged(part, tuple(lines))


def earnings(
    charged: Sequence[Charged],
    actuals: Sequence[ActualRevenue],
    contracts: Iterable[Contract],
    buckets: Sequence[Window],
) -> list[Earned]:
    """Revenue that is known. Where a tenant has neither terms nor actual revenue there is nothing of it here."""
    by_tenant: defaultdict[str, list[ActualRevenue]] = defaultdict(list)
    for actual in actuals:
        by_tenant[actual.tenant_id].append(actual)
    modelled = (_modelled(each, by_tenant[each.stretch.contract.tenant_id], buckets) for each in charged)
    held: defaultdict[str, list[Contract]] = defaultdict(list)
    for contract in contracts:
        held[contract.tenant_id].append(contract)
    paid = (each for actual in actuals for each in _paid(actual, held[actual.tenant_id], buckets))
    return [each for each in (*modelled, *paid) if each is not None]


def _modelled(charged: Charged, actuals: Sequence[ActualRevenue], buckets: Sequence[Window]) -> Earned | None:
    """What of the charge falls on days that no actual revenue covers."""
    stretch = charged.stretch
    part = uncovered(stretch, actuals)
    if not part:
        return None
    bucket = next(each for each in buckets if each.start <= stretch.window.start < each.end)
    revenue = Revenue.of_lines(charged.lines, part)
    return Earned(stretch.contract.tenant_id, stretch.contract.tier, bucket, revenue)


def uncovered(stretch: Stretch, actuals: Sequence[ActualRevenue]) -> Fraction:
    """The part of the stretch's days that no actual revenue of its tenant is for."""
    windows = (actual.window for actual in actuals)
    parts = sorted(
        ((part.start, part.end) for each in windows if (part := overlap(stretch.window, each.start, each.end))),
    )
    days, reached = 0, stretch.window.start
    for start, end in parts:
        days += max(0, days_between(max(start, reached), max(end, reached), stretch.zone))
        reached = max(reached, end)
    return 1 - (Fraction(days, stretch.share.days) if stretch.share.days else Fraction(bool(parts)))


def _paid(actual: ActualRevenue, contracts: Sequence[Contract], buckets: Sequence[Window]) -> Iterator[Earned]:
    """The actual revenue by bucket and by the tier its tenant had, in proportion to days of its own zone."""
    whole = actual.window
    for bucket in buckets:
        part = overlap(bucket, whole.start, whole.end)
        for tier, window in _by_tier(part, contracts) if part else ():
            amount = prorated(actual.amount, Share.of(window, whole, actual.zone))
            yield Earned(actual.tenant_id, tier, bucket, Revenue(actual=amount, is_actual=True))


def _by_tier(part: Window, contracts: Sequence[Contract]) -> Iterator[tuple[str, Window]]:
    """The part cut by the contracts, which are in order, and the time between them."""
    reached = part.start
    for contract in contracts:
        held = overlap(part, contract.start, contract.end)
        if held is None:
            continue
        if reached < held.start:
            yield "", Window(reached, held.start)
        yield contract.tier, held
        reached = held.end
    if reached < part.end:
        yield "", Window(reached, part.end)
