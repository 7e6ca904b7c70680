"""A process that does nothing but tell what is due: `python -m tests.notifications.teller DATABASE_URL`."""

from __future__ import annotations

import asyncio
import sys

from core.database import Database
from notifications.channels import Channels
from notifications.courier import Courier
from notifications.outbox import Outbox
from notifications.senders import Senders


async def tell(url: str) -> None:
    database = Database(url)
    courier = Courier(
        Outbox(database),
        Channels(database),
        Senders(smtp_url="", mail_sender="a@b.example"),
        max_attempts=15,
        first_pause_seconds=0.1,
        kept_days=30,
    )
    await courier.start()
    sys.stdout.write("telling\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await courier.close()


if __name__ == "__main__":
    asyncio.run(tell(sys.argv[1]))
