"""Which spans are paid calls. Summing usage over all spans would count most calls twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ingest.otlp.encoding import Span
from ingest.otlp.mapping import AttributeMapping
from ingest.otlp.values import first


@dataclass(frozen=True)
class Rule:
    """One question asked of a span, answered by the last dotted part of an attribute's value."""

    attribute: str
    bills: frozenset[str]
    never: frozenset[str] = frozenset()
    final: bool = False
    """Any other value means: do not bill. Otherwise it leaves the question to the next rule."""

    def verdict(self, span: Span) -> bool | None:
        """Whether the span is billed; None when this rule does not say."""
        value = span.attributes.get(self.attribute)
        if not isinstance(value, str) or not value:
            return None
        kind = value.rpartition(".")[2]
        if kind in self.bills:
            return True
        return False if self.final or kind in self.never else None


FRAMEWORK_RULES: Final = (
    Rule("openinference.span.kind", frozenset({"LLM", "EMBEDDING", "RERANKER"}), final=True),
    Rule("ai.operationId", frozenset({"doGenerate", "doStream", "doEmbed", "doRerank"}), final=True),
)
"""They speak for the whole span. After them come Logfire's twins: a stream's first span, whose `log` twin is billed."""

OPERATION_RULES: Final = (
    Rule(
        "gen_ai.operation.name",
        bills=frozenset(
            {"chat", "text_completion", "completion", "generate_content", "embeddings", "embedding", "responses"}
            | {"rerank", "acompletion", "aembedding", "atext_completion", "aresponses", "anthropic_messages"}
        ),
        never=frozenset(
            {"invoke_agent", "create_agent", "invoke_workflow", "agent_step"}
            | {"execute_tool", "execute_task", "retrieval"}
        ),
    ),
    Rule("llm.request.type", frozenset({"chat", "completion", "embedding", "rerank"})),
)
"""After them, a provider together with token usage is billed, and nothing else."""

OPERATIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "gen_ai.operation.name": {
        **dict.fromkeys(("responses", "aresponses", "anthropic_messages", "completion", "acompletion"), "chat"),
        **dict.fromkeys(("embedding", "aembedding"), "embeddings"),
        "atext_completion": "text_completion",
    },
    "llm.request.type": {"completion": "text_completion", "embedding": "embeddings"},
    "openinference.span.kind": {"LLM": "chat", "EMBEDDING": "embeddings", "RERANKER": "rerank"},
    "ai.operationId": {"doGenerate": "chat", "doStream": "chat", "doEmbed": "embeddings", "doRerank": "rerank"},
}
"""Attribute -> its values in OpenTelemetry's words. LiteLLM's `completion` is a chat, OpenLLMetry's is a text."""


def is_billable(span: Span, mapping: AttributeMapping) -> bool:
    """Whether the span is one paid call, by the first rule that decides."""
    for rule in FRAMEWORK_RULES:
        if (verdict := rule.verdict(span)) is not None:
            return verdict
    if _is_logfire_opening(span, mapping):
        return False
    for rule in OPERATION_RULES:
        if (verdict := rule.verdict(span)) is not None:
            return verdict
    return first(span.attributes, mapping.signals["provider"]) is not None and _has_usage(span, mapping)


def operation_name(span: Span) -> str:
    """The operation in OpenTelemetry's words, one they do not have in lower case, empty when nobody says."""
    for attribute, names in OPERATIONS.items():
        value = span.attributes.get(attribute)
        if isinstance(value, str) and value:
            return names.get(value.rpartition(".")[2], value.lower())
    return ""


def _is_logfire_opening(span: Span, mapping: AttributeMapping) -> bool:
    return (
        span.scope.startswith("logfire")
        and span.attributes.get("logfire.span_type") == "span"
        and not span.failed
        and not _has_usage(span, mapping)
    )


def _has_usage(span: Span, mapping: AttributeMapping) -> bool:
    tokens = mapping.tokens.names
    return any(first(span.attributes, tokens[field]) is not None for field in ("input_tokens", "output_tokens"))
