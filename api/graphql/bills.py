"""`bills` and `billLines`: what providers charged, as they said it. For finance keys without a scope."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

import strawberry

from api.graphql.context import Information
from api.graphql.costs import TagValue
from api.graphql.inputs import TimeRange
from api.graphql.paging import PageInfo, check_page_size, decode_cursor, encode_cursor, fingerprint, page_info
from api.graphql.scalars import BigInt
from api.graphql.user_errors import UserError, user_error
from attribution.bill_lines import BillFilter, BillLine
from core.errors import InvalidInput, NotFound
from core.time import parse_timezone
from finance.bills.providers import provider_of
from finance.bills.stored import Bill
from tenants.principal import Permission


class InvalidDay(InvalidInput):
    """The text is no day."""

    code = "INVALID_DAY"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is not a day such as 2026-10-31")


@strawberry.type(name="Bill", description="A provider's bill of a month, as last imported.")
class BillType:
    """A bill in force."""

    id: strawberry.ID = strawberry.field(description="The number of its import.")
    provider: str = strawberry.field(description="Who bills.")
    payer: str | None = strawberry.field(description="Whose bill it is, where there are several of a provider.")
    period: str = strawberry.field(description="The month, such as 2026-10.")
    format: str = strawberry.field(description="The format of its last import.")
    file_name: str | None = strawberry.field(description="The file it came in.")
    lines: BigInt = strawberry.field(description="How many lines it has.")
    cost: Decimal = strawberry.field(description="The sum of its lines, credits and taxes included.")
    credits: Decimal = strawberry.field(description="The sum of its credits, negative.")
    taxes: Decimal = strawberry.field(description="The sum of its taxes.")
    currency: str = strawberry.field(description="ISO 4217.")
    days: list[str] = strawberry.field(description="The UTC days it covers.")
    accounts: list[str] = strawberry.field(description="The provider's names of who pays.")
    imported_at: datetime = strawberry.field(description="When it was imported.")
    imported_by: str = strawberry.field(description="The key that did it, or `command line`.")


@strawberry.type(name="BillLine", description="One line of a bill; a credit of it is a further part.")
class BillLineType:
    """A line."""

    bill: strawberry.ID = strawberry.field(description="The import it belongs to.")
    line: BigInt = strawberry.field(description="Its place in the file.")
    part: int = strawberry.field(description="0, or the number of a credit that came with the line.")
    start: datetime = strawberry.field(description="First instant it is charged for.")
    end: datetime = strawberry.field(description="First instant after it.")
    category: str = strawberry.field(description="usage, purchase, tax, credit or adjustment.")
    is_correction: bool = strawberry.field(description="Whether it corrects an earlier bill.")
    account: str | None = strawberry.field(description="The project, workspace or account.")
    service: str | None = strawberry.field(description="The provider's service.")
    model: str | None = strawberry.field(description="The model, as the provider writes it.")
    model_key: str | None = strawberry.field(description="The model, as it is compared.")
    token_type: str | None = strawberry.field(description="The kind of token.")
    sku: str | None = strawberry.field(description="What is sold, in the provider's terms.")
    description: str | None = strawberry.field(description="What the bill says.")
    region: str | None = strawberry.field(description="Where.")
    resource: str | None = strawberry.field(description="On which resource, or by whom.")
    invoice: str | None = strawberry.field(description="The invoice.")
    quantity: Decimal | None = strawberry.field(description="How much, in whole units.")
    unit: str | None = strawberry.field(description="What is counted.")
    cost: Decimal = strawberry.field(description="What is billed.")
    list_cost: Decimal | None = strawberry.field(description="What it would cost at public prices.")
    tags: list[TagValue] = strawberry.field(description="The provider's tags or labels.")


@strawberry.type(description="Lines of bills in order.")
class BillLineConnection:
    """A page of lines."""

    nodes: list[BillLineType] = strawberry.field(description="The lines of this page.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="The bill that was removed, or why none was.")
class RemoveBillPayload:
    """The outcome of removeBill."""

    bill: BillType | None = strawberry.field(description="As it was.")
    errors: list[UserError] = strawberry.field(description="Empty when it was removed.")


def bill_type(bill: Bill) -> BillType:
    """The bill in GraphQL's shape."""
    return BillType(
        id=strawberry.ID(str(bill.number)),
        provider=bill.provider,
        payer=bill.payer or None,
        period=f"{bill.period:%Y-%m}",
        format=bill.format,
        file_name=bill.file_name or None,
        lines=BigInt(bill.lines),
        cost=bill.cost,
        credits=bill.credits,
        taxes=bill.taxes,
        currency=bill.currency,
        days=[day.isoformat() for day in bill.covered],
        accounts=sorted(bill.paying_accounts),
        imported_at=bill.imported_at,
        imported_by=bill.imported_by,
    )


