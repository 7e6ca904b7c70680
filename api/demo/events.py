"""The demo company's usage as events, the same for the same seed: every request runs its steps, retries included."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2s
from itertools import count, islice
from operator import attrgetter
from random import Random
from typing import NamedTuple, TypedDict

from api.demo import company, services
from api.demo.terms import Failure, Metered, Model, Step, Tokens
from api.demo.traffic import HOUR, Lane, Slot, User, lanes, slots
from core.errors import InvalidInput
from ingest.payloads import Cost, EventPayload, Workload

FREE = Cost("0")
ATTEMPTS = 3
CACHED_SHARE = 0.8
"""How often a prompt that can be read from the cache is still in it."""


class InvalidDemo(InvalidInput):
    """The demo company cannot be asked for this many events, or for this window."""

    code = "INVALID_DEMO"


class Context(TypedDict):
    """What all events of one request have in common."""

    tenant_id: str
    team: str
    feature: str
    user_id: str
    session_id: str
    request_id: str
    environment: str
    region: str
    service_name: str
    endpoint: str
    workload: Workload
    tags: dict[str, str]


class Usage(TypedDict, total=False):
    """What one attempt consumed, in the fields of the wire."""

    input_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    audio_input_tokens: int
    output_tokens: int
    reasoning_output_tokens: int
    audio_output_tokens: int
    quantity: str
    unit: str
    cost: Cost


class Attempt(NamedTuple):
    """One try of a step: on which model, what it consumed, how long it took, and how it failed, if it did."""

    number: int
    model: Model
    usage: Usage
    first_token_ms: int
    duration_ms: int
    failure: Failure | None = None
    fallback: bool = False
    cache_hit: bool = False


def generate(events: int, *, seed: int, end: datetime, days: int = 90) -> Iterator[EventPayload]:
    """Exactly `events` events of the `days` days before `end`, in order of start time, equal for equal arguments.

    Memory does not grow with the window: about an hour of events is held at a time. Of a window shorter than the
    company's story, the last days are told. Raises InvalidDemo at once.
    """
    if end.tzinfo is None:
        raise InvalidDemo(f"end {end.isoformat()} has no time zone")
    if events < 1 or days < 1:
        raise InvalidDemo(f"{events} events over {days} days: both must be at least 1")
    return islice(_stream(events, seed, end.astimezone(UTC), days), events)


def _stream(events: int, seed: int, end: datetime, days: int) -> Iterator[EventPayload]:
    draw = Random(seed)  # noqa: S311  reproducible on purpose
    streams = lanes(events, draw)
    run = blake2s(f"{events} {seed} {end.timestamp()} {days}".encode(), digest_size=4).hexdigest()
    numbers = count(1)
    under_way: list[EventPayload] = []
    done = 0
    for slot in slots(events, streams, end=end, days=days):
        close = slot.start + HOUR
        done += sum(event.start_time < close for event in under_way)
        while done < slot.target:
            request = _act(slot, streams, f"{run}-{next(numbers):x}", draw)
            done += sum(event.start_time < close for event in request)
            under_way += request
        under_way.sort(key=_start_time)
        cut = bisect_left(under_way, close, key=_start_time)
        yield from under_way[:cut]
        del under_way[:cut]


_start_time = attrgetter("start_time")


def _act(slot: Slot, streams: list[Lane], request_id: str, draw: Random) -> list[EventPayload]:
    """The events of one user's action, begun within the slot."""
    lane = streams[bisect_right(slot.weights, draw.random() * slot.weights[-1])]
    user = lane.audience.pick(lane.feature.adopted(slot.day), draw)
    start = slot.start + timedelta(microseconds=draw.randrange(3_600_000_000))
    request = Request(lane, user, start=start, day=slot.day, request_id=request_id, draw=draw)
    request.run()
    return request.events


