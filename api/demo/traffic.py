"""Who acts when: users with their appetite, and the hours of the window with the share of events due in each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from math import ceil
from random import Random
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from api.demo import company
from api.demo.terms import Feature, Region, Tenant
from ingest.payloads import Workload

HOUR: Final = timedelta(hours=1)

EVENTS_PER_USER: Final = 160
"""The company grows with the number of events asked for, so that its users stay as busy as users are."""
MAX_USERS: Final = 20_000
USER_EXPONENT: Final = 1.28
"""Appetite of the n-th hungriest user ~ (n + offset) ** -exponent: a fifth of them cause about 80 % of the cost."""
USER_OFFSET_SHARE: Final = 0.012
"""The offset, as a share of all users: it keeps the very first from outweighing whole tenants."""

WORKING_HOURS: Final = (
    *(0.04, 0.03, 0.02, 0.02, 0.03, 0.06, 0.15, 0.40, 0.80, 1.20, 1.35, 1.25),
    *(0.90, 1.05, 1.30, 1.30, 1.15, 0.85, 0.45, 0.30, 0.22, 0.16, 0.10, 0.06),
)
"""Relative activity by local hour on a working day; it averages about a half."""
WEEKEND: Final = 0.22
NIGHTLY_HOURS: Final = frozenset({1, 2})


class User(NamedTuple):
    """Someone who works at a tenant, with the tags every one of their events carries."""

    user_id: str
    tenant: Tenant
    tags: dict[str, str]


class Audience:
    """The users of one region who are entitled to a feature, earliest adopters first."""

    def __init__(self, users: Sequence[tuple[User, float]]) -> None:
        self._users = [user for user, _ in users]
        self._appetite = list(accumulate(appetite for _, appetite in users))

    def appetite(self, adopted: float) -> float:
        """How much the first `adopted` share of them use the feature, together."""
        return self._appetite[ceil(adopted * len(self._users)) - 1] if adopted else 0.0

    def pick(self, adopted: float, draw: Random) -> User:
        """One of the first `adopted` share of them, the hungry more often."""
        return self._users[bisect_left(self._appetite, draw.random() * self.appetite(adopted))]


class Lane(NamedTuple):
    """One stream of requests: a feature as used in one region, by people or by the nightly job."""

    region: Region
    feature: Feature
    workload: Workload
    audience: Audience


class Slot(NamedTuple):
    """An hour of the window: the lanes' cumulative weights in it, and how many events should exist at its end."""

    start: datetime
    day: float
    weights: list[float]
    target: float


def lanes(events: int, draw: Random) -> list[Lane]:
    """Every stream of requests of a company that makes so many events."""
    people = _users(events, draw)
    return [
        lane for region in company.REGIONS for feature in company.FEATURES for lane in _lanes(region, feature, people)
    ]


def slots(events: int, lanes: Sequence[Lane], *, end: datetime, days: int) -> list[Slot]:
    """The hours of the `days` days up to `end`, which is in UTC, in order; the last one's target is `events`."""
    hours = [_hour(end, lanes, age) for age in range(days * 24, 0, -1)]
    due = list(accumulate(volume for _, volume in hours))
    return [slot._replace(target=events * so_far / due[-1]) for (slot, _), so_far in zip(hours, due, strict=True)]


def _users(events: int, draw: Random) -> list[tuple[User, float]]:
    """All users with their appetites, in random order: the order in which they take up new things."""
    count = min(MAX_USERS, events // EVENTS_PER_USER)
    total = sum(tenant.size for tenant in company.TENANTS)
    seats = [tenant for tenant in company.TENANTS for _ in range(max(2, round(count * tenant.size / total)))]
    draw.shuffle(seats)
    offset = 1 + USER_OFFSET_SHARE * len(seats)
    appetites = [(rank + offset) ** -USER_EXPONENT for rank in range(len(seats))]
    draw.shuffle(appetites)
    people = [_user(number, tenant, draw) for number, tenant in enumerate(seats)]
    return list(zip(people, appetites, strict=True))


def _user(number: int, tenant: Tenant, draw: Random) -> User:
    region = next(region for region in company.REGIONS if region.name == tenant.region)
    tags = {"plan": tenant.plan, "experiment": draw.choice(company.EXPERIMENT_ARMS), "cell": draw.choice(region.cells)}
    return User(f"u{number:05}", tenant, tags)


def _lanes(region: Region, feature: Feature, people: Sequence[tuple[User, float]]) -> Iterator[Lane]:
    entitled = [(u, a) for u, a in people if u.tenant.region == region.name and u.tenant.plan in feature.plans]
    yield Lane(region, feature, "interactive", Audience(entitled))
    if feature.nightly:
        yield Lane(region, feature, "batch", Audience(entitled))


def _hour(end: datetime, lanes: Sequence[Lane], age: int) -> tuple[Slot, float]:
    """The slot that starts `age` hours before `end`, its target still open, with the events it wants, unscaled."""
    start = end - age * HOUR
    day = company.STORY_DAYS - age / 24
    activity = {region.name: _activity(start.astimezone(ZoneInfo(region.zone))) for region in company.REGIONS}
    weights = [
        busy * _weight(lane, day) if (busy := activity[lane.region.name][lane.workload]) else 0.0 for lane in lanes
    ]
    operations = {feature.name: feature.operations(day) for feature in company.FEATURES}
    growth = 1 + company.DAILY_GROWTH * max(0.0, day)
    volume = growth * sum(w * operations[lane.feature.name] for w, lane in zip(weights, lanes, strict=True))
    return Slot(start, day, list(accumulate(weights)), 0.0), volume


def _activity(local: datetime) -> dict[Workload, float]:
    """How busy people and the nightly job are at this local time."""
    weekday = WEEKEND if local.weekday() >= 5 else 1.0
    return {
        "interactive": WORKING_HOURS[local.hour] * weekday,
        "batch": 1.0 if local.hour in NIGHTLY_HOURS else 0.0,
    }


def _weight(lane: Lane, day: float) -> float:
    feature = lane.feature
    popularity = feature.popularity * (feature.nightly if lane.workload == "batch" else 1.0)
    return popularity * lane.audience.appetite(feature.adopted(day))
