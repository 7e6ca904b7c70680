"""The courier, with receivers that really listen: told at least once, tried again, given up, and never in each other's way."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import pytest
import trustme

from core.database import Database
from notifications import sending
from notifications.channels import Channels, Kind, NewChannel
from notifications.courier import LONGEST_PAUSE, Courier, pause_before
from notifications.mail import SmtpServer, UnusableSmtpUrl
from notifications.outbox import Notification, Outbox, Sight, enqueue
from notifications.senders import Senders, trial_letter
from notifications.sending import NotDelivered
from notifications.topics import Topic
from tenants.scope import Scope
from tests.notifications.receivers import mail_receiver

pytestmark = pytest.mark.anyio

PAYLOAD = {
    "budget": "Search",
    "threshold": "100 % of actual",
    "spent": "12.5",
    "unit": "USD",
    "playbook": "https://w/x",
}


class Post:
    """An outbox with channels, and couriers on it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.channels = Channels(database)
        self.outbox = Outbox(database)

    def channel(self, name: str, kind: Kind, address: str) -> str | None:
        return self.channels.create(NewChannel(name, kind, address))[1]

    def tell(self, *names: str, count: int = 1) -> None:
        with self.database.session() as session:
            for _ in range(count):
                enqueue(session, Topic.BREACH_OPENED, PAYLOAD, channels=names)
            session.commit()

    @asynccontextmanager
    async def courier(self, *, smtp_url: str = "", max_attempts: int = 3) -> AsyncIterator[Courier]:
        senders = Senders(smtp_url=smtp_url, mail_sender="apportion@example.com")
        courier = Courier(
            Outbox(self.database),
            self.channels,
            senders,
            max_attempts=max_attempts,
            first_pause_seconds=0.02,
            kept_days=30,
        )
        await courier.start()
        try:
            yield courier
        finally:
            await courier.close()
            await senders.close()

    def rows(self) -> list[Notification]:
        return list(self.outbox.find(Sight(Scope()), first=1_000))

    def states(self) -> list[str]:
        return [row.state for row in self.rows()]


@pytest.fixture
def post(sqlite: Database) -> Post:
    return Post(sqlite)


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other threads
            await anyio.sleep(0.02)


async def test_every_kind_of_channel_is_told_the_same(post, hook, mailbox):
    post.channel("ops", Kind.WEBHOOK, hook.url)
    post.channel("chat", Kind.SLACK, hook.url + "/chat")
    post.channel("mail", Kind.EMAIL, "a@example.com, b@example.com")
    post.tell("ops", "chat", "mail")
    async with post.courier(smtp_url=f"smtp+plain://127.0.0.1:{mailbox.port}"):
        await until(lambda: post.states() == ["delivered"] * 3)
    requests = {request.path: request for request in hook.requests}
    (mail,) = mailbox.mails
    said = json.loads(requests["/hook/T0P-SECRET"].body)
    assert (said["type"], said["data"]) == ("breach.opened", PAYLOAD)
    assert "Search has reached 100 % of actual" in json.loads(requests["/hook/T0P-SECRET/chat"].body)["text"]
    assert mail["Subject"] == "Search has reached 100 % of actual"
    assert mail["X-Recipients"] == "a@example.com, b@example.com"
    assert "Spent: 12.50 USD" in mail.get_content()
    assert "What to do: https://w/x" in mail.get_content()


async def test_a_failure_is_tried_again_under_the_same_id(post, hook):
    hook.answers = [(500, {}), (503, {}), (204, {})]
    post.channel("ops", Kind.WEBHOOK, hook.url)
    post.tell("ops")
    async with post.courier() as courier:
        await until(lambda: post.states() == ["delivered"])
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
    assert len({request.body for request in hook.requests}) == 1
    assert courier.outcomes == {("breach.opened", "failed"): 2, ("breach.opened", "delivered"): 1}
    assert post.rows()[0].attempts == 3


@pytest.mark.parametrize(("status", "attempts"), [(500, 3), (302, 3), (400, 3), (410, 1)])
async def test_what_cannot_be_told_is_a_dead_letter(post, hook, status, attempts):
    hook.answers = [(status, {"location": "http://127.0.0.1:1/elsewhere"})]
    post.channel("ops", Kind.WEBHOOK, hook.url)
    post.tell("ops")
    async with post.courier() as courier:
        await until(lambda: post.states() == ["dead"])
        (row,) = post.rows()
        assert (row.attempts, len(hook.requests)) == (attempts, attempts)
        assert f"answered {status}" in row.last_error
        assert "T0P-SECRET" not in row.last_error
        hook.answers = [(200, {})]
        post.outbox.retry(Sight(Scope()), [row.id], by="me")
        courier.wake()
        await until(lambda: post.states() == ["delivered"])


async def test_a_channel_that_is_gone_or_unreachable_says_so(post, hook):
    post.channel("nobody", Kind.WEBHOOK, "http://127.0.0.1:1/")
    post.channel("mail", Kind.EMAIL, "a@example.com")
    post.tell("nobody", "mail", "deleted")
    async with post.courier(max_attempts=1):
        await until(lambda: post.states() == ["dead"] * 3)
    errors = {row.channel: row.last_error for row in post.rows()}
    assert errors["nobody"] == "its address cannot be reached: ConnectError"
    assert "APPORTION_SMTP_URL" in errors["mail"]
    assert "no channel is named 'deleted'" in errors["deleted"]


