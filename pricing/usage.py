"""Token usage as disjoint buckets: every token is in exactly one, so rates apply without counting anything twice."""

from __future__ import annotations

from typing import Final, NamedTuple

from core.errors import InvalidInput

_CREATION_RULE: Final = "cache_creation_1h_input_tokens <= cache_creation_input_tokens"
_INPUT_RULE: Final = "cache_read_input_tokens + cache_creation_input_tokens + audio_input_tokens <= input_tokens"
_OUTPUT_RULE: Final = "reasoning_output_tokens + audio_output_tokens <= output_tokens"


class OverlappingTokens(InvalidInput):
    """The parts of a token count exceed the whole that is said to include them."""

    code = "OVERLAPPING_TOKENS"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} is smaller than the parts it includes: {rule} must hold")
        self.field = field
        self.rule = rule


class TokenUsage(NamedTuple):
    """Whole tokens of one operation, each in one bucket; the order is that of a card's rates.

    `uncached_input` is text that was neither read from nor written to a cache; `cache_creation` is written for five
    minutes, `cache_creation_1h` for an hour; `output` is text without reasoning and audio.
    """

    uncached_input: int = 0
    cache_read: int = 0
    cache_creation: int = 0
    cache_creation_1h: int = 0
    audio_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0

    @property
    def input_total(self) -> int:
        """All input tokens, cached or not, text or audio: what providers compare with a tier's start."""
        return sum(self[:5])


def decompose(
    *,
    input_tokens: int | None = None,
    cache_read_input_tokens: int | None = None,
    cache_creation_input_tokens: int | None = None,
    cache_creation_1h_input_tokens: int | None = None,
    audio_input_tokens: int | None = None,
    output_tokens: int | None = None,
    reasoning_output_tokens: int | None = None,
    audio_output_tokens: int | None = None,
) -> TokenUsage | None:
    """The disjoint buckets behind OpenTelemetry's overlapping counts; None when no count is known at all.

    A whole that is missing while parts of it are given is their sum. A part, or a whole side, that is missing counts
    no tokens: embeddings report no output. Counts are not negative. Raises OverlappingTokens when parts exceed
    their whole.
    """
    read, audio = cache_read_input_tokens or 0, audio_input_tokens or 0
    creation_1h = cache_creation_1h_input_tokens or 0
    reasoning, audio_out = reasoning_output_tokens or 0, audio_output_tokens or 0
    creation_5m = _rest("cache_creation_input_tokens", cache_creation_input_tokens, creation_1h, _CREATION_RULE)
    parts = read + creation_5m + creation_1h + audio
    usage = TokenUsage(
        _rest("input_tokens", input_tokens, parts, _INPUT_RULE),
        read,
        creation_5m,
        creation_1h,
        audio,
        _rest("output_tokens", output_tokens, reasoning + audio_out, _OUTPUT_RULE),
        reasoning,
        audio_out,
    )
    if any(usage):
        return usage
    given = (
        input_tokens,
        cache_read_input_tokens,
        cache_creation_input_tokens,
        cache_creation_1h_input_tokens,
        audio_input_tokens,
        output_tokens,
        reasoning_output_tokens,
        audio_output_tokens,
    )
    return None if all(count is None for count in given) else usage


def _rest(field: str, whole: int | None, parts: int, rule: str) -> int:
    if whole is None:
        return 0
    if parts > whole:
        raise OverlappingTokens(field, rule)
    return whole - parts
