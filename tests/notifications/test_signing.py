"""A webhook verified by code written from `docs/notifications.md` alone: it shares nothing with what signs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from notifications.channels import Channels, Kind, NewChannel
from notifications.senders import Senders, trial_letter
from notifications.signing import key_of, new_secret, signed_headers

pytestmark = pytest.mark.anyio


class NotGenuine(Exception):
    pass


class Receiver:
    """Steps 1 to 7 of "Receiving a webhook"."""

    def __init__(self, secret: str, clock: Any = time.time) -> None:
        self._key = base64.b64decode(secret[len("whsec_") :])
        self._clock = clock
        self._seen: set[str] = set()

    def receive(self, headers: dict[str, str], body: bytes) -> dict[str, Any] | None:
        """What is told; nothing for a repetition."""
        identifier, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        content = f"{identifier}.{timestamp}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(self._key, content, hashlib.sha256).digest()).decode()
        given = [each for each in headers["webhook-signature"].split(" ") if each.startswith("v1,")]
        if not any(hmac.compare_digest(expected, each) for each in given):
            raise NotGenuine("signature")
        if abs(int(timestamp) - self._clock()) > 300:
            raise NotGenuine("timestamp")
        if identifier in self._seen:
            return None
        self._seen.add(identifier)
        return json.loads(body)


async def send(channels: Channels, name: str) -> None:
    senders = Senders(smtp_url="", mail_sender="a@b.example")
    channel = channels.get(name)
    try:
        await senders.send(channel, trial_letter(channel, by="Jörg"))
    finally:
        await senders.close()


@pytest.fixture
def book(sqlite: Database) -> Channels:
    return Channels(sqlite)


async def test_a_genuine_webhook_is_taken_once(book, hook):
    _, secret = book.create(NewChannel("ops", Kind.WEBHOOK, hook.url))
    await send(book, "ops")
    (request,) = hook.requests
    receiver = Receiver(secret)
    told = receiver.receive(request.headers, request.body)
    assert (told["type"], told["data"]) == ("test", {"channel": "ops", "sentBy": "Jörg"})
    assert receiver.receive(request.headers, request.body) is None


async def test_anything_else_is_refused(book, hook):
    _, secret = book.create(NewChannel("ops", Kind.WEBHOOK, hook.url))
    await send(book, "ops")
    (request,) = hook.requests
    headers, body = request.headers, request.body
    changed = [
        (headers, body + b" "),
        (headers | {"webhook-id": "msg_other"}, body),
        (headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}, body),
        (headers | {"webhook-signature": "v1,"}, body),
        (headers | {"webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")}, body),
    ]
    for each in changed:
        with pytest.raises(NotGenuine, match="signature"):
            Receiver(secret).receive(*each)
    with pytest.raises(NotGenuine, match="signature"):
        Receiver(new_secret()).receive(headers, body)
    with pytest.raises(NotGenuine, match="timestamp"):
        Receiver(secret, clock=lambda: time.time() + 301).receive(headers, body)


async def test_while_a_secret_is_replaced_either_verifies(book, hook):
    _, old = book.create(NewChannel("ops", Kind.WEBHOOK, hook.url))
    new = book.rotate("ops", overlap=timedelta(hours=1))
    await send(book, "ops")
    (request,) = hook.requests
    assert Receiver(old).receive(request.headers, request.body)
    assert Receiver(new).receive(request.headers, request.body)


def test_the_example_of_the_standard():
    """What the Python library of Standard Webhooks makes of its own example."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', [key])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_example_of_the_page_is_genuine():
    page = (Path(__file__).parents[2] / "docs/notifications.md").read_text()
    head, body = re.search(r"```http\nPOST .*?\n(.*?)\n\n(.*?)\n```", page, re.DOTALL).groups()
    headers = dict(line.split(": ", 1) for line in head.splitlines())
    secret = re.search(r"`(whsec_\w{10,})`", page)[1]
    told = Receiver(secret, clock=lambda: int(headers["webhook-timestamp"])).receive(headers, body.encode())
    assert told["data"]["budget"] == "Search"