async def test_a_receiver_may_say_how_long_to_wait(post, hook):
    hook.answers = [(429, {"retry-after": "1"}), (200, {})]
    post.channel("ops", Kind.SLACK, hook.url)
    post.tell("ops")
    async with post.courier():
        await until(lambda: post.states() == ["delivered"])
    first, second = hook.requests
    assert second.at - first.at >= 1


async def test_channels_that_hang_hold_up_no_other(post, hook, monkeypatch):
    monkeypatch.setattr(sending, "PATIENCE_SECONDS", 1.0)
    hook.seconds = 2
    slow = [f"slow {n}" for n in range(6)]
    for name in slow:
        post.channel(name, Kind.WEBHOOK, hook.url)
    post.tell(*slow, count=5)
    async with post.courier():
        await until(lambda: len(hook.requests) >= len(slow))
        hook.seconds = 0
        post.channel("quick", Kind.SLACK, hook.url + "/quick")
        began = time.monotonic()
        post.tell("quick")
        await until(lambda: any(request.path.endswith("quick") for request in hook.requests))
        assert time.monotonic() - began < 1


async def test_what_a_silent_process_had_claimed_is_told_by_another(post, hook):
    post.channel("ops", Kind.WEBHOOK, hook.url)
    post.tell("ops", count=3)
    began = time.time()
    dead = Outbox(post.database)
    from datetime import UTC, datetime

    assert len(dead.claim(datetime.now(UTC), limit=3)) == 3
    async with post.courier():
        await until(lambda: post.states() == ["delivered"] * 3)
    assert time.time() - began < 8


async def test_two_couriers_tell_each_thing_once(post, hook):
    post.channel("ops", Kind.WEBHOOK, hook.url)
    post.channel("chat", Kind.WEBHOOK, hook.url + "/2")
    post.tell("ops", "chat", count=30)
    async with post.courier(), post.courier():
        await until(lambda: post.states() == ["delivered"] * 60, seconds=20)
    sent = [(request.path, request.headers["webhook-id"]) for request in hook.requests]
    assert len(sent) == len(set(sent)) == 60


async def test_a_stopped_courier_leaves_the_rest_to_others_at_once(post, hook, monkeypatch):
    monkeypatch.setattr("notifications.courier._CLOSE_SECONDS", 0.1)
    hook.seconds = 1
    post.channel("ops", Kind.WEBHOOK, hook.url)
    post.tell("ops")
    async with post.courier():
        await until(lambda: hook.requests)
    hook.seconds = 0
    began = time.monotonic()
    async with post.courier():
        await until(lambda: post.states() == ["delivered"])
    assert time.monotonic() - began < 3


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


async def try_mail(post: Post, url: str, address: str = "a@example.com") -> None:
    senders = Senders(smtp_url=url, mail_sender="apportion@example.com")
    channel, _ = post.channels.create(NewChannel("mail", Kind.EMAIL, address))
    try:
        await senders.send(channel, trial_letter(channel, by="me"))
    finally:
        await senders.close()
        post.channels.delete("mail")


async def test_mail_is_encrypted_and_its_server_known(post, authority, monkeypatch, tmp_path):
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with mail_receiver(tls_context=server_context(authority), require_starttls=True) as server:
        with pytest.raises(NotDelivered, match="SSLCertVerificationError"):
            await try_mail(post, f"smtp://127.0.0.1:{server.port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        await try_mail(post, f"smtp://127.0.0.1:{server.port}")
    (mail,) = server.mails
    assert mail["Subject"] == "Apportion can reach mail"


async def test_mail_that_should_be_encrypted_never_goes_in_the_clear(post, mailbox):
    with pytest.raises(NotDelivered, match="SMTPNotSupportedError"):
        await try_mail(post, f"smtp://127.0.0.1:{mailbox.port}")
    assert mailbox.mails == []


async def test_a_refused_mailbox_is_a_failure(post, mailbox):
    with pytest.raises(NotDelivered, match="refused"):
        await try_mail(post, f"smtp+plain://127.0.0.1:{mailbox.port}", "a@example.com, nobody@example.com")


@pytest.mark.parametrize("url", ["mail.example.com", "smtp://", "imap://example.com", "smtp://example.com:port"])
def test_a_mail_server_that_is_none_is_refused(url):
    with pytest.raises(UnusableSmtpUrl):
        SmtpServer.from_url(url)


def test_a_mail_server_is_read_from_its_url():
    server = SmtpServer.from_url("smtp://us%40er:p%2Fw@mail.example.com")
    assert (server.host, server.port, server.user, server.password) == ("mail.example.com", 587, "us@er", "p/w")
    assert "p/w" not in repr(server)


def test_pauses_treble_up_to_an_hour():
    for attempt in range(1, 25):
        longest = min(timedelta(seconds=3 ** (attempt - 1)), LONGEST_PAUSE)
        assert longest / 2 <= pause_before(attempt, 1) <= longest
