"""`apportion prices`: what was negotiated."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.arguments import instant
from api.commands.repricing import reprice
from api.commands.stores import DataDir, database_of, settings_with
from api.commands.terminal import moment, say, show

if TYPE_CHECKING:
    from pricing.book import PriceBook

prices = typer.Typer(no_args_is_help=True, help="Negotiated prices, which come before public ones. Never overwritten.")
prices.command("reprice")(reprice)


@contextmanager
def _price_book(data_dir: Path | None) -> Iterator[PriceBook]:
    from pricing.book import PriceBook

    settings = settings_with(data_dir=data_dir)
    with database_of(settings) as database:
        yield PriceBook(database.session, settings.currency)


@prices.command("add")
def add_price(
    provider: Annotated[str, typer.Option(help="Who sells it, such as openai.")],
    unit: Annotated[str, typer.Option(help="input_tokens, output_tokens, requests, gpu_seconds, ...")],
    price: Annotated[str, typer.Option(help="What `--per` units cost, such as 2.50.")],
    effective_from: Annotated[str, typer.Option("--from", help="First instant in force: 2026-03-01T00:00:00Z.")],
    per: Annotated[int, typer.Option(help="How many units the price is for.")] = 1,
    model: Annotated[str, typer.Option(help="The model; without it, every model of the provider.")] = "",
    tenant: Annotated[str, typer.Option(help="The tenant it is for; without it, all.")] = "",
    currency: Annotated[str, typer.Option(help="Must be the deployment's currency.")] = "",
    note: Annotated[str, typer.Option(help="Why, for people.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Add a negotiated price. To change one, add another with a later --from."""
    agreed, start = _decimal(price), instant(effective_from, "--from")
    with _price_book(data_dir) as book:
        row = book.add(
            provider=provider,
            unit=unit,
            price=agreed,
            effective_from=start,
            per=per,
            currency=currency,
            model=model,
            tenant_id=tenant,
            note=note,
            created_by="command line",
        )
    what = " ".join(part for part in (row.unit, "of", row.provider, row.model) if part)
    say(f"price {row.id}: {row.per} {what} cost {row.price} {row.currency} from {moment(row.effective_from)}")


@prices.command("list")
def list_prices(data_dir: DataDir = None) -> None:
    """List every negotiated price, past and future."""
    rows = []
    with _price_book(data_dir) as book:
        for row in book.prices():
            key = [str(row.id), row.provider, row.model, row.unit, row.tenant_id]
            rows.append([*key, str(row.price), str(row.per), row.currency, moment(row.effective_from), row.note])
    show(["id", "provider", "model", "unit", "tenant", "price", "per", "currency", "from", "note"], rows)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a decimal number", param_hint="--price") from None
