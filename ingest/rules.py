"""The rules an event must keep beyond the shape of its fields. Every broken rule names the field and the rule."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Final, get_args, get_type_hints

import msgspec

from core.money import InvalidAmount, parse_amount, to_pico
from core.settings import Settings
from ingest.payloads import EventPayload

MAX_QUANTITY: Final = Decimal(10) ** 9
QUANTITY_SCALE: Final = 9
OTHER: Final = "(other)"
"""What stands for a name that was one too many."""
_UNIT = re.compile(r"[a-z][a-z0-9_]{0,63}")

_TOKEN_FIELDS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_1h_input_tokens",
    "audio_input_tokens",
    "reasoning_output_tokens",
    "audio_output_tokens",
)


class RuleBroken(Exception):
    """One event cannot be accepted: `field` breaks `rule`; the text says how to mend it."""

    def __init__(self, field: str, rule: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.rule = rule


_PATTERNS: Final = (
    (re.compile(r"Object contains unknown field `(?P<field>[^`]*)`"), "unknown_field"),
    (re.compile(r"Object missing required field `(?P<field>[^`]*)`"), "required"),
    (re.compile(r"of length|Expected `(?:str|array|object)` (?:with|of)"), "length"),
    (re.compile(r"Invalid (?:enum|literal) value|Invalid value"), "one_of"),
    (re.compile(r"RFC3339|timezone component"), "rfc3339_with_zone"),
    (re.compile(r"matching regex"), "pattern"),
    (re.compile(r"`(?:int|float)` (?:>|<)=?"), "range"),
    (re.compile(r"out of range|too large|too big"), "range"),
)


def decoding_error(error: msgspec.DecodeError) -> RuleBroken:
    """The rule behind a decoder's complaint."""
    message = str(error)
    path = re.search(r" - at `(?:key in )?\$\.?([^`]*)`", message)
    field = path.group(1).removesuffix("[...]").strip(".") if path else ""
    if not isinstance(error, msgspec.ValidationError):
        return RuleBroken("", "json", f"this item is not valid JSON: {message}")
    for pattern, rule in _PATTERNS:
        found = pattern.search(message)
        if found:
            named = ".".join(part for part in (field, found.groupdict().get("field", "")) if part)
            return RuleBroken(named, rule, message + _choices(field) if rule == "one_of" else message)
    return RuleBroken(field, "type", message)


def _choices(field: str) -> str:
    """The values a field may have, as the end of a sentence."""
    values = get_args(get_type_hints(EventPayload).get(field))
    return f"; use one of {', '.join(map(str, values))}" if values else ""


