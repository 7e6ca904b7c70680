"""The events store's copy of who had which tier when, kept equal to the database's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Final

from attribution.store import Store
from attribution.tier_history import TierHistory, TierSpan
from core.database import Database
from core.errors import Unavailable
from tenants.changes import edition, raise_edition
from tenants.directory import Tenants
from tenants.models import TierAssignment

CHECK_SECONDS: Final = 5.0
"""How soon every process sees a change that another one made."""
COMPARE_SECONDS: Final = 60.0
"""How soon a store that was restored from a copy is mended."""

_logger = logging.getLogger("apportion.tiers")


class TierMirror:
    """Copies the assignments into the events store whenever the two differ. Safe to share between threads.

    Several processes may do so at once: a copy carries the edition it was read after, and the highest is the truth.
    """

    def __init__(
        self, database: Database, tenants: Tenants, store: Store, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._tenants = tenants
        self._store = store
        self._clock = clock
        self._spans: Mapping[str, Sequence[TierSpan]] = {}
        self._known = -1
        self._compared_at = float("-inf")

    def refresh(self) -> None:
        """Make the store's copy equal. Raises Unavailable where a store does not answer."""
        number = edition(self._database)
        if number == self._known and self._clock() - self._compared_at < COMPARE_SECONDS:
            return
        self._equalise(number)

    def span(self, tenant_id: str, at: datetime) -> TierSpan | None:
        """The tier of the tenant at that time, out of memory: as it was when last looked at."""
        for span in self._spans.get(tenant_id, ()):
            if span.start <= at and (span.end is None or at < span.end):
                return span
        return None

    def follow(self) -> None:
        """As `refresh`; when a store does not answer, the next check will do it."""
        try:
            self.refresh()
        except Unavailable as error:
            _logger.warning("tiers could not be copied to the events store, and will be: %s", error)

    async def keep(self) -> None:
        """Check every CHECK_SECONDS, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await asyncio.to_thread(self.follow)

    def _equalise(self, number: int) -> None:
        history = TierHistory(tuple(sorted(_span(each) for each in self._tenants.assignments())))
        self._spans = {tenant: tuple(spans) for tenant, spans in groupby(history.spans, attrgetter("tenant_id"))}
        version, digest = self._store.newest_tier_history()
        if digest != history.digest and (history.spans or version):
            if version >= number:  # the database was restored from before that version
                number = raise_edition(self._database, version)
            self._store.put_tier_history(history, number)
        self._known, self._compared_at = number, self._clock()


def _span(each: TierAssignment) -> TierSpan:
    return TierSpan(each.tenant_id, each.start, each.end, each.tier, str(each.id))
