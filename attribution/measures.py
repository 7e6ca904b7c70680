"""What can be measured about any slice of events. A new measure is one entry here.

Every measure is an aggregate over `e`, the rows of one group, so no measure is ever computed from rounded parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique


@unique
class MeasureType(Enum):
    """What a measure's values are."""

    MONEY = "money"
    """Decimal, in the billing currency; None where nothing is known."""
    COUNT = "count"
    """Whole number."""
    RATIO = "ratio"
    """Float between 0 and 1; None over nothing."""
    MILLISECONDS = "milliseconds"
    """Whole milliseconds; None where nothing was timed."""
    INSTANT = "instant"
    """Microseconds since 1970 in SQL, an aware datetime in reports; None over nothing."""


@dataclass(frozen=True, slots=True)
class MeasureSpec:
    """How a measure is computed. `additive`: the groups' values sum to the total's, to the last digit.

    `share_of_total` names the additive measure whose part in the grand total this one is, instead of an `sql`.
    """

    name: str
    type: MeasureType
    description: str
    sql: str = ""
    additive: bool = False
    share_of_total: str = ""


_USAGE = "e.kind = 'usage'"
_OPERATIONS = f"countIf({_USAGE})"
_SUCCEEDED = f"countIf({_USAGE} AND e.status = 'ok')"
_FAILED = "e.status != 'ok'"
_RETRY = "e.attempt > 1"
_WASTED = f"({_FAILED} OR {_RETRY})"
_UNAVAILABLE = "e.status IN ('error', 'timeout', 'rate_limited')"
_REQUESTS = f"uniqExactIf((e.tenant_id, e.request_id), e.request_id != '' AND {_USAGE})"
_USERS = f"uniqExactIf((e.tenant_id, e.user_id), e.user_id != '' AND {_USAGE})"
_INPUT = (
    "(sum(e.uncached_input_tokens) + sum(e.cache_read_input_tokens) + sum(e.cache_creation_5m_input_tokens)"
    " + sum(e.cache_creation_1h_input_tokens) + sum(e.audio_input_tokens))"
)
_OUTPUT = "(sum(e.text_output_tokens) + sum(e.reasoning_output_tokens) + sum(e.audio_output_tokens))"


def _known_sum(column: str, condition: str = "true") -> str:
    """The sum of what is known: zero over no events, NULL when there are events but none has a known amount."""
    return f"if(countIf({condition}) = 0, toDecimal128(0, 12), sumIf(e.{column}, {condition}))"


_COST = _known_sum("effective_cost")


def _per(count: str, factor: int = 1) -> str:
    """Cost per unit, NULL over none. With 30 decimals, rounding to the money grain decides as on the exact quotient."""
    cost = f"toDecimal256({_COST}, 30)" + (f" * {factor}" if factor > 1 else "")
    return f"if({count} = 0, NULL, {cost} / {count})"


def _ratio(part: str, whole: str) -> str:
    return f"if({whole} = 0, NULL, toFloat64({part}) / toFloat64({whole}))"


def _money(name: str, sql: str, description: str) -> MeasureSpec:
    return MeasureSpec(name, MeasureType.MONEY, description, sql, additive=True)


def _unit_cost(name: str, count: str, description: str, factor: int = 1) -> MeasureSpec:
    return MeasureSpec(name, MeasureType.MONEY, description, _per(count, factor))


def _count(name: str, sql: str, description: str) -> MeasureSpec:
    return MeasureSpec(name, MeasureType.COUNT, description, sql, additive=True)


def _distinct(name: str, sql: str, description: str) -> MeasureSpec:
    return MeasureSpec(name, MeasureType.COUNT, description, sql)


def _tokens(name: str, description: str, sql: str = "") -> MeasureSpec:
    return _count(name, sql or f"sum(e.{name})", description)


def _rate(name: str, part: str, whole: str, description: str) -> MeasureSpec:
    return MeasureSpec(name, MeasureType.RATIO, description, _ratio(part, whole))


def _quantile(name: str, column: str, level: str, description: str) -> MeasureSpec:
    """Exact over whole milliseconds, whatever the order of rows: the smallest value that `level` of them reach."""
    sql = f"quantileExactWeightedIf({level})(assumeNotNull(e.{column}), 1, isNotNull(e.{column}))"
    return MeasureSpec(name, MeasureType.MILLISECONDS, description, f"if(count(e.{column}) = 0, NULL, toUInt64({sql}))")


def _latest(name: str, column: str, description: str) -> MeasureSpec:
    sql = f"if(count() = 0, NULL, toUnixTimestamp64Micro(max(e.{column})))"
    return MeasureSpec(name, MeasureType.INSTANT, description, sql)


