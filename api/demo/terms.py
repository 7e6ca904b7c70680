"""The terms a demo company is declared in: tenants, models, steps of a request, features, and what changes when.

Days are counted on the story's calendar: day 0 is its first, and the window asked for always ends at its last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from ingest.payloads import Status


class Region(NamedTuple):
    """Where tenants live: the name on their events and the zone whose office hours they keep."""

    name: str
    zone: str
    cells: tuple[str, ...]


class Tenant(NamedTuple):
    """A customer; `size` is its share of all users, relative to the other tenants'."""

    tenant_id: str
    plan: str
    region: str
    size: int


class AgreedPrice(NamedTuple):
    """What the company agreed to pay: `price` US dollars, a decimal string, for `per` units."""

    provider_name: str
    model: str
    unit: str
    price: str
    per: int
    note: str


class Failure(NamedTuple):
    """One way an attempt ends badly: its share of all failures, and how much of its usage is billed all the same."""

    status: Status
    error_type: str
    share: float
    billed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model or a metered service, with the median latency and the failure rate of an attempt of median size.

    `latency_ms` is the time to the first token, or the fixed part of what does not stream; `ms_per_unit` is added for
    every output token or metered unit. `reasoning` is the share of output tokens spent thinking;
    `cache_writes` are charged for where true, and only a model that `speaks` counts audio tokens.
    """

    provider_name: str
    request_model: str
    response_model: str = ""
    latency_ms: float
    ms_per_unit: float = 0.0
    failure_rate: float = 0.02
    reasoning: float = 0.0
    cache_writes: bool = False
    speaks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Median token counts of an operation; `cached` and `audio` are shares of them, `spread` a log-normal sigma."""

    input: float
    output: float = 0.0
    cached: float = 0.0
    audio: float = 0.0
    spread: float = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """Median units of an operation, counted to `places` decimals.

    `unit_cost` is in US dollars and reported with the event; without one, the price book has to know the price.
    """

    unit: str
    quantity: float
    unit_cost: Decimal | None = None
    places: int = 0
    spread: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation of a request: which models share it, what it consumes, and how often it happens at all.

    `models` pairs each model with its share of the operations. `fallback` takes over from a model that keeps failing.
    `cache_hits` is the share of operations answered from the semantic cache, `delay_ms` the median wait before it.
    """

    stage: str
    operation_name: str
    cost_category: str
    models: tuple[tuple[Model, float], ...]
    usage: Tokens | Metered
    failures: tuple[Failure, ...]
    fallback: Model | None = None
    chance: float = 1.0
    cache_hits: float = 0.0
    delay_ms: float = 20.0
    streams: bool = False


class PromptVersion(NamedTuple):
    """A prompt as it was from `from_day` on: how much longer, and how much more often answered with nonsense."""

    version: str
    from_day: float = float("-inf")
    input_scale: float = 1.0
    failure_scale: float = 1.0


class Prompt(NamedTuple):
    """A named prompt and its versions, oldest first."""

    name: str
    versions: tuple[PromptVersion, ...]

    def on(self, day: float) -> PromptVersion:
        """The version live on that day."""
        return next(version for version in reversed(self.versions) if version.from_day <= day)


class Ramp(NamedTuple):
    """Nothing before `from_day`; then a straight line from `start` to `end`, reached on `to_day` and kept."""

    from_day: float
    to_day: float
    start: float
    end: float

    def at(self, day: float) -> float:
        """The value on that day."""
        if day < self.from_day:
            return 0.0
        progress = min(1.0, (day - self.from_day) / (self.to_day - self.from_day))
        return self.start + (self.end - self.start) * progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Something users do: the steps of one request, in order, and how popular it is against the other features.

    An agent repeats `loop` after `steps`, on average `rounds` times, and each round re-reads what the earlier ones
    wrote. A feature with an `adoption` is used by that share of the users; one without, by all of `plans`.
    """

    name: str
    team: str
    service_name: str
    endpoint: str
    popularity: float
    steps: tuple[Step, ...]
    prompt: Prompt
    plans: frozenset[str] = field(default=frozenset({"free", "pro", "enterprise"}))
    nightly: float = 0.0
    adoption: Ramp | None = None
    loop: tuple[Step, ...] = ()
    rounds: Ramp | None = None

    def adopted(self, day: float) -> float:
        """The share of entitled users who use it on that day."""
        return 1.0 if self.adoption is None else self.adoption.at(day)

    def mean_rounds(self, day: float) -> float:
        """How often a request repeats the loop on that day, on average."""
        return 0.0 if self.rounds is None else self.rounds.at(day)

    def operations(self, day: float) -> float:
        """The average number of operations of one request on that day, retries aside."""
        return sum(s.chance for s in self.steps) + self.mean_rounds(day) * sum(s.chance for s in self.loop)