def _line_type(line: BillLine) -> BillLineType:
    return BillLineType(
        bill=strawberry.ID(str(line.import_id)),
        line=BigInt(line.line),
        part=line.part,
        start=line.start_time,
        end=line.end_time,
        category=line.charge_category,
        is_correction=line.charge_class == "correction",
        account=line.account or None,
        service=line.service or None,
        model=line.model or None,
        model_key=line.model_key or None,
        token_type=line.token_type or None,
        sku=line.sku or None,
        description=line.description or None,
        region=line.region or None,
        resource=line.resource_id or None,
        invoice=line.invoice_id or None,
        quantity=line.quantity,
        unit=line.unit or None,
        cost=line.cost,
        list_cost=line.list_cost,
        tags=[TagValue(key=key, value=value) for key, value in sorted(line.tags.items())],
    )


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidDay(text or "") from None


async def bills(
    info: Information,
    provider: Annotated[str | None, strawberry.argument(description="Only this provider's.")] = None,
) -> list[BillType] | None:
    """The bills in force, newest month first. Empty for keys with a scope: bills concern everybody."""
    context = info.context
    if not context.scope(Permission.FINANCE).unrestricted:
        return []
    found = await context.services.read(context.services.money.reconciler.bills, provider)
    return [bill_type(bill) for bill in found]


async def bill_lines(
    info: Information,
    provider: Annotated[str, strawberry.argument(description="Whose bills.")],
    time_range: Annotated[TimeRange, strawberry.argument(description="Lines that begin then.")],
    timezone: Annotated[str, strawberry.argument(description="IANA zone of presets and of `day`.")] = "UTC",
    day: Annotated[str | None, strawberry.argument(description="Only of this day, such as 2026-10-31.")] = None,
    model: Annotated[str | None, strawberry.argument(description="Only of this `modelKey`; empty: of none.")] = None,
    token_type: Annotated[str | None, strawberry.argument(description="Only of this kind; empty: of none.")] = None,
    account: Annotated[str | None, strawberry.argument(description="Only of this account; empty: of none.")] = None,
    category: Annotated[str | None, strawberry.argument(description="Only of this category.")] = None,
    first: Annotated[int, strawberry.argument(description="Lines per page.")] = 100,
    after: Annotated[str | None, strawberry.argument(description="endCursor of the previous page.")] = None,
) -> BillLineConnection | None:
    """The lines behind a reconciliation, of the bills in force. Empty for keys with a scope."""
    context, zone = info.context, parse_timezone(timezone)
    if not context.scope(Permission.FINANCE).unrestricted:
        return BillLineConnection(nodes=[], page_info=page_info([], has_next=False, has_previous=False))
    where = BillFilter(_day(day), model, token_type, account, category)
    question = fingerprint("billLines", provider, time_range, zone.key, where)
    size = check_page_size(first, context.services.settings.max_page_rows)
    place = decode_cursor(after, question, int, int, int, int) if after is not None else None
    found = await context.services.read(
        context.services.money.reconciler.lines,
        provider_of(provider),
        time_range.window(context.now, zone),
        where,
        first=size,
        after=None if place is None else (place[0], place[1], place[2], place[3]),
        zone=zone,
    )
    shown = found[:size]
    cursors = [encode_cursor(question, *_place(line)) for line in shown]
    return BillLineConnection(
        nodes=[_line_type(line) for line in shown],
        page_info=page_info(cursors, has_next=len(found) > size, has_previous=after is not None),
    )


async def remove_bill(
    info: Information,
    id: Annotated[strawberry.ID, strawberry.argument(description="The bill's id.")],  # noqa: A002
) -> RemoveBillPayload | None:
    """Remove a bill that should not have been imported. What was booked from it goes with the next true-up."""
    context = info.context
    context.scope(Permission.FINANCE).require_unrestricted("bills")
    try:
        number = int(id) if id.isascii() and id.isdigit() and len(id) < 10 else 0
        bill = await asyncio.to_thread(context.services.money.bills.remove, number, by=context.principal.name)
    except NotFound as error:
        return RemoveBillPayload(bill=None, errors=[user_error(error)])
    return RemoveBillPayload(bill=bill_type(bill), errors=[])


def _place(line: BillLine) -> tuple[int, int, int, int]:
    micros = round(line.start_time.timestamp() * 1_000_000)
    return line.import_id, micros, line.line, line.part
