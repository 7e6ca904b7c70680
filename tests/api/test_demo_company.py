"""The demo company's usage: the same for the same seed, valid on the wire, and of the shape its story tells."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import mean
from zoneinfo import ZoneInfo

import msgspec
import pytest
from genai_prices import Usage, calc_price

from api.demo.company import FEATURES, REGIONS, STORY_DAYS, TENANTS
from api.demo.events import InvalidDemo, generate
from api.demo.services import NEGOTIATED_PRICES
from core.money import parse_amount
from core.settings import Settings
from ingest.payloads import ENCODER, EventPayload
from ingest.rating import token_usage
from ingest.rules import EventRules, NameCardinality, quantity

EVENTS = 16_000
END = datetime(2026, 3, 2, tzinfo=UTC)
START = END - timedelta(days=STORY_DAYS)
NEGOTIATED = {(p.provider_name, p.model, p.unit): Decimal(p.price) / p.per for p in NEGOTIATED_PRICES}
PREVIEW = "acme-llm-preview"


def price(event: EventPayload) -> Decimal:
    """What the event costs: as reported, as negotiated, or at the public price of its tokens on its day."""
    if event.cost is not None:
        return Decimal(event.cost.amount)
    if event.unit:
        return NEGOTIATED[event.provider_name, event.request_model, event.unit] * Decimal(str(event.quantity))
    if event.request_model == PREVIEW:
        return Decimal(0)
    usage = Usage(
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
        cache_read_tokens=event.cache_read_input_tokens,
        cache_write_tokens=event.cache_creation_input_tokens,
        input_audio_tokens=event.audio_input_tokens,
        output_audio_tokens=event.audio_output_tokens,
    )
    model = event.response_model or event.request_model
    rated = calc_price(usage, model, provider_id=event.provider_name, genai_request_timestamp=event.start_time)
    return rated.total_price


def story_day(event: EventPayload) -> int:
    return (event.start_time - START).days


def is_wasted(event: EventPayload) -> bool:
    return event.status != "ok" or event.attempt > 1


@pytest.fixture(scope="module")
def usage() -> list[EventPayload]:
    return list(generate(EVENTS, seed=7, end=END))


@pytest.fixture(scope="module")
def priced(usage: list[EventPayload]) -> list[tuple[EventPayload, Decimal]]:
    return [(event, price(event)) for event in usage]


@pytest.fixture(scope="module")
def requests(usage: list[EventPayload]) -> dict[str, list[EventPayload]]:
    grouped = defaultdict(list)
    for event in usage:
        grouped[event.request_id].append(event)
    return grouped


def spent(priced: list[tuple[EventPayload, Decimal]], matches: Callable[[EventPayload], bool]) -> Decimal:
    return sum((cost for event, cost in priced if matches(event)), Decimal(0))


def encoded(seed: int) -> bytes:
    return b"\n".join(map(ENCODER.encode, generate(3000, seed=seed, end=END, days=45)))


class TestContract:
    def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(self) -> None:
        assert encoded(seed=1) == encoded(seed=1)
        assert encoded(seed=1) != encoded(seed=2)

    def test_runs_that_differ_in_any_argument_share_no_event_id(self) -> None:
        runs = [
            generate(500, seed=1, end=END, days=9),
            generate(501, seed=1, end=END, days=9),
            generate(500, seed=2, end=END, days=9),
            generate(500, seed=1, end=END, days=8),
            generate(500, seed=1, end=END - timedelta(seconds=1), days=9),
        ]
        ids = [event.event_id for run in runs for event in run]
        assert len(set(ids)) == len(ids) == 2501

    @pytest.mark.parametrize(("events", "days"), [(1, 90), (777, 90), (5000, 1), (2000, 120)])
    def test_the_number_of_events_is_exact_and_all_lie_in_the_window(self, events: int, days: int) -> None:
        starts = [event.start_time for event in generate(events, seed=3, end=END, days=days)]
        assert len(starts) == events
        assert END - timedelta(days=days) <= starts[0]
        assert starts[-1] < END
        assert starts == sorted(starts)

    def test_a_window_is_absolute_time_whatever_the_zone_of_its_end(self) -> None:
        after_the_change = datetime(2026, 3, 9, 12, tzinfo=ZoneInfo("America/New_York"))
        first = next(generate(50_000, seed=3, end=after_the_change, days=2))
        assert timedelta(0) <= first.start_time - (after_the_change.astimezone(UTC) - timedelta(days=2))

    def test_the_first_event_of_millions_comes_before_the_rest_is_made(self) -> None:
        first = next(generate(2_000_000, seed=5, end=END))
        assert first.start_time < START + timedelta(hours=1)

    @pytest.mark.parametrize(
        ("events", "days", "end"), [(0, 90, END), (10, 0, END), (10, 90, END.replace(tzinfo=None))]
    )
    def test_what_cannot_be_generated_is_refused_at_once(self, events: int, days: int, end: datetime) -> None:
        with pytest.raises(InvalidDemo) as refused:
            generate(events, seed=1, end=end, days=days)
        assert refused.value.code == "INVALID_DEMO"


class TestWire:
    def test_every_event_survives_the_wire(self, usage: list[EventPayload]) -> None:
        body = ENCODER.encode(usage)
        assert msgspec.json.decode(body, type=list[EventPayload]) == usage

    def test_every_event_keeps_the_rules_of_ingestion(self, usage: list[EventPayload]) -> None:
        settings = Settings()
        rules = EventRules(settings)
        names = NameCardinality(100)
        for event in usage:
            rules.check(event, END, require_measure=True)
            names.check(event, END)
            assert (token_usage(event) is None) != (quantity(event) is None) or event.cache_hit
            assert rules.cost(event) is not None or event.cost is None

    def test_the_first_token_comes_before_the_last(self, usage: list[EventPayload]) -> None:
        waits = [(e.time_to_first_token_ms, e.duration_ms or 0) for e in usage if e.time_to_first_token_ms is not None]
        assert len(waits) > EVENTS / 5
        assert all(0 < first_token_ms <= duration_ms for first_token_ms, duration_ms in waits)

    def test_quantities_and_reported_costs_are_exact_decimals(self, usage: list[EventPayload]) -> None:
        assert all((event.quantity is None) == (event.unit == "") for event in usage)
        amounts = [parse_amount(event.cost.amount) for event in usage if event.cost]
        assert min(amounts) == 0 < max(amounts)

    def test_ids_are_unique_short_and_lead_back_to_the_first_operation(
        self, requests: dict[str, list[EventPayload]]
    ) -> None:
        ids = [event.event_id or "" for events in requests.values() for event in events]
        assert len(set(ids)) == EVENTS
        assert max(map(len, ids)) <= 20
        for first, *later in requests.values():
            assert first.parent_event_id == ""
            assert {event.parent_event_id for event in later} <= {first.event_id}

    def test_a_request_belongs_to_one_tenant_user_session_and_feature(
        self, requests: dict[str, list[EventPayload]]
    ) -> None:
        shared = {
            (e.request_id, e.tenant_id, e.user_id, e.session_id, e.feature, e.team)
            for r in requests.values()
            for e in r
        }
        assert len(shared) == len(requests)


class TestShape:
    def test_all_tenants_teams_features_and_cost_categories_appear(self, usage: list[EventPayload]) -> None:
        assert {event.tenant_id for event in usage} == {tenant.tenant_id for tenant in TENANTS}
        assert {event.feature for event in usage} == {feature.name for feature in FEATURES}
        assert len({event.team for event in usage}) == 6
        expected = {"llm", "embedding", "vector_db", "rerank", "tool", "gpu", "human_review"}
        assert {event.cost_category for event in usage} == expected
        assert {event.environment for event in usage} == {"production", "staging"}
        assert all(set(event.tags) == {"plan", "experiment", "cell"} for event in usage)

    def test_a_fifth_of_the_users_cause_about_four_fifths_of_the_cost(
        self, priced: list[tuple[EventPayload, Decimal]]
    ) -> None:
        by_user: dict[str, Decimal] = defaultdict(Decimal)
        for event, cost in priced:
            if event.user_id:
                by_user[event.user_id] += cost
        costs = sorted(by_user.values(), reverse=True)
        share = sum(costs[: len(costs) // 5]) / sum(costs)
        assert Decimal("0.75") <= share <= Decimal("0.88")

    def test_failed_and_repeated_attempts_are_a_tenth_to_a_fifth_of_the_cost(
        self, priced: list[tuple[EventPayload, Decimal]]
    ) -> None:
        assert Decimal("0.10") <= spent(priced, is_wasted) / spent(priced, lambda _: True) <= Decimal("0.20")
        failed = sum(event.status != "ok" for event, _ in priced)
        assert 0.03 <= failed / EVENTS <= 0.06

    def test_a_failed_attempt_is_followed_by_the_next_until_one_succeeds_or_three_failed(
        self, requests: dict[str, list[EventPayload]]
    ) -> None:
        followed = 0
        for events in requests.values():
            for failed, following in pairwise(events):
                if failed.status != "ok":
                    assert failed.error_type
                    assert (following.stage, following.attempt) == (failed.stage, failed.attempt + 1)
                    followed += 1
                else:
                    assert following.attempt == 1
        assert followed > EVENTS / 50
        fallbacks = [event for events in requests.values() for event in events if event.fallback]
        assert fallbacks
        assert all(event.attempt > 1 for event in fallbacks)

    def test_only_the_preview_model_has_no_price(self, usage: list[EventPayload]) -> None:
        share = sum(event.request_model == PREVIEW for event in usage) / EVENTS
        assert 0.001 < share < 0.006
        with pytest.raises(LookupError):
            calc_price(Usage(input_tokens=1), PREVIEW)

    def test_answers_from_the_semantic_cache_are_free_and_fast(self, usage: list[EventPayload]) -> None:
        hits = [event for event in usage if event.cache_hit]
        assert {event.feature for event in hits} == {"chat-assistant"}
        assert {event.cost.amount for event in hits if event.cost} == {"0"}
        assert max(event.duration_ms or 0 for event in hits) < 50

    def test_people_keep_office_hours_and_weekends_in_their_own_zone(self, usage: list[EventPayload]) -> None:
        for region in REGIONS:
            local = [
                event.start_time.astimezone(ZoneInfo(region.zone))
                for event in usage
                if event.region == region.name and event.workload == "interactive"
            ]
            hours = Counter(time.hour for time in local)
            assert sum(hours[hour] for hour in range(9, 18)) > 0.6 * len(local)
            assert 0.03 < sum(time.weekday() >= 5 for time in local) / len(local) < 0.15

    def test_the_nightly_job_runs_at_night_for_no_user(self, usage: list[EventPayload]) -> None:
        zones = {region.name: ZoneInfo(region.zone) for region in REGIONS}
        batch = [event for event in usage if event.workload == "batch"]
        assert {event.feature for event in batch} == {"doc-summaries"}
        assert {event.user_id for event in batch} == {""}
        assert {event.start_time.astimezone(zones[event.region]).hour for event in batch} <= {1, 2, 3}


class TestStory:
    def test_the_launch_brings_more_users_and_dearer_requests_every_week(
        self, priced: list[tuple[EventPayload, Decimal]]
    ) -> None:
        research = [(event, cost) for event, cost in priced if event.feature == "agent-research"]
        assert min(story_day(event) for event, _ in research) >= 45
        early = [(event, cost) for event, cost in research if story_day(event) < 60]
        late = [(event, cost) for event, cost in research if story_day(event) >= 75]
        users, cost_per_request = zip(*map(_users_and_cost_per_request, (early, late)), strict=True)
        assert users[1] > 2 * users[0]
        assert cost_per_request[1] > Decimal("1.5") * cost_per_request[0]
        last_fortnight = spent(priced, lambda event: story_day(event) >= 76)
        assert spent(late, lambda event: story_day(event) >= 76) > Decimal("0.35") * last_fortnight

    def test_the_prompt_regression_doubles_input_and_raises_retries_for_a_week(self) -> None:
        calls: dict[str, list[EventPayload]] = defaultdict(list)
        for event in generate(EVENTS, seed=7, end=END, days=40):
            if event.prompt_name == "triage-system":
                calls[event.prompt_version].append(event)
        assert {story_day(event) for event in calls["v4"]} == set(range(60, 67))
        assert {story_day(event) for event in calls["v5"]} == set(range(67, 90))
        read = {version: mean(e.input_tokens or 0 for e in events) for version, events in calls.items()}
        repeated = {version: mean(e.attempt > 1 for e in events) for version, events in calls.items()}
        assert read["v4"] > 1.6 * read["v3"]
        assert read["v5"] < 1.4 * read["v3"]
        assert repeated["v4"] > 1.7 * max(repeated["v3"], repeated["v5"])

    def test_a_shorter_window_tells_the_last_days_of_the_story(self) -> None:
        events = list(generate(2000, seed=4, end=END, days=10))
        assert {event.prompt_version for event in events if event.prompt_name == "triage-system"} == {"v5"}
        assert any(event.feature == "agent-research" for event in events)


def _users_and_cost_per_request(priced: list[tuple[EventPayload, Decimal]]) -> tuple[int, Decimal]:
    requests = {event.request_id for event, _ in priced}
    return len({event.user_id for event, _ in priced}), spent(priced, lambda _: True) / len(requests)
