"""The command line. Every command works on the stores that the settings name; `--help` teaches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from api.demo import load
from api.graphql.schema import make_schema
from api.serving import open_services
from api.serving import serve as serve_until_stopped
from core.database import Database
from core.errors import ApportionError
from core.settings import Settings
from pricing.book import PriceBook
from tenants.keys import KeyRing
from tenants.principal import Role
from tenants.scope import Scope

app = typer.Typer(
    name="apportion",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which features, users, teams and tenants drive your AI spend.\n\n"
    "Start with `apportion demo`, or `apportion serve` and send events to /v1/events or OTLP traces to /v1/traces. "
    "Every setting is an environment variable APPORTION_..., listed in docs/settings.md.",
)
keys = typer.Typer(no_args_is_help=True, help="API keys: create, list and revoke. Works beside a running server.")
prices = typer.Typer(no_args_is_help=True, help="Negotiated prices, which come before public ones. Never overwritten.")
app.add_typer(keys, name="keys")
app.add_typer(prices, name="prices")

console = Console()
errors = Console(stderr=True)

DataDir = Annotated[Path | None, typer.Option(help="Directory of everything embedded. [env: APPORTION_DATA_DIR]")]


def _settings(**given: object) -> Settings:
    """The settings, with what the command line gives on top."""
    return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


@contextmanager
def _database(data_dir: Path | None) -> Iterator[tuple[Database, Settings]]:
    """The migrated relational database; the events store is left alone, it may belong to a running server."""
    settings = _settings(data_dir=data_dir)
    database = Database(settings.effective_database_url)
    try:
        with database.lock():
            database.migrate()
        yield database, settings
    finally:
        database.close()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [env: APPORTION_HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one. [env: APPORTION_PORT]")] = None,
    data_dir: DataDir = None,
) -> None:
    """Migrate both stores, then serve the API. The first start prints an admin key, once."""
    serve_until_stopped(open_services(_settings(host=host, port=port, data_dir=data_dir)))


@app.command()
def demo(
    events: Annotated[int, typer.Option(help="How many events to load.", min=1)] = 300_000,
    seed: Annotated[int, typer.Option(help="Another seed is another company's quarter.")] = 7,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.")] = None,
    data_dir: Annotated[Path, typer.Option(help="Directory of the demo's own data.")] = Path(".apportion/demo"),
    load_only: Annotated[bool, typer.Option("--load-only", help="Stop after loading.")] = False,  # noqa: FBT002
) -> None:
    """Load 90 days of a realistic company through the real ingest path, then serve and say what to try."""
    services = open_services(_settings(host=host, port=port, data_dir=data_dir))
    plan = load.prepare(services, events=events, seed=seed)
    if load_only:
        services.release()
        return
    serve_until_stopped(services, announce=lambda url: load.advise(plan, url))


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring both stores to the newest schema. Safe to repeat, and from several processes at once."""
    open_services(_settings(data_dir=data_dir)).release()
    console.print("both stores are current")


@app.command()
def schema() -> None:
    """Print the GraphQL schema (SDL)."""
    sys.stdout.write(make_schema().as_str() + "\n")


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What people will recognise it by.")],
    role: Annotated[Role, typer.Option(help="What it may do.")],
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's operations.")] = None,
    team: Annotated[str | None, typer.Option(help="Only this team's operations.")] = None,
    environment: Annotated[str | None, typer.Option(help="Only this environment's operations.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Create a key. The last line of output is the key alone; it is never shown again."""
    with _database(data_dir) as (database, _):
        key = KeyRing(database).create(name, role, Scope(tenant, team, environment))
    errors.print(f"key {name!r} with role {role.value}; store it now, it is not shown again")
    sys.stdout.write(key + "\n")


@keys.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """List keys by prefix; secrets are not stored."""
    table = Table("prefix", "name", "role", "tenant", "team", "environment", "created", "revoked")
    with _database(data_dir) as (database, _):
        for key in KeyRing(database).all_keys():
            scope = [value or "" for value in (key.tenant_id, key.team, key.environment)]
            table.add_row(key.prefix, key.name, key.role, *scope, _when(key.created_at), _when(key.revoked_at))
    console.print(table)


@keys.command("revoke")
def revoke_key(
    prefix: Annotated[str, typer.Argument(help="The middle part of the key: apn_<prefix>_...")],
    data_dir: DataDir = None,
) -> None:
    """Make a key useless; running servers notice within seconds."""
    with _database(data_dir) as (database, _):
        KeyRing(database).revoke(prefix)
    console.print(f"key {prefix} is revoked")


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
    with _database(data_dir) as (database, settings):
        row = PriceBook(database.session, settings.currency).add(
            provider=provider,
            unit=unit,
            price=_decimal(price),
            effective_from=_instant(effective_from),
            per=per,
            currency=currency,
            model=model,
            tenant_id=tenant,
            note=note,
            created_by="command line",
        )
    console.print(f"price {row.id}: {row.per} {row.unit} of {row.provider} {row.model} cost {row.price} {row.currency}")


@prices.command("list")
def list_prices(data_dir: DataDir = None) -> None:
    """List every negotiated price, past and future."""
    table = Table("id", "provider", "model", "unit", "tenant", "price", "per", "currency", "from", "note")
    with _database(data_dir) as (database, settings):
        for row in PriceBook(database.session, settings.currency).prices():
            money = (str(row.price), str(row.per), row.currency, _when(row.effective_from), row.note)
            table.add_row(str(row.id), row.provider, row.model, row.unit, row.tenant_id, *money)
    console.print(table)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a decimal number") from None


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-03-01T00:00:00Z") from None


def _when(instant: datetime | None) -> str:
    return instant.isoformat(timespec="seconds") if instant else ""


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 could not be done (the reason is on stderr), 2 wrong usage."""
    try:
        app()
    except ApportionError as error:
        errors.print(f"apportion: {error}", style="red", highlight=False)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
