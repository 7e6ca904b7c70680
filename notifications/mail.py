"""E-mail: one message to all mailboxes of a channel, handed to an SMTP server."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from core.errors import InvalidInput
from notifications.channels import Channel, recipients
from notifications.messages import message_of
from notifications.outbox import Letter
from notifications.sending import PATIENCE_SECONDS, NotDelivered

_PORTS: Final = {"smtp": 587, "smtps": 465, "smtp+plain": 25}


class UnusableSmtpUrl(InvalidInput):
    """The setting names no SMTP server. The text is not repeated: it may hold a password."""

    code = "UNUSABLE_SMTP_URL"

    def __init__(self) -> None:
        super().__init__(
            "APPORTION_SMTP_URL must look like smtp://user:password@host:587 (STARTTLS), "
            "smtps://user:password@host:465 (TLS) or smtp+plain://host:25 (no encryption)"
        )


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed in. `security` is `smtp` for STARTTLS, which is then required, `smtps` or `smtp+plain`."""

    security: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def from_url(cls, url: str) -> SmtpServer:
        """The server the setting names. Raises UnusableSmtpUrl."""
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            raise UnusableSmtpUrl from None
        if not parts.hostname:
            raise UnusableSmtpUrl
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, parts.hostname, port, user, password)

    def connect(self) -> smtplib.SMTP:
        """A connection, encrypted and logged in as the URL says."""
        context = ssl.create_default_context()
        if self.security == "smtps":
            client: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=PATIENCE_SECONDS, context=context)
        else:
            client = smtplib.SMTP(self.host, self.port, timeout=PATIENCE_SECONDS)
        try:
            if self.security == "smtp":
                client.starttls(context=context)
            if self.user:
                client.login(self.user, self.password)
        except BaseException:
            client.close()
            raise
        return client


@dataclass(frozen=True, slots=True)
class MailSender:
    """Hands mail to the server; without one, mail channels say so. Delivered means that the server took it.

    In threads of its own: a server that hangs must not keep those that the process does other work in.
    """

    server: SmtpServer | None
    sender: str
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, thread_name_prefix="mail"))

    async def send(self, channel: Channel, letter: Letter) -> None:
        """Return when the server has taken it for every mailbox."""
        if self.server is None:
            raise NotDelivered("mail needs the setting APPORTION_SMTP_URL")
        mail = mail_of(letter, sender=self.sender, to=recipients(channel.address))
        try:
            await asyncio.get_running_loop().run_in_executor(self.threads, _hand_in, self.server, mail)
        except smtplib.SMTPException as error:
            raise NotDelivered(f"the mail server refused it: {_said(error)}") from error
        except OSError as error:
            raise NotDelivered(f"the mail server cannot be reached: {type(error).__name__}") from error


def mail_of(letter: Letter, *, sender: str, to: list[str]) -> EmailMessage:
    """The letter as plain text. Its Message-ID is stable, so that a repeated mail can be recognised."""
    message = message_of(letter.topic, letter.payload)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, ", ".join(to), message.headline
    mail["Date"] = format_datetime(letter.created_at)
    mail["Message-ID"] = f"<{letter.message_id}@apportion>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail


def _hand_in(server: SmtpServer, mail: EmailMessage) -> None:
    with server.connect() as client:
        refused = client.send_message(mail)
    if refused:
        raise NotDelivered(f"the mail server refused {', '.join(refused)}")


def _said(error: smtplib.SMTPException) -> str:
    return str(error.smtp_code) if isinstance(error, smtplib.SMTPResponseException) else type(error).__name__