class EventRules:
    """The deployment's limits, applied to one event after another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._oldest = timedelta(days=settings.oldest_event_days)
        self._ahead = timedelta(seconds=settings.max_event_ahead_seconds)

    def check(self, event: EventPayload, now: datetime, *, require_measure: bool) -> None:
        """Return when the event keeps every rule; raise RuleBroken. `require_measure`: it must say what it used."""
        self._check_time(event.start_time, now)
        if len(event.tags) > self._settings.max_tags:
            raise RuleBroken("tags", "max_tags", f"an event has at most {self._settings.max_tags} tags")
        if (event.quantity is None) != (not event.unit):
            field = "unit" if event.unit == "" else "quantity"
            raise RuleBroken(field, "quantity_with_unit", "quantity and unit come together")
        if require_measure and not _is_measured(event):
            raise RuleBroken("", "measure", "an event needs token counts, quantity with unit, or cost")
        ttft, duration = event.time_to_first_token_ms, event.duration_ms
        if ttft is not None and duration is not None and ttft > duration:
            raise RuleBroken("time_to_first_token_ms", "order", "the first token comes within duration_ms")

    def _check_time(self, start: datetime, now: datetime) -> None:
        if start < now - self._oldest:
            days = self._settings.oldest_event_days
            raise RuleBroken("start_time", "max_event_age_days", f"start_time is more than {days} days ago")
        if start > now + self._ahead:
            seconds = self._settings.max_event_ahead_seconds
            raise RuleBroken("start_time", "max_event_ahead_seconds", f"start_time is over {seconds} s in the future")

    def cost(self, event: EventPayload) -> int | None:
        """The reported cost in whole pico units, None when the event reports none. Raises RuleBroken."""
        if event.cost is None:
            return None
        if event.cost.currency != self._settings.currency:
            message = f"this deployment accounts in {self._settings.currency}; convert before sending"
            raise RuleBroken("cost.currency", "currency", message)
        try:
            return to_pico(parse_amount(event.cost.amount))
        except InvalidAmount as error:
            raise RuleBroken("cost.amount", "amount", str(error)) from error


def _is_measured(event: EventPayload) -> bool:
    if event.cost is not None or event.quantity is not None:
        return True
    return any(getattr(event, name) is not None for name in _TOKEN_FIELDS)


def quantity(event: EventPayload) -> Decimal | None:
    """The exact quantity, None when the event has none. Raises RuleBroken."""
    if event.quantity is None:
        return None
    if not _UNIT.fullmatch(event.unit):
        raise RuleBroken("unit", "pattern", "a unit is written like gpu_seconds: lower case, digits and underscores")
    try:
        # repr of a float is the shortest text that means it: 0.1 stays 0.1.
        amount = Decimal(str(event.quantity))
    except InvalidOperation:
        raise RuleBroken("quantity", "number", f"{event.quantity!r} is not a number") from None
    if not amount.is_finite() or not 0 <= amount < MAX_QUANTITY:
        raise RuleBroken("quantity", "range", f"a quantity lies between 0 and {MAX_QUANTITY}, exclusive")
    if amount != round(amount, QUANTITY_SCALE):
        raise RuleBroken("quantity", "scale", f"a quantity has at most {QUANTITY_SCALE} decimals")
    return amount


class NameCardinality:
    """Counts the distinct values of each name that this process accepted today, and refuses the one too many.

    An id put into `feature` by mistake would otherwise grow the store's dictionaries and every menu without end.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._day = datetime.now(UTC).date()
        self._seen: dict[str, set[str]] = {name: set() for name in NAME_FIELDS}
        self._seen["tags"] = set()
        self._known: set[tuple[str, ...]] = set()

    def check(self, event: EventPayload, now: datetime) -> None:
        """Return when every name of the event is known or still fits; raise RuleBroken."""
        self._begin_day(now)
        # Most events carry names that came together before: one look-up instead of twenty.
        names = (*_names_of(event), *event.tags)
        if names in self._known:
            return
        for field in NAME_FIELDS:
            self._check(field, getattr(event, field))
        for key in event.tags:
            self._check("tags", key)
        self._know(names)

    def fit(self, event: EventPayload, now: datetime) -> int:
        """How many tags were dropped because their keys are too many; the names too many become `OTHER`."""
        self._begin_day(now)
        names = (*_names_of(event), *event.tags)
        if names in self._known:
            return 0
        for field in NAME_FIELDS:
            if not self._admits(field, getattr(event, field)):
                setattr(event, field, OTHER)
        excess = [key for key in event.tags if not self._admits("tags", key)]
        if excess:
            event.tags = {key: value for key, value in event.tags.items() if key not in excess}
        self._know((*_names_of(event), *event.tags))
        return len(excess)

    def _know(self, names: tuple[str, ...]) -> None:
        if len(self._known) < _KNOWN_COMBINATIONS:
            self._known.add(names)

    def _begin_day(self, now: datetime) -> None:
        if now.date() != self._day:
            self._day = now.date()
            self._known.clear()
            for seen in self._seen.values():
                seen.clear()

    def _check(self, field: str, value: str) -> None:
        if not self._admits(field, value):
            message = f"{field} has more than {self._limit} distinct values today; is an id in the wrong field?"
            raise RuleBroken(field, "max_distinct_names", message)

    def _admits(self, field: str, value: str) -> bool:
        """Whether the value is known or still fits; from then on it is known."""
        seen = self._seen[field]
        if value in seen or value in {"", OTHER}:
            return True
        if len(seen) >= self._limit:
            return False
        seen.add(value)
        return True


NAME_FIELDS: Final = (
    "team",
    "feature",
    "environment",
    "region",
    "service_name",
    "endpoint",
    "prompt_name",
    "prompt_version",
    "stage",
    "provider_name",
    "provider_account",
    "request_model",
    "response_model",
    "operation_name",
    "service_tier",
    "cost_category",
    "error_type",
    "unit",
)
_names_of: Final = attrgetter(*NAME_FIELDS)
_KNOWN_COMBINATIONS: Final = 100_000
