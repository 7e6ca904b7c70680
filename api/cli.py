"""The command line. Every command works on the stores that the settings name; `--help` teaches."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from api.commands.allocations import allocations
from api.commands.bills import bills
from api.commands.budgets import budgets
from api.commands.channels import channels
from api.commands.erasure import erase_user
from api.commands.keys import keys
from api.commands.prices import prices
from api.commands.revenue import revenue
from api.commands.statements import statements
from api.commands.stores import DataDir, settings_with
from api.commands.tenants import tenants
from api.commands.terminal import complain, say
from core.errors import ApportionError, in_full

app = typer.Typer(
    name="apportion",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which features, users, teams and tenants drive your AI spend.\n\n"
    "Start with `apportion demo`, or `apportion serve` and send events to /v1/events or OTLP traces to /v1/traces. "
    "Every setting is an environment variable APPORTION_..., listed in docs/settings.md.",
)
app.add_typer(budgets, name="budgets")
app.add_typer(keys, name="keys")
app.add_typer(prices, name="prices")
app.add_typer(statements, name="statements")
app.add_typer(allocations, name="allocations")
app.add_typer(bills, name="bills")
app.add_typer(channels, name="channels")
app.add_typer(tenants, name="tenants")
app.add_typer(revenue, name="revenue")
app.command("erase-user")(erase_user)

Host = Annotated[str | None, typer.Option(help="Address to listen on.", envvar="APPORTION_HOST")]
Port = Annotated[int | None, typer.Option(help="Port; 0 picks a free one.", envvar="APPORTION_PORT", min=0, max=65_535)]


@app.command()
def serve(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Migrate both stores, then serve the API. The first start prints an admin key, once."""
    from api.serving import open_to_serve
    from api.serving import serve as serve_until_stopped

    serve_until_stopped(open_to_serve(settings_with(host=host, port=port, data_dir=data_dir)))


@app.command()
def demo(
    events: Annotated[int, typer.Option(help="How many events to load.", min=1)] = 300_000,
    seed: Annotated[int, typer.Option(help="Another seed is another company's quarter.")] = 7,
    host: Host = None,
    port: Port = None,
    data_dir: Annotated[Path, typer.Option(help="Directory of the demo's own data.")] = Path(".apportion/demo"),
    load_only: Annotated[bool, typer.Option("--load-only", help="Stop after loading.")] = False,  # noqa: FBT002
) -> None:
    """Load 90 days of a realistic company through the real ingest path, then serve and say what to try."""
    from api.demo import load
    from api.serving import open_services
    from api.serving import serve as serve_until_stopped

    services = open_services(settings_with(host=host, port=port, data_dir=data_dir))
    plan = load.prepare(services, events=events, seed=seed)
    if load_only:
        services.release()
        return
    serve_until_stopped(services, announce=lambda url: load.advise(plan, url))


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring both stores to the newest schema. Safe to repeat, and from several processes at once."""
    from api.serving import open_services

    open_services(settings_with(data_dir=data_dir)).release()
    say("both stores are current")


@app.command()
def schema() -> None:
    """Print the GraphQL schema (SDL)."""
    from api.graphql.schema import make_schema

    sys.stdout.write(make_schema().as_str() + "\n")


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 could not be done (the reason is on stderr), 2 wrong usage."""
    try:
        app()
    except ApportionError as error:
        complain(in_full(error))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
