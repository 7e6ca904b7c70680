"""Webhooks: JSON over HTTP, signed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from notifications.channels import Channel
from notifications.outbox import Letter
from notifications.sending import post
from notifications.signing import signed_headers


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """JSON over HTTP, signed."""

    client: httpx.AsyncClient

    async def send(self, channel: Channel, letter: Letter) -> None:
        """Post it; any 2xx is a receipt."""
        now, body = datetime.now(UTC), webhook_body(letter)
        await post(self.client, channel, body, signed_headers(letter.message_id, now, body, channel.keys(now)))


def webhook_body(letter: Letter) -> bytes:
    """What is signed and posted; the same at every attempt."""
    at = letter.created_at.isoformat().replace("+00:00", "Z")
    whole = {"type": letter.topic.spec.name, "timestamp": at, "data": letter.payload}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
