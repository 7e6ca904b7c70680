"""One sender for each kind of channel, as one sender for all."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import httpx

from notifications.channels import Channel, Kind
from notifications.mail import MailSender, SmtpServer
from notifications.outbox import Letter
from notifications.sending import Sender
from notifications.slack import SlackSender
from notifications.topics import Topic
from notifications.webhook import WebhookSender


class Senders:
    """Sends to any channel. `smtp_url` may be empty: then there is no mail. Raises UnusableSmtpUrl."""

    def __init__(self, *, smtp_url: str, mail_sender: str) -> None:
        self._client = httpx.AsyncClient(timeout=None)  # noqa: S113 - `post` bounds the whole of it
        self._mail = MailSender(SmtpServer.from_url(smtp_url) if smtp_url else None, mail_sender)
        self._by_kind: dict[Kind, Sender] = {
            Kind.WEBHOOK: WebhookSender(self._client),
            Kind.SLACK: SlackSender(self._client),
            Kind.EMAIL: self._mail,
        }

    async def send(self, channel: Channel, letter: Letter) -> None:
        """Return when the channel has it; raise NotDelivered when not."""
        await self._by_kind[Kind(channel.kind)].send(channel, letter)

    async def close(self) -> None:
        """Let go of connections."""
        self._mail.threads.shutdown(wait=False, cancel_futures=True)
        await self._client.aclose()


def trial_letter(channel: Channel, *, by: str) -> Letter:
    """What is sent to try a channel."""
    payload = {"channel": channel.name, "sentBy": by}
    return Letter("msg_" + secrets.token_hex(12), Topic.TEST, datetime.now(UTC), payload)
