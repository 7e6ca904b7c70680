"""Signatures by which a receiver knows that a webhook is ours, fresh and unchanged: Standard Webhooks, version v1.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from core.errors import InvalidInput

PREFIX: Final = "whsec_"
_KEY_BYTES: Final = range(24, 65)


class UnusableSecret(InvalidInput):
    """The text is no signing secret. It is not repeated."""

    code = "UNUSABLE_SECRET"
    field = "secret"

    def __init__(self) -> None:
        super().__init__(
            f"a signing secret is {PREFIX} and the base64 of {_KEY_BYTES.start} to {_KEY_BYTES.stop - 1} random bytes; "
            "leave it out to have one made"
        )


def new_secret() -> str:
    """A secret of 256 random bits, as text."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The key that the secret spells. Raises UnusableSecret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise UnusableSecret from None
    if not secret.startswith(PREFIX) or len(key) not in _KEY_BYTES:
        raise UnusableSecret
    return key


def signed_headers(message_id: str, at: datetime, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The three headers of a signed webhook, with one signature for each key: two while a secret is being replaced."""
    timestamp = str(int(at.timestamp()))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(content, key) for key in keys),
    }


def _signature(content: bytes, key: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