@unique
class Measure(Enum):
    """Everything that can be asked about a slice of events."""

    EFFECTIVE_COST = _money("effective_cost", _COST, "What it cost. Null when no operation of the slice has a price.")
    LIST_COST = _money("list_cost", _known_sum("list_cost"), "What it would cost at public prices.")
    RATED_COST = _money("rated_cost", _known_sum("rated_cost"), "What the price book says it cost.")
    REPORTED_COST = _money("reported_cost", _known_sum("reported_cost"), "What the callers said it cost.")
    COST_SHARE = MeasureSpec(
        "cost_share",
        MeasureType.RATIO,
        "The part of the effective cost of everything that matches the filter.",
        share_of_total="EFFECTIVE_COST",
    )
    FAILED_COST = _money("failed_cost", _known_sum("effective_cost", _FAILED), "Cost of operations that failed.")
    RETRY_COST = _money("retry_cost", _known_sum("effective_cost", _RETRY), "Cost of second and later attempts.")
    WASTED_COST = _money(
        "wasted_cost", _known_sum("effective_cost", _WASTED), "Cost of failures and retries, each operation once."
    )
    WASTED_SHARE = _rate("wasted_share", _known_sum("effective_cost", _WASTED), _COST, "Wasted cost over all cost.")
    CACHE_SAVINGS = _money(
        "cache_savings",
        "toDecimal128(sum(e.cache_savings), 12)",
        "What provider-side prompt caching saved: the same tokens at the uncached rate, less what was charged.",
    )

    OPERATIONS = _count("operations", _OPERATIONS, "Operations: one model call, vector query, tool call, ...")
    REQUESTS = _distinct("requests", _REQUESTS, "User actions: distinct request ids.")
    ACTIVE_USERS = _distinct("active_users", _USERS, "Distinct users.")
    FAILED_OPERATIONS = _count("failed_operations", f"countIf({_FAILED})", "Operations whose status is not ok.")
    RETRIED_OPERATIONS = _count("retried_operations", f"countIf({_RETRY})", "Second and later attempts.")
    UNPRICED_OPERATIONS = _count(
        "unpriced_operations", f"countIf(e.effective_cost IS NULL AND {_USAGE})", "Operations whose cost is unknown."
    )

    UNLISTED_OPERATIONS = _count(
        "unlisted_operations",
        f"countIf(e.list_cost IS NULL AND {_USAGE})",
        "Operations without a public price: what list cost leaves out.",
    )

    COST_PER_OPERATION = _unit_cost("cost_per_operation", _OPERATIONS, "Effective cost per operation.")
    COST_PER_REQUEST = _unit_cost("cost_per_request", _REQUESTS, "Effective cost per user action.")
    COST_PER_USER = _unit_cost("cost_per_user", _USERS, "Effective cost per distinct user.")
    COST_PER_SUCCESSFUL_OPERATION = _unit_cost(
        "cost_per_successful_operation", _SUCCEEDED, "All cost, failures included, per success."
    )
    COST_PER_MILLION_TOKENS = _unit_cost(
        "cost_per_million_tokens", f"({_INPUT} + {_OUTPUT})", "Effective cost per million tokens.", 1_000_000
    )

    INPUT_TOKENS = _tokens(
        "input_tokens", "All input tokens, cached and audio included, as OpenTelemetry counts.", _INPUT
    )
    UNCACHED_INPUT_TOKENS = _tokens("uncached_input_tokens", "Input tokens neither cached nor audio.")
    CACHE_READ_INPUT_TOKENS = _tokens("cache_read_input_tokens", "Input tokens read from the provider's cache.")
    CACHE_CREATION_INPUT_TOKENS = _tokens(
        "cache_creation_input_tokens",
        "Input tokens written to the provider's cache.",
        "(sum(e.cache_creation_5m_input_tokens) + sum(e.cache_creation_1h_input_tokens))",
    )
    AUDIO_INPUT_TOKENS = _tokens("audio_input_tokens", "Audio input tokens.")
    OUTPUT_TOKENS = _tokens("output_tokens", "All output tokens, reasoning and audio included.", _OUTPUT)
    TEXT_OUTPUT_TOKENS = _tokens("text_output_tokens", "Output tokens that are neither reasoning nor audio.")
    REASONING_OUTPUT_TOKENS = _tokens("reasoning_output_tokens", "Output tokens spent on reasoning.")
    AUDIO_OUTPUT_TOKENS = _tokens("audio_output_tokens", "Audio output tokens.")
    TOTAL_TOKENS = _tokens("total_tokens", "Input and output tokens.", f"({_INPUT} + {_OUTPUT})")

    ERROR_RATE = _rate("error_rate", f"countIf({_FAILED})", _OPERATIONS, "Failed operations over all.")
    AVAILABILITY = _rate(
        "availability",
        _SUCCEEDED,
        f"countIf({_USAGE} AND (e.status = 'ok' OR {_UNAVAILABLE}))",
        "Successes over successes, errors, timeouts and rate limits; cancelled and filtered calls do not count.",
    )
    CACHE_HIT_RATE = _rate(
        "cache_hit_rate", "countIf(e.cache_hit)", _OPERATIONS, "Operations answered from the application's cache."
    )
    LATENCY_P50_MS = _quantile("latency_p50_ms", "duration_ms", "0.5", "Median latency.")
    LATENCY_P95_MS = _quantile("latency_p95_ms", "duration_ms", "0.95", "95th percentile of latency.")
    LATENCY_P99_MS = _quantile("latency_p99_ms", "duration_ms", "0.99", "99th percentile of latency.")
    TTFT_P50_MS = _quantile("ttft_p50_ms", "time_to_first_token_ms", "0.5", "Median time to first token.")
    TTFT_P95_MS = _quantile("ttft_p95_ms", "time_to_first_token_ms", "0.95", "95th percentile of time to first token.")
    TTFT_P99_MS = _quantile("ttft_p99_ms", "time_to_first_token_ms", "0.99", "99th percentile of time to first token.")

    LAST_SEEN = _latest("last_seen", "start_time", "When the newest of these operations started.")
    FRESH_AS_OF = _latest("fresh_as_of", "ingested_at", "When the newest of these operations arrived.")

    @property
    def spec(self) -> MeasureSpec:
        """The declaration."""
        return self.value
