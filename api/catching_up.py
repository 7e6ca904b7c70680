"""Migrating an events store that was away when the process started, as soon as it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from api.services import Services
from core.errors import in_full

PAUSE_SECONDS: Final = 2
"""Between two attempts. Events wait in the spool meanwhile, and nobody waits for the migration itself."""

_logger = logging.getLogger("apportion.migration")


@asynccontextmanager
async def catching_up(services: Services) -> AsyncIterator[None]:
    """While it is entered, whatever migration is due is tried again until it is done."""
    task = asyncio.create_task(_catch_up(services))
    try:
        yield
    finally:
        task.cancel()


async def _catch_up(services: Services) -> None:
    failure = ""
    while services.is_behind:
        try:
            await asyncio.to_thread(services.migrate)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process serves, and an operator may mend it
            if in_full(error) != failure:
                failure = in_full(error)
                _logger.warning("the events store is not migrated yet: %s", failure)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            _logger.warning("the events store is back, and migrated")
