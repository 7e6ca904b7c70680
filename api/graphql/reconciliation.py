"""`reconciliation` and `trueUp`: billed against attributed. For finance keys without a scope."""

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
from api.graphql.user_errors import UserError, user_error
from attribution.query import UTC
from core.errors import Conflict, InvalidInput, NotFound
from core.money import from_pico
from core.time import Window, parse_timezone
from finance.allocations import Month
from finance.reconciliation import By, Cause, Cell, Place
from finance.reconciling import Reconciliation
from finance.true_ups import TrueUp
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


@strawberry.type(description="One charge that a true-up books.")
class TrueUpCharge:
    """A booked difference."""

    day: str = strawberry.field(description="The UTC day.")
    model: str | None = strawberry.field(description="The model.")
    account: str | None = strawberry.field(description="The account at the provider.")
    category: str | None = strawberry.field(description="The category of charge.")
    billed: Decimal = strawberry.field(description="What the bill says.")
    attributed: Decimal = strawberry.field(description="What events cost.")
    amount: Decimal = strawberry.field(description="What is booked.")
    cause: Cause = strawberry.field(description="Why the two differ.")


@strawberry.type(description="A month trued up: `billed` is `attributed` and `amount`.")
class TrueUpReport:
    """A true-up, done or previewed."""

    provider: str = strawberry.field(description="The provider.")
    period: str = strawberry.field(description="The month, in UTC.")
    billed: Decimal = strawberry.field(description="What the bills say of the days they cover.")
    attributed: Decimal = strawberry.field(description="What events cost on those days.")
    amount: Decimal = strawberry.field(description="What is booked altogether.")
    charges: list[TrueUpCharge] = strawberry.field(description="What is booked, the largest first; at most 1,000.")
    rows_written: BigInt = strawberry.field(description="Rows that are new or other than before.")
    rows_removed: BigInt = strawberry.field(description="Rows of an earlier true-up that are taken back.")
    rows_unchanged: BigInt = strawberry.field(description="Rows of an earlier true-up that stay.")


@strawberry.type(description="The true-up, or why there is none.")
class TrueUpPayload:
    """The outcome of trueUp."""

    report: TrueUpReport | None = strawberry.field(description="What was done, or would be.")
    errors: list[UserError] = strawberry.field(description="Empty when it was done.")


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
        return Month.parse(period, zone).window
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
    window = _window(context, period, time_range, timezone)
    percent = settings.reconciliation_tolerance if tolerance_percent is None else tolerance_percent
    asked = frozenset([By.DAY, By.MODEL] if by is None else by)
    question = fingerprint("reconciliation", provider, period, time_range, timezone, sorted(b.value for b in asked))
    size = check_page_size(first, settings.max_page_rows)
    skipped = decode_cursor(after, question, int)[0] if after is not None else 0
    found = await context.services.read(
        context.services.reconciler.reconcile,
        provider,
        window,
        tolerance_percent=percent,
        zone=parse_timezone(timezone),
    )
    if found is None:
        return None
    rows = _ordered(found.comparison.rows(asked))
    shown = rows[skipped : skipped + size]
    cursors = [encode_cursor(question, skipped + place) for place in range(1, len(shown) + 1)]
    return _answer(
        found,
        percent,
        shown,
        len(rows),
        page_info(cursors, has_next=skipped + size < len(rows), has_previous=skipped > 0),
    )


def _answer(
    found: Reconciliation, percent: Decimal, shown: Sequence[tuple[Place, Cell]], count: int, page: PageInfo
) -> ReconciliationType:
    return ReconciliationType(
        provider=found.provider,
        start=found.window.start,
        end=found.window.end,
        compared_by=[member for member in By if member in found.comparison.compared],
        tolerance_percent=percent,
        bills=[bill_type(bill) for bill in found.bills],
        total=_row(Place(), found.comparison.total),
        rows=[_row(place, cell) for place, cell in shown],
        row_count=BigInt(count),
        page_info=page,
    )


async def true_up(
    info: Information,
    provider: Annotated[str, strawberry.argument(description="Whose bill.")],
    period: Annotated[str, strawberry.argument(description="The month, such as 2026-10, in UTC as bills are.")],
    dry_run: Annotated[bool, strawberry.argument(description="Only say what would be booked.")] = False,  # noqa: FBT002
) -> TrueUpPayload | None:
    """Book what the bill says beyond what is attributed, as charges of nobody. Run again, it replaces.

    Allocation rules can share the charges out: they are charges of the source `bill`.
    """
    context = info.context
    context.scope(Permission.FINANCE).require_unrestricted("bills")
    ups = context.services.true_ups
    try:
        month = Month.parse(period, UTC)
        if dry_run:
            done = await context.services.read(ups.preview, provider, month)
        else:
            done = await context.services.read(ups.run, provider, month, by=context.principal.name)
    except (InvalidInput, Conflict, NotFound) as error:
        return TrueUpPayload(report=None, errors=[user_error(error)])
    return TrueUpPayload(report=_true_up(done), errors=[])


def _true_up(done: TrueUp) -> TrueUpReport:
    largest = sorted(done.booked, key=lambda one: -abs(one.cell.gap))[:1_000]
    return TrueUpReport(
        provider=done.provider,
        period=str(done.month),
        billed=from_pico(done.billed),
        attributed=from_pico(done.attributed),
        amount=from_pico(done.amount),
        charges=[
            TrueUpCharge(
                day=str(one.place.day),
                model=one.place.model or None,
                account=one.place.account or None,
                category=one.place.category,
                billed=from_pico(one.cell.billed),
                attributed=from_pico(one.cell.attributed),
                amount=from_pico(one.cell.gap),
                cause=one.cell.cause,
            )
            for one in largest
        ],
        rows_written=BigInt(len(done.changes.written)),
        rows_removed=BigInt(len(done.changes.removed)),
        rows_unchanged=BigInt(done.changes.unchanged),
    )
