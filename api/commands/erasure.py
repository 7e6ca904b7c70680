"""`apportion erase-user`: takes the link to a person out of everything stored."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

from typing import Annotated

import typer

from api.commands.stores import DataDir, settings_with
from api.commands.terminal import say


def erase_user(
    tenant: Annotated[str, typer.Option(help="The tenant.")],
    user: Annotated[str, typer.Option(help="The user id, as it was sent.")],
    delete: Annotated[bool, typer.Option("--delete", help="Delete the events, costs and all.")] = False,  # noqa: FBT002
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,  # noqa: FBT002
    data_dir: DataDir = None,
) -> None:
    """Erase a user, as privacy laws ask: user and session ids are emptied, tags named `user.*` dropped, costs stay.

    It cannot be undone, and holds for whatever is sent about the user later. With an embedded store that a server has
    open, use the GraphQL mutation eraseUser instead.
    """
    from api.serving import open_services
    from attribution.erasure import Person
    from core.money import plain
    from tenants.audit import COMMAND_LINE

    services, person = open_services(settings_with(data_dir=data_dir)), Person(tenant, user)
    try:
        if dry_run:
            found = services.eraser.traces(person)
        else:
            found = services.eraser.erase(person, keep_costs=not delete, by=COMMAND_LINE)
    finally:
        services.release()
    done = "would be erased" if dry_run else "are deleted" if delete else "are anonymous"
    cost = "unknown" if found.effective_cost is None else plain(found.effective_cost)
    say(f"{found.events} events of the user, effective cost {cost}, {done}")