class Request:
    """One user's action under way: its clock, and its events so far."""

    def __init__(self, lane: Lane, user: User, *, start: datetime, day: float, request_id: str, draw: Random) -> None:
        self.events: list[EventPayload] = []
        self._feature = lane.feature
        self._prompt = lane.feature.prompt.on(day)
        self._day = day
        self._clock = start
        self._draw = draw
        self._context = _context(lane, user, start, request_id, draw)

    def run(self) -> None:
        """Take the feature's steps in order, and give up at the first one whose every attempt fails."""
        for step, scale in self._plan():
            if self._draw.random() < step.chance and not self._perform(step, scale):
                break

    def _plan(self) -> Iterator[tuple[Step, float]]:
        """The steps with the scale of their input: every round of an agent re-reads what came before."""
        for step in self._feature.steps:
            yield step, 1.0
        if mean := self._feature.mean_rounds(self._day):
            for done in range(max(1, round(mean * self._draw.lognormvariate(0, 0.35)))):
                for step in self._feature.loop:
                    yield step, 1 + 0.3 * done

    def _perform(self, step: Step, scale: float) -> bool:
        """Whether an attempt succeeded; failed ones are tried again, in the end on another model."""
        self._clock += timedelta(milliseconds=step.delay_ms * self._draw.lognormvariate(0, 0.4))
        if step.cache_hits and self._draw.random() < step.cache_hits:
            self._record(step, _cached_answer(_choose(step.models, self._draw), self._draw))
            return True
        model = _choose(step.models, self._draw)
        size = self._draw.lognormvariate(0, step.usage.spread)
        fallback = False
        for number in range(1, ATTEMPTS + 1):
            attempt = self._attempt(step, model, number, size, scale)
            self._record(step, attempt._replace(fallback=fallback))
            if attempt.failure is None:
                return True
            if step.fallback and (number == ATTEMPTS - 1 or attempt.failure.status == "rate_limited"):
                model, fallback = step.fallback, True
        return False

    def _attempt(self, step: Step, model: Model, number: int, size: float, scale: float) -> Attempt:
        draw = self._draw
        is_prompted = step.operation_name == "chat"
        failure_rate = model.failure_rate * min(size, 4.0) * (self._prompt.failure_scale if is_prompted else 1.0)
        failure = _choose_failure(step, draw) if draw.random() < failure_rate else None
        billed = failure.billed if failure else 1.0
        volume: float
        if isinstance(step.usage, Tokens):
            input_scale = scale * (self._prompt.input_scale if is_prompted else 1.0)
            usage, volume = _tokens(step.usage, model, size * billed, input_scale, draw)
        else:
            usage, volume = _metered(step.usage, size * billed)
        first_token_ms = round(model.latency_ms * draw.lognormvariate(0, 0.45))
        duration_ms = first_token_ms + round(volume * model.ms_per_unit * draw.lognormvariate(0, 0.2))
        if failure and failure.status == "timeout":
            duration_ms = max(duration_ms, services.TIMEOUT_MS)
        return Attempt(number, model, usage, first_token_ms, duration_ms, failure)

    def _record(self, step: Step, attempt: Attempt) -> None:
        """Append the attempt's event, and move the clock to its end."""
        model, failure = attempt.model, attempt.failure
        is_prompted = step.operation_name == "chat"
        request_id = self._context["request_id"]
        streamed = step.streams and not attempt.cache_hit and not (failure and failure.billed == 0)
        event = EventPayload(
            event_id=f"{request_id}.{len(self.events)}",
            start_time=self._clock,
            parent_event_id=f"{request_id}.0" if self.events else "",
            prompt_name=self._feature.prompt.name if is_prompted else "",
            prompt_version=self._prompt.version if is_prompted else "",
            stage=step.stage,
            provider_name=model.provider_name,
            request_model=model.request_model,
            response_model="" if failure else model.response_model,
            operation_name=step.operation_name,
            cost_category=step.cost_category,
            status=failure.status if failure else "ok",
            error_type=failure.error_type if failure else "",
            attempt=attempt.number,
            cache_hit=attempt.cache_hit,
            fallback=attempt.fallback,
            duration_ms=attempt.duration_ms,
            time_to_first_token_ms=attempt.first_token_ms if streamed else None,
            **self._context,
            **attempt.usage,
        )
        self.events.append(event)
        self._clock += timedelta(milliseconds=attempt.duration_ms + 1)


def _context(lane: Lane, user: User, start: datetime, request_id: str, draw: Random) -> Context:
    feature = lane.feature
    by_user = lane.workload == "interactive"
    return Context(
        tenant_id=user.tenant.tenant_id,
        team=feature.team,
        feature=feature.name,
        user_id=user.user_id if by_user else "",
        session_id=f"{user.user_id}-{start:%y%m%d}" if by_user else "",
        request_id=request_id,
        environment="staging" if draw.random() < company.STAGING_SHARE else "production",
        region=lane.region.name,
        service_name=feature.service_name,
        endpoint=feature.endpoint if by_user else "",
        workload=lane.workload,
        tags=user.tags,
    )


def _choose(models: tuple[tuple[Model, float], ...], draw: Random) -> Model:
    """One of the models, by their shares, which sum to one."""
    left = draw.random() if len(models) > 1 else 0.0
    for model, share in models:
        left -= share
        if left < 0:
            return model
    return models[-1][0]


def _choose_failure(step: Step, draw: Random) -> Failure:
    return draw.choices(step.failures, [failure.share for failure in step.failures])[0]


def _cached_answer(model: Model, draw: Random) -> Attempt:
    """The answer was given before: no tokens, no cost, a few milliseconds."""
    took = round(draw.uniform(4, 25))
    return Attempt(1, model, Usage(cost=FREE), took, took, cache_hit=True)


def _tokens(spec: Tokens, model: Model, size: float, input_scale: float, draw: Random) -> tuple[Usage, int]:
    """The tokens of one attempt, in the wire's inclusive counts, and how many of them were written."""
    read = round(spec.input * size * input_scale)
    written = round(spec.output * size * draw.lognormvariate(0, 0.3) / (1 - model.reasoning))
    usage = Usage(input_tokens=read)
    if spec.output:
        usage["output_tokens"] = written
    if model.reasoning:
        usage["reasoning_output_tokens"] = int(written * model.reasoning)
    if spec.audio and model.speaks:
        usage["audio_input_tokens"] = int(read * spec.audio)
        usage["audio_output_tokens"] = int(written * spec.audio)
    if spec.cached:
        if draw.random() < CACHED_SHARE:
            usage["cache_read_input_tokens"] = int(read * spec.cached)
        elif model.cache_writes:
            usage["cache_creation_input_tokens"] = int(read * spec.cached)
    return usage, written


def _metered(spec: Metered, size: float) -> tuple[Usage, float]:
    """The units of one attempt, at least the smallest one countable unless nothing is billed, and their number."""
    grains = max(1, round(spec.quantity * size * 10**spec.places)) if size else 0
    quantity = Decimal(grains).scaleb(-spec.places)
    usage = Usage(quantity=str(quantity), unit=spec.unit)
    if spec.unit_cost is not None:
        usage["cost"] = Cost(format(spec.unit_cost * quantity, "f"))
    return usage, float(quantity)
