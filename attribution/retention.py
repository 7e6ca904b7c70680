"""How long events are kept: a TTL on the table, so that the engine itself drops what is too old."""

from __future__ import annotations

import re
from typing import Final

from clickhouse_connect.driver.client import Client

_TTL: Final = re.compile(r"\bTTL toDateTime\(start_time\) \+ toIntervalDay\((\d+)\)")


def retain(client: Client, days: int) -> None:
    """Keep events for that many days after their start; 0 is for ever. Safe to repeat: only a change is applied.

    The engine drops what is older as it merges, a few hours late at most. Tombstones go with the events they delete.
    """
    if days == _retained_days(client):
        return
    if days:
        client.command(f"ALTER TABLE events MODIFY TTL toDateTime(start_time) + toIntervalDay({int(days)})")
    else:
        client.command("ALTER TABLE events REMOVE TTL")


def _retained_days(client: Client) -> int:
    engine = client.command(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
    )
    found = _TTL.search(str(engine))
    return int(found[1]) if found else 0
