"""Channels: what may be one, what is shown of one, and that every change is recorded."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from core.database import Database
from notifications.channels import ChannelExists, Channels, Kind, NewChannel, NoSuchChannel, NotSigned, UnusableChannel
from notifications.signing import UnusableSecret, key_of, new_secret
from notifications.topics import Topic
from tenants.audit import records

URL = "https://hooks.example.com:8443/services/T0P-SECRET?token=T0P-SECRET"


@pytest.fixture
def book(sqlite: Database) -> Channels:
    return Channels(sqlite)


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        (Kind.WEBHOOK, "ftp://example.com/x"),
        (Kind.WEBHOOK, "file:///etc/passwd"),
        (Kind.WEBHOOK, "gopher://example.com"),
        (Kind.WEBHOOK, "https://"),
        (Kind.WEBHOOK, "example.com/hook"),
        (Kind.WEBHOOK, "https://user:password@example.com"),
        (Kind.WEBHOOK, "https://example.com:99999/"),
        (Kind.WEBHOOK, "https://exa mple.com/"),
        (Kind.WEBHOOK, "https://example.com/\r\nX: y"),
        (Kind.SLACK, "javascript:alert(1)"),
        (Kind.WEBHOOK, "https://example.com/" + "x" * 2_000),
        (Kind.EMAIL, "nobody"),
        (Kind.EMAIL, ""),
        (Kind.EMAIL, "a@b.example\nBcc: c@d.example"),
        (Kind.EMAIL, "a@b.example;c@d.example"),
    ],
)
def test_an_address_that_cannot_be_told_is_refused(kind, address):
    with pytest.raises(UnusableChannel) as refused:
        NewChannel("ops", kind, address)
    assert refused.value.field == "address"


@pytest.mark.parametrize("name", ["", " ops", "a\nb", "x" * 101])
def test_a_name_that_cannot_be_written_is_refused(name):
    with pytest.raises(UnusableChannel):
        NewChannel(name, Kind.WEBHOOK, URL)


@pytest.mark.parametrize(
    "secret", ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
)
def test_a_secret_that_cannot_sign_is_refused(secret):
    with pytest.raises(UnusableSecret):
        NewChannel("ops", Kind.WEBHOOK, URL, secret=secret)


def test_a_channel_is_kept_without_showing_what_is_secret(book, sqlite):
    _, secret = book.create(NewChannel("ops", Kind.WEBHOOK, URL, (Topic.BREACH_OPENED,), "search"), by="me")
    assert len(key_of(secret)) == 32
    (found,) = book.every()
    assert (found.name, found.team, found.listens_to()) == ("ops", "search", (Topic.BREACH_OPENED,))
    assert found.shown_address == "https://hooks.example.com:8443/…"
    (entry,) = records(sqlite, first=10)
    assert (entry.actor, entry.action, entry.target) == ("me", "channel.create", "ops")
    assert "T0P-SECRET" not in entry.details
    assert secret not in entry.details
    assert json.loads(entry.details)["topics"] == ["breach.opened"]


def test_a_name_is_taken_once(book):
    book.create(NewChannel("ops", Kind.SLACK, URL))
    with pytest.raises(ChannelExists):
        book.create(NewChannel("ops", Kind.WEBHOOK, URL))
    assert [each.kind for each in book.every()] == ["slack"]


def test_only_webhooks_are_signed(book):
    _, secret = book.create(NewChannel("chat", Kind.SLACK, URL))
    assert secret is None
    with pytest.raises(NotSigned):
        book.rotate("chat", overlap=timedelta(hours=1))
    with pytest.raises(UnusableChannel):
        NewChannel("mail", Kind.EMAIL, "a@b.example", secret=new_secret())


def test_a_replaced_secret_signs_for_a_while(book, sqlite):
    _, old = book.create(NewChannel("ops", Kind.WEBHOOK, URL))
    new = book.rotate("ops", overlap=timedelta(hours=1), by="me")
    now = datetime.now(UTC)
    assert book.get("ops").keys(now) == [key_of(new), key_of(old)]
    assert book.get("ops").keys(now + timedelta(hours=2)) == [key_of(new)]
    assert [entry.action for entry in records(sqlite, first=1)] == ["channel.rotate_secret"]
    with pytest.raises(UnusableChannel):
        book.rotate("ops", overlap=timedelta(days=31))


def test_a_deleted_channel_is_gone(book, sqlite):
    book.create(NewChannel("ops", Kind.EMAIL, "a@b.example, c@d.example"))
    book.delete("ops", by="me")
    assert book.every() == []
    assert [entry.action for entry in records(sqlite, first=1)] == ["channel.delete"]
    for attempt in (lambda: book.get("ops"), lambda: book.delete("ops")):
        with pytest.raises(NoSuchChannel):
            attempt()
