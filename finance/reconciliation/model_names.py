"""One key per model, under which what a provider bills meets what applications called. No fuzzy match."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pricing.names import canonical_model

_GEOGRAPHY: Final = re.compile(r"^(us|us-gov|eu|apac|jp|au|ca|global)\.")
_MAKER: Final = re.compile(r"^(anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen|stability|writer)\.")
_REVISION: Final = re.compile(r"-v\d+(:\d+)?(:\d+k)?$")
_SNAPSHOT: Final = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2}|latest)$")
_SEPARATORS: Final = re.compile(r"[\s._]+")


@lru_cache(maxsize=4_096)
def model_key(provider: str, model: str) -> str:
    """The model's name without what bills and calls disagree about; '' for none. `provider` is canonical.

    Dropped are a path or region in front, Bedrock's maker and revision, and the date of a snapshot; spaces, dots and
    underscores are hyphens: `Claude Sonnet 4.5` and `us.anthropic.claude-sonnet-4-5-20250929-v1:0` are one model.
    """
    name, shorter = "", _MAKER.sub("", _GEOGRAPHY.sub("", canonical_model(provider, model)))
    while name != shorter:  # a snapshot can stand before a revision, and behind one
        name, shorter = shorter, _SNAPSHOT.sub("", _REVISION.sub("", shorter))
    return _SEPARATORS.sub("-", name.strip())
