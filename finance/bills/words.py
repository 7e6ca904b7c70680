"""What the words of a bill mean: kinds of token in a description, the model in front of them, sizes of units."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum, unique
from functools import lru_cache
from typing import Final, NamedTuple


def names(text: str) -> frozenset[str]:
    """The words of the text: how formats list the columns and fields they know."""
    return frozenset(text.split())


@unique
class TokenType(Enum):
    """Kinds of token that bills tell apart. Reasoning is output on every bill."""

    INPUT = "input"
    CACHED_INPUT = "cached_input"
    CACHE_WRITE = "cache_write"
    AUDIO_INPUT = "audio_input"
    OUTPUT = "output"
    AUDIO_OUTPUT = "audio_output"


_KINDS: Final = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"cach\w*[ _-]+(write|creation|storage)|cache_creation|wrt|cch\w* w", TokenType.CACHE_WRITE),
        (r"cached|cchd|cache[ _-]*(read|hit)|cache_read", TokenType.CACHED_INPUT),
        (r"audio.*\b(out|outp|outpt|output)|\b(out|outp|outpt|output)\b.*audio", TokenType.AUDIO_OUTPUT),
        (r"audio.*\b(in|inp|inpt|input)|\b(in|inp|inpt|input)\b.*audio|^audio tokens", TokenType.AUDIO_INPUT),
        (r"\b(out|outp|outpt|opt|output|completion|reasoning)\b|output_?token|outputtoken", TokenType.OUTPUT),
        (r"\b(in|inp|inpt|input|prompt)\b|input_?token|inputtoken|embedding", TokenType.INPUT),
    )
)


@lru_cache(maxsize=4_096)
def token_type(text: str) -> str:
    """The kind of token that the text speaks of; '' when it speaks of none."""
    words = text.lower().replace("_", " ")
    return next((kind.value for pattern, kind in _KINDS if pattern.search(words)), "")


_EDITION: Final = re.compile(r"\s*\((Amazon Bedrock Edition|[^)]*Marketplace[^)]*)\)", re.IGNORECASE)
_TIERS: Final = r"batch|priority|flex|standard|provisioned"
_TAIL: Final = re.compile(
    r"((\s-\s+|[\s,/]+)(text|audio|image|video|thinking)"
    r"|[\s,/-]+(cached|cchd|cache|caching|in|inp|inpt|input|out|outp|outpt|opt|output|prompt|completion|reasoning"
    rf"|tokens?|{_TIERS}))\b.*$",
    re.IGNORECASE,
)
"""A hyphen before a medium belongs to the model: `gpt-4o-audio-preview`, `gpt-image-1`."""
_TIER: Final = re.compile(rf"\b({_TIERS})\b", re.IGNORECASE)


@lru_cache(maxsize=4_096)
def model_before(text: str) -> str:
    """The model in front of the first word about tokens, `gpt-5.4-mini` in `gpt-5.4-mini cached input`; '' for none."""
    bare = _EDITION.sub("", text).strip()
    found = _TAIL.sub("", bare)
    return found.strip() if found != bare else ""


def tier_in(text: str) -> str:
    """The service tier that the text names; '' when it names none."""
    found = _TIER.search(text)
    return found[1].lower() if found else ""


class Amount(NamedTuple):
    """A quantity in whole units."""

    quantity: Decimal | None
    unit: str


_SIZES: Final = {"": 1, "k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000, "b": 1_000_000_000}
_SIZE: Final = re.compile(
    r"^\s*(?P<count>\d{1,9})?\s*(?P<size>thousand|million|[kmb])?(?![a-z])\s*(?P<unit>[a-z].*)?$", re.IGNORECASE
)


def in_whole_units(quantity: Decimal | None, unit: str, *, default: str = "") -> Amount:
    """The quantity counted in single units: 1.5 of `1K tokens` are 1500 `tokens`. `default` names an unnamed unit."""
    found = _SIZE.match(unit)
    if not found:
        return Amount(quantity, unit.strip().lower() or default)
    factor = int(found["count"] or 1) * _SIZES[(found["size"] or "").lower()]
    named = (found["unit"] or default).strip().lower()
    return Amount(None if quantity is None else quantity * factor, named)
