"""A team's weekly digest: when it is due, and what it says, told once to whoever listens."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from attribution.dimensions import Dimension
from budgets.digest import week_to_tell
from budgets.status import Snapshot
from core.time import midnight
from notifications.channels import Kind, NewChannel
from notifications.messages import message_of
from notifications.outbox import Sight
from notifications.topics import Topic
from tenants.scope import Scope
from tests.app import Api
from tests.budgets.boards import is_, terms
from tests.notifications.receivers import wait_until

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "monday"),
    [
        ("2026-11-23T07:59", None),
        ("2026-11-23T08:00", "2026-11-16"),
        ("2026-11-25T07:59", "2026-11-16"),
        ("2026-11-25T08:00", None),
        ("2026-10-26T08:00", "2026-10-19"),
        ("2026-03-30T09:00", "2026-03-23"),
    ],
)
def test_the_week_is_told_on_monday_morning_and_caught_up_on_for_two_days(now, monday):
    week = week_to_tell(datetime.fromisoformat(now).replace(tzinfo=BERLIN), BERLIN)
    assert (week and week.start.astimezone(BERLIN).date().isoformat()) == monday
    if week:
        assert week.end.astimezone(BERLIN).date() - week.start.astimezone(BERLIN).date() == timedelta(days=7)
        assert week.end.astimezone(BERLIN).time().isoformat() == "00:00:00"


def test_a_team_is_told_of_its_week_once(embedded_api: Api) -> None:
    api, services = embedded_api, embedded_api.services
    today = datetime.now(UTC).date()
    monday = midnight(today - timedelta(days=today.weekday()), ZoneInfo("UTC"))
    spent = [("answers", 6, "3.5"), ("answers", 1, "1"), ("drafts", 2, "2"), ("answers", 13, "4")]
    events = [
        {
            "tenant_id": "acme",
            "event_id": f"e{number}",
            "team": "search",
            "feature": feature,
            "start_time": (monday - timedelta(days=days)).isoformat(),
            "cost": {"amount": amount},
        }
        for number, (feature, days, amount) in enumerate(spent)
    ]
    assert api.post_events([*events, events[0] | {"event_id": "x", "team": "chat"}]).json()["accepted"] == 5
    made = services.watch.targets.create(
        terms(10, name="Search", team="search", where=is_(Dimension.TEAM, "search")), by="me"
    )
    services.watch.targets.create(terms(10, name="Everybody", team="search"), by="me")
    services.watch.evaluator.wake()
    wait_until(lambda: made.id in services.watch.live.snapshot.budgets)
    for name, team in (("all", None), ("own", "search"), ("others", "chat")):
        address = "http://127.0.0.1:1/"
        services.telling.channels.create(NewChannel(name, Kind.SLACK, address, (Topic.DIGEST_WEEKLY,), team))
    now = monday + timedelta(hours=9)
    services.watch.digests._told = None
    evaluated = services.watch.live._snapshot
    services.watch.live._snapshot = Snapshot()
    assert services.watch.digests.tell(now) == 0, "nobody knows yet how budgets stand"
    services.watch.live._snapshot = evaluated
    assert services.watch.digests.tell(now) == 2
    services.watch.digests._told = None
    assert services.watch.digests.tell(now) == 0
    rows = services.telling.outbox.find(Sight(Scope()), first=10)
    assert {row.channel for row in rows} == {"all", "own"}
    payload = json.loads(rows[0].payload)
    assert (payload["spent"], payload["previous"], payload["change"]) == ("6.5", "4", "+62.5 %")
    assert payload["contributors"] == [{"name": "answers", "value": "4.5"}, {"name": "drafts", "value": "2"}]
    assert [each["name"] for each in payload["budgets"]] == ["Search"]
    text = message_of(Topic.DIGEST_WEEKLY, payload).text
    assert text.startswith("The week of search: 6.50 USD spent\n")
    assert "Budgets: Search 0 %" in text
