"""One name per provider and model, however the client's instrumentation spelled it. Never a guess: no fuzzy match."""

from __future__ import annotations

import re
from typing import Final

_ALIASES: Final = {
    "amazon-bedrock": "aws",
    "amazon": "aws",
    "aws.bedrock": "aws",
    "aws-bedrock": "aws",
    "bedrock": "aws",
    "bedrock-converse": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure-ai": "azure",
    "azure-openai": "azure",
    "cohere-chat": "cohere",
    "fireworks-ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen-ai": "google",
    "gcp.vertex-ai": "google",
    "gemini": "google",
    "google.generative-ai": "google",
    "google.vertex": "google",
    "google-genai": "google",
    "google-gla": "google",
    "google-vertex": "google",
    "google-vertexai": "google",
    "vertex-ai": "google",
    "vertexai": "google",
    "mistral-ai": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "moonshot-ai": "moonshotai",
    "perplexity-ai": "perplexity",
    "text-completion-openai": "openai",
    "together-ai": "together",
    "togetherai": "together",
    "voyage": "voyageai",
    "xai": "x-ai",
    "z-ai": "zai",
    "z.ai": "zai",
}
"""Names used by OpenTelemetry, Vercel AI, pydantic-ai and LiteLLM, hyphenated, to the id in the public price list."""

_API: Final = re.compile(
    r"\.(chat|completions?|responses|messages|(text-?)?embeddings?|image|speech|transcription)$", re.IGNORECASE
)
"""What Vercel AI puts behind a provider: `openai.chat`, `anthropic.messages`."""

_GATEWAYS: Final = frozenset({"gateway", "litellm"})
"""They forward to the provider that is named before the slash of the model."""

_RESOURCE: Final = re.compile(r"^(projects/[^/]+/locations/[^/]+/)?(publishers/[^/]+/)?models/")
_GEOGRAPHY: Final = re.compile(r"^(us|us-gov|eu|apac|jp|au|ca)\.")


def canonical_provider(name: str) -> str:
    """The one lower-case, hyphenated name of a provider; '' for none, and for a gateway that only forwards."""
    plain = _API.sub("", name.strip().lower().replace("_", "-"))
    return "" if plain in _GATEWAYS else _ALIASES.get(plain, plain)


def canonical_model(provider: str, model: str) -> str:
    """The model's lower-case name without the path that leads to it; `provider` is canonical.

    Cut off are `models/` and `publishers/<name>/models/` (Google), all but the resource id of an ARN (Bedrock), and
    the provider's own name as a prefix (`openai/gpt-4o`); a region stays, for it can have its own price.
    """
    name = model.strip().lower()
    if name.startswith("arn:"):
        return name.rpartition("/")[2]
    name = _RESOURCE.sub("", name)
    prefix, slash, rest = name.partition("/")
    return rest if slash and canonical_provider(prefix) == provider else name


def model_spellings(provider: str, model: str) -> tuple[str, ...]:
    """The names under which the public list may know a model, the most literal first; `provider` is canonical.

    Bedrock's geographic inference profiles cost what the model costs in its region, unless they are listed themselves;
    `global.` ones have their own price and are never shortened.
    """
    name = canonical_model(provider, model)
    literal = model.strip().lower()
    return tuple(
        dict.fromkeys(
            spelling
            for spelling in (
                "" if literal.startswith("arn:") else literal,
                name,
                _GEOGRAPHY.sub("", name) if provider == "aws" else name,
            )
            if spelling
        )
    )


def split_provider(model: str) -> tuple[str, str]:
    """The canonical provider named before the first slash of a model, and the model behind it; ('', '') without one."""
    prefix, slash, rest = model.strip().partition("/")
    return (canonical_provider(prefix), rest) if slash else ("", "")
