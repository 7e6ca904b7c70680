"""What people read: the headline, the facts there are, the three who drove it, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.mail import mail_of
from notifications.messages import message_of
from notifications.outbox import Letter
from notifications.slack import slack_body
from notifications.topics import Topic

BREACH = {
    "budget": "Search in production",
    "threshold": "80 % of actual",
    "spent": "8012.345678901234",
    "limit": Decimal(10_000),
    "forecast": "0.00045678",
    "unit": "USD",
    "periodStart": "2026-11-01T00:00:00Z",
    "periodEnd": "2026-12-01T00:00:00Z",
    "playbook": "https://wiki.example.com/spend",
    "contributors": [{"name": f"tenant-{n}", "value": 1_000 - n} for n in range(5)],
}


def test_a_breach_says_what_who_and_what_to_do():
    assert message_of(Topic.BREACH_OPENED, BREACH).text == (
        "Search in production has reached 80 % of actual\n"
        "\n"
        "Threshold: 80 % of actual\n"
        "Spent: 8,012.35 USD\n"
        "Limit: 10,000 USD\n"
        "Forecast: 0.0004568 USD\n"
        "Period: 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z\n"
        "\n"
        "Driven by:\n"
        "- tenant-0: 1,000 USD\n"
        "- tenant-1: 999 USD\n"
        "- tenant-2: 998 USD\n"
        "\n"
        "What to do: https://wiki.example.com/spend\n"
    )


@pytest.mark.parametrize("topic", Topic)
def test_every_topic_can_be_told_of_nothing(topic):
    message = message_of(topic, {})
    assert message.headline
    assert message.facts == ()


VALUES = st.text() | st.none() | st.floats() | st.integers()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*BREACH, "member", "value"]), VALUES))
def test_whatever_a_payload_holds_it_is_one_line_each(payload):
    payload.pop("contributors", None)
    message = message_of(Topic.BREACH_OPENED, payload)
    assert all(len(value.splitlines()) == 1 for _, value in message.facts)
    letter = Letter("msg_1", Topic.BREACH_OPENED, datetime.now(UTC), payload)
    assert mail_of(letter, sender="a@b.example", to=["c@d.example"]).as_bytes()


def test_names_cannot_mention_or_link_in_a_chat():
    message = message_of(Topic.BREACH_OPENED, BREACH | {"budget": "<!channel> & <https://x|y>"})
    assert slack_body(message)["text"].startswith("&lt;!channel&gt; &amp; &lt;https://x|y&gt; has")


def test_names_cannot_add_headers_to_a_mail():
    payload = BREACH | {"budget": "x\r\nBcc: all@example.com"}
    mail = mail_of(
        Letter("msg_1", Topic.BREACH_OPENED, datetime.now(UTC), payload), sender="a@b.example", to=["c@d.example"]
    )
    assert mail["Bcc"] is None
    assert mail["Subject"] == "x Bcc: all@example.com has reached 80 % of actual"
