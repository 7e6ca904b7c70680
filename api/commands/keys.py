"""`apportion keys`: who may call."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.stores import DataDir, database_of, settings_with
from api.commands.terminal import moment, note, say, show
from tenants.principal import Role
from tenants.scope import Scope

if TYPE_CHECKING:
    from tenants.keys import KeyRing

keys = typer.Typer(no_args_is_help=True, help="API keys: create, list and revoke. Works beside a running server.")


@contextmanager
def _key_ring(data_dir: Path | None) -> Iterator[KeyRing]:
    from tenants.keys import KeyRing

    with database_of(settings_with(data_dir=data_dir)) as database:
        yield KeyRing(database)


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
    with _key_ring(data_dir) as ring:
        key = ring.create(name, role, Scope(tenant, team, environment))
    note(f"key {name!r} with role {role.value}; store it now, it is not shown again")
    sys.stdout.write(key + "\n")


@keys.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """List keys by prefix; secrets are not stored."""
    rows = []
    with _key_ring(data_dir) as ring:
        for key in ring.all_keys():
            scope = [value or "" for value in (key.tenant_id, key.team, key.environment)]
            rows.append([key.prefix, key.name, key.role, *scope, moment(key.created_at), moment(key.revoked_at)])
    show(["prefix", "name", "role", "tenant", "team", "environment", "created", "revoked"], rows)


@keys.command("revoke")
def revoke_key(
    prefix: Annotated[str, typer.Argument(help="The middle part of the key: apn_<prefix>_...")],
    data_dir: DataDir = None,
) -> None:
    """Make a key useless; running servers notice within seconds."""
    with _key_ring(data_dir) as ring:
        ring.revoke(prefix)
    say(f"key {prefix} is revoked")
