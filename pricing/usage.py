"""Token usage as disjoint buckets: every token is in exactly one, so rates apply without counting anything twice."""

from __future__ import annotations

from typing import Final, NamedTuple

from core.errors import InvalidInput

_CREATION_RULE: Final = "cache_creation_1h_input_tokens <= cache_creation_input_tokens"
_INPUT_RULE: Final = "cache_read_input_tokens + cache_creation_input_tokens + audio_input_tokens <= input_tokens"
_OUTPUT_RULE: Final = "reasoning_output_tokens + audio_output_tokens <= output_tokens"
_NOTHING: Final = (None,) * 8


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
    inputs = (
        input_tokens,
        cache_read_input_tokens,
        cache_creation_input_tokens,
        cache_creation_1h_input_tokens,
        audio_input_tokens,
    )
    outputs = (output_tokens, reasoning_output_tokens, audio_output_tokens)
    if inputs + outputs == _NOTHING:
        return None
    return TokenUsage(*_input_buckets(*inputs), *_output_buckets(*outputs))


def _input_buckets(
    whole: int | None, read: int | None, creation: int | None, creation_1h: int | None, audio: int | None
) -> tuple[int, int, int, int, int]:
    read, creation_1h, audio = read or 0, creation_1h or 0, audio or 0
    creation_5m = _rest("cache_creation_input_tokens", creation, creation_1h, _CREATION_RULE)
    uncached = _rest("input_tokens", whole, read + creation_5m + creation_1h + audio, _INPUT_RULE)
    return uncached, read, creation_5m, creation_1h, audio


def _output_buckets(whole: int | None, reasoning: int | None, audio: int | None) -> tuple[int, int, int]:
    reasoning, audio = reasoning or 0, audio or 0
    return _rest("output_tokens", whole, reasoning + audio, _OUTPUT_RULE), reasoning, audio


def _rest(field: str, whole: int | None, parts: int, rule: str) -> int:
    if whole is None:
        return 0
    if parts > whole:
        raise OverlappingTokens(field, rule)
    return whole - parts
