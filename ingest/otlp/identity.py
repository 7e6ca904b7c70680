"""Who answered a call, and the id by which its copies are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ingest.otlp.encoding import Span

PROVIDER_APIS: Final = frozenset({"chat", "responses", "messages", "completion", "embedding", "rerank"})
"""Suffixes by which the Vercel AI SDK names an API of a provider: `openai.chat` is `openai`."""

RESPONSE_ID_ISSUERS: Final = (
    ("chatcmpl-", "openai"),
    ("resp_", "openai"),
    ("cmpl-", "openai"),
    ("msg_", "anthropic"),
)
"""Copies of a call may name its provider differently, never its response: the shape of the id says more."""

PROVIDER_FAMILIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("azure", "azure.ai.openai", "azure_openai", "azure-openai", "az.ai.openai"), "openai"),
    **dict.fromkeys(("gcp.gemini", "gcp.gen_ai", "gcp.vertex_ai", "gemini", "vertexai", "vertex_ai"), "google"),
    **dict.fromkeys(("google_genai", "google.generative-ai", "google.vertex"), "google"),
    **dict.fromkeys(("aws.bedrock", "aws_bedrock", "amazon-bedrock", "amazon_bedrock"), "bedrock"),
}


def provider_name(given: str) -> str:
    """The provider in lower case and without the name of an API: `openai.chat` is `openai`, `azure.ai.openai` stays."""
    name = given.lower()
    if name.startswith(("openai.", "anthropic.")):
        return name.partition(".")[0]
    head, _, api = name.rpartition(".")
    return head if head and api in PROVIDER_APIS else name


def telling_response_id(given: str) -> str:
    """The id, or empty if it is not one of a kind: Ollama draws `chatcmpl-` plus a number below a thousand."""
    if given.startswith("chatcmpl-") and len(given) <= 12 and given[9:].isdecimal():
        return ""
    return given


def response_event_id(provider: str, response_id: str) -> str:
    """The id of an answered call, the same for every report of it, whichever door it comes through."""
    return f"resp:{_issuer(provider, response_id)}:{response_id}"


def span_event_id(span: Span) -> str:
    """The id of a call that only its span tells from others; empty, and so refused, when not even that does."""
    return f"span:{span.ref}" if span.trace_id and span.span_id else ""


def _issuer(provider: str, response_id: str) -> str:
    for prefix, issuer in RESPONSE_ID_ISSUERS:
        if response_id.startswith(prefix):
            return issuer
    return PROVIDER_FAMILIES.get(provider, provider)
