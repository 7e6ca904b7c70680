"""Slack's incoming webhooks, and whatever takes their form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from notifications.channels import Channel
from notifications.messages import Message, message_of
from notifications.outbox import Letter
from notifications.sending import post

_MAX_TEXT: Final = 2_900
"""Characters of one block's text; Slack takes 3,000."""


@dataclass(frozen=True, slots=True)
class SlackSender:
    """The message as blocks."""

    client: httpx.AsyncClient

    async def send(self, channel: Channel, letter: Letter) -> None:
        """Post it; any 2xx is a receipt."""
        body = json.dumps(slack_body(message_of(letter.topic, letter.payload))).encode()
        await post(self.client, channel, body, {})


def slack_body(message: Message) -> Mapping[str, Any]:
    """Blocks, and the text for notifications and for readers without blocks."""
    blocks = [_section(f"*{_escaped(message.headline)}*")]
    if message.facts:
        blocks.append(_section("\n".join(f"{_escaped(label)}: *{_escaped(value)}*" for label, value in message.facts)))
    if message.drivers:
        drivers = "\n".join(f"• {_escaped(name)}: {_escaped(value)}" for name, value in message.drivers)
        blocks.append(_section(f"Driven by\n{drivers}"))
    if message.playbook:
        blocks.append(_section(f"What to do: {_escaped(message.playbook)}"))
    return {"text": _escaped(message.headline), "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_MAX_TEXT]}}


def _escaped(text: str) -> str:
    """Without what would be a mention or a link with another name: names come from events."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
