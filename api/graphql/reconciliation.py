"""`reconciliation`: billed against attributed. For finance keys without a scope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from api.graphql.bills import BillType, bill_type
from api.graphql.context import Context, Information
from api.graphql.inputs import TimeRange
from api.graphql.naming import described_enum
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.scalars import BigInt
from core.errors import InvalidInput
from core.money import from_pico
from core.time import Window, parse_timezone
from finance.month import Month
from finance.reconciliation.comparison import By, Cause, Cell, Place
from finance.reconciliation.reconciler import Reconciliation
from tenants.principal import Permission

_CAUSES = {
    Cause.WITHIN_TOLERANCE: "The two agree within the tolerance.",
    Cause.LATE: "More is attributed than billed, on a day that no bill covers yet, or not in full.",
    Cause.UNPRICED: "Operations without a price: they were sent, and their cost is unknown.",
    Cause.MISSING_TRAFFIC: "More is billed than was sent: calls that Apportion did not see.",
    Cause.NOT_BILLED: "More was sent than is billed.",
    Cause.PRICE_DIFFERENCE: "The same quantity at another price.",
    Cause.UNDETERMINED: "The bill states no quantities, so that traffic and price cannot be told apart.",
    Cause.CREDIT: "A credit on the bill.",
    Cause.TAX: "A tax on the bill.",
    Cause.FEE: "A purchase or fee on the bill that is no usage.",
    Cause.CORRECTION: "A correction or adjustment on the bill.",
}
_BYS = {
    By.DAY: "The day, in the asked zone.",
    By.MODEL: "The model.",
    By.ACCOUNT: "The project, workspace or account at the provider.",
    By.TOKEN_TYPE: "The kind of token. Attributed money is then derived from prices; quantities are counted.",
    By.CATEGORY: "The category of charge.",
}
described_enum(Cause, "ReconciliationCause", "Why billed and attributed differ.", _CAUSES.__getitem__)
described_enum(By, "ReconciliationBy", "What rows of a reconciliation are told apart by.", _BYS.__getitem__)

_LEAST_PERCENT = Decimal("0.0001")


@strawberry.type(description="A part of a gap with its cause; the parts sum to the gap.")
class ReconciliationPart:
    """One cause."""

    cause: Cause = strawberry.field(description="Why.")
    amount: Decimal = strawberry.field(description="How much of the gap.")


@strawberry.type(description="What both sides say of one place.")
class ReconciliationRow:
    """One place, or everything."""

    day: str | None = strawberry.field(description="Null unless asked for by day.")
    model: str | None = strawberry.field(description="The model as it is compared: `billLines` takes it.")
    account: str | None = strawberry.field(description="The account.")
    token_type: str | None = strawberry.field(description="The kind of token.")
    category: str | None = strawberry.field(description="The category of charge.")
    billed: Decimal = strawberry.field(description="What the bills say.")
    attributed: Decimal = strawberry.field(description="What events cost, true-ups aside.")
    trued_up: Decimal = strawberry.field(description="What true-ups have booked.")
    gap: Decimal = strawberry.field(description="`billed` less `attributed`: what true-ups have to book.")
    gap_percent: Decimal | None = strawberry.field(description="In percent of what is billed; null over nothing.")
    difference: Decimal = strawberry.field(description="What is left: `gap` less `truedUp`; 0 once trued up.")
    cause: Cause = strawberry.field(description="What explains most of the gap.")
    causes: list[ReconciliationPart] = strawberry.field(description="The gap by cause, found day by day.")
    billed_tokens: Decimal | None = strawberry.field(description="Tokens billed; null where the bill counts none.")
    attributed_tokens: BigInt = strawberry.field(description="Tokens of the events.")
    operations: BigInt = strawberry.field(description="Operations attributed.")
    unpriced_operations: BigInt = strawberry.field(description="Those without a cost.")
    bill_lines: BigInt = strawberry.field(description="Lines of the bills.")


@strawberry.type(name="Reconciliation", description="A provider's bills against what is attributed to it.")
class ReconciliationType:
    """Both sides."""

    provider: str = strawberry.field(description="The provider.")
    start: datetime = strawberry.field(description="First instant compared.")
    end: datetime = strawberry.field(description="First instant after it.")
    compared_by: list[By] = strawberry.field(description="What both sides name, and are compared by.")
    tolerance_percent: Decimal = strawberry.field(description="How far the two may differ and still agree.")
    bills: list[BillType] = strawberry.field(description="The bills in force of the provider.")
    total: ReconciliationRow = strawberry.field(description="Everything.")
    rows: list[ReconciliationRow] = strawberry.field(description="The rows of this page, the largest gap first.")
    row_count: BigInt = strawberry.field(description="How many rows there are.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


class WhichTime(InvalidInput):
    """A reconciliation is of a month or of a time range."""

    code = "WHICH_TIME"

    def __init__(self) -> None:
        super().__init__("give either `period`, a month such as 2026-10, or `timeRange`")


def _percent(part: int, whole: int) -> Decimal | None:
    return None if whole == 0 else (Decimal(part) * 100 / abs(whole)).quantize(_LEAST_PERCENT)


def _row(place: Place, cell: Cell) -> ReconciliationRow:
    return ReconciliationRow(
        day=place.day.isoformat() if place.day else None,
        model=place.model or None,
        account=place.account or None,
        token_type=place.token_type or None,
        category=place.category,
        billed=from_pico(cell.billed),
        attributed=from_pico(cell.attributed),
        trued_up=from_pico(cell.booked),
        gap=from_pico(cell.gap),
        gap_percent=_percent(cell.gap, cell.billed),
        difference=from_pico(cell.difference),
        cause=cell.cause,
        causes=_parts(cell),
        billed_tokens=cell.billed_tokens,
        attributed_tokens=BigInt(cell.attributed_tokens),
        operations=BigInt(cell.operations),
        unpriced_operations=BigInt(cell.unpriced),
        bill_lines=BigInt(cell.lines),
    )


def _parts(cell: Cell) -> list[ReconciliationPart]:
    found = sorted(cell.causes.items(), key=lambda part: -abs(part[1]))
    return [ReconciliationPart(cause=cause, amount=from_pico(amount)) for cause, amount in found]


def _window(context: Context, period: str | None, time_range: TimeRange | None, timezone: str) -> Window:
    zone = parse_timezone(timezone)
    if period is not None and time_range is None:
        return Month.parse(period).window(zone)
    if time_range is not None and period is None:
        return time_range.window(context.now, zone)
    raise WhichTime


def _ordered(rows: Mapping[Place, Cell]) -> Sequence[tuple[Place, Cell]]:
    def largest_first(row: tuple[Place, Cell]) -> tuple[int, tuple[str, ...]]:
        return -abs(row[1].gap), tuple(str(part or "") for part in row[0])

    return sorted(rows.items(), key=largest_first)


async def reconciliation(
    info: Information,
    provider: Annotated[str, strawberry.argument(description="Whose bills.")],
    period: Annotated[str | None, strawberry.argument(description="A month, such as 2026-10.")] = None,
    time_range: Annotated[TimeRange | None, strawberry.argument(description="Or any time.")] = None,
    timezone: Annotated[
        str, strawberry.argument(description="IANA zone of months and days. Most bills are by UTC days.")
    ] = "UTC",
    by: Annotated[
        list[By] | None, strawberry.argument(description="What rows are told apart by. Default: DAY and MODEL.")
    ] = None,
    tolerance_percent: Annotated[
        Decimal | None, strawberry.argument(description="Default: APPORTION_RECONCILIATION_TOLERANCE_PERCENT.")
    ] = None,
    first: Annotated[int, strawberry.argument(description="Rows per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> ReconciliationType | None:
    """What a provider billed against what is attributed, and why the two differ, the largest gap first.

    Null when no bill of the provider is known, and for keys with a scope: bills concern everybody.
    """
    context, settings = info.context, info.context.services.settings
    if not context.scope(Permission.FINANCE).unrestricted:
        return None
    percent = settings.reconciliation_tolerance if tolerance_percent is None else tolerance_percent
    asked = frozenset([By.DAY, By.MODEL] if by is None else by)
    question = fingerprint("reconciliation", provider, period, time_range, timezone, sorted(b.value for b in asked))
    size = check_page_size(first, settings.max_page_rows)
    skipped = decode_cursor(after, question, int)[0] if after is not None else 0
    window, zone = _window(context, period, time_range, timezone), parse_timezone(timezone)
    reconcile = context.services.money.reconciler.reconcile
    found = await context.services.read(reconcile, provider, window, tolerance_percent=percent, zone=zone)
    return None if found is None else _answer(found, asked, percent, slice(skipped, skipped + size), question)


def _answer(
    found: Reconciliation, by: frozenset[By], percent: Decimal, page: slice, question: str
) -> ReconciliationType:
    rows = _ordered(found.comparison.rows(by))
    shown = rows[page]
    cursors = [encode_cursor(question, page.start + place) for place in range(1, len(shown) + 1)]
    return ReconciliationType(
        provider=found.provider,
        start=found.window.start,
        end=found.window.end,
        compared_by=[member for member in By if member in found.comparison.compared],
        tolerance_percent=percent,
        bills=[bill_type(bill) for bill in found.bills],
        total=_row(Place(), found.comparison.total),
        rows=[_row(place, cell) for place, cell in shown],
        row_count=BigInt(len(rows)),
        page_info=page_info(cursors, has_next=page.stop < len(rows), has_previous=page.start > 0),
    )
