"""What sending is, whatever the kind of channel: it ends well, or says why not. And the one way to post."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

import httpx

from core.errors import ApportionError
from notifications.channels import Channel
from notifications.outbox import Letter

PATIENCE_SECONDS: Final = 10.0
"""How long one delivery may take."""

_GONE: Final = 410
_USER_AGENT: Final = "Apportion"


class NotDelivered(ApportionError):
    """The channel did not take it. `is_final` when it never will, `wait` when it said how long to wait."""

    code = "NOT_DELIVERED"

    def __init__(self, reason: str, *, is_final: bool = False, wait: timedelta | None = None) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.wait = wait


class Sender(Protocol):
    """One kind of channel."""

    async def send(self, channel: Channel, letter: Letter) -> None:
        """Return when the channel has it; raise NotDelivered when not."""


async def post(client: httpx.AsyncClient, channel: Channel, body: bytes, headers: Mapping[str, str]) -> None:
    """Post JSON; the answer's body is nobody's business and is not read. Redirects are refusals."""
    sent = {"content-type": "application/json", "user-agent": _USER_AGENT, **headers}
    try:
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            client.stream("POST", channel.address, content=body, headers=sent) as response,
        ):
            status, wait = response.status_code, response.headers.get("retry-after")
    except TimeoutError:
        raise NotDelivered(f"no answer within {PATIENCE_SECONDS:g} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotDelivered(f"its address cannot be reached: {type(error).__name__}") from error
    if not 200 <= status < 300:
        reason = f"it answered {status}"
        raise NotDelivered(reason, is_final=status == _GONE, wait=_wait(wait))


def _wait(retry_after: str | None) -> timedelta | None:
    """What a Retry-After header asks for: seconds, or an instant."""
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdecimal():
        return timedelta(seconds=int(retry_after[:9]))
    try:
        return parsedate_to_datetime(retry_after) - datetime.now(UTC)
    except (ValueError, TypeError):
        return None
