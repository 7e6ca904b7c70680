"""Every name that instrumentations give to a field, in order of precedence. The engine knows no other.

Sources: the OpenTelemetry GenAI conventions (old and new), OpenInference, OpenLLMetry, OpenLIT, Logfire, Pydantic AI,
the Vercel AI SDK, the Anthropic SDK, LiteLLM and Langfuse. A name is listed once per field it can fill; the first one
that carries a value wins. Attributes that hold JSON are spread into dotted names first (`SPREAD`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

Names = tuple[str, ...]

# --- Attributes that are JSON, or hold it -----------------------------------------------------------------------------

RAW = "gen_ai.usage.raw"
SPREAD: Final[Mapping[str, str]] = {
    RAW: RAW,
    "metadata.usage_object": RAW,
    "metadata": "metadata",
    "metadata.requester_metadata": "metadata",
    "metadata.spend_logs_metadata": "metadata",
    "llm.invocation_parameters": "llm.invocation_parameters",
    "embedding.invocation_parameters": "llm.invocation_parameters",
}
"""JSON attribute -> the dotted prefix under which its scalar members are read."""

OUTPUT_USAGE: Final = (("usage",), ("llm_output", "token_usage"))
"""Where a provider's answer keeps its usage; it is spread under `RAW`, the rest of the answer is dropped."""

OUTPUT_RESPONSE_ID: Final = re.compile(r'(?<!\\)"id":\s*"((?:chatcmpl-|resp_|msg_)[^"\\]+)"')


def _raw(*paths: str) -> Names:
    return tuple(f"{RAW}.{path}" for path in paths)


BAGS: Final = ("traceloop.association.properties.", "ai.telemetry.metadata.", "langfuse.trace.metadata.", "metadata.")
"""Prefixes under which instrumentations carry what the application said about a call."""


def _said(*names: str) -> Names:
    return tuple(bag + name for bag in BAGS for name in names)


# --- Fields -----------------------------------------------------------------------------------------------------------

TOKENS: Final[Mapping[str, Names]] = {
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
        "llm.usage.prompt_tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
        "llm.usage.completion_tokens",
    ),
    "cache_read_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
        "gen_ai.usage.prompt_tokens_details.cached_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        *_raw("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens", "cache_read_input_tokens"),
    ),
    "cache_creation_input_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
        "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        *_raw("prompt_tokens_details.cache_write_tokens", "input_tokens_details.cache_write_tokens"),
        *_raw("prompt_tokens_details.cache_creation_tokens", "cache_creation_input_tokens"),
    ),
    "cache_creation_1h_input_tokens": (
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
        "gen_ai.usage.details.ephemeral_1h_input_tokens",
        *_raw("cache_creation.ephemeral_1h_input_tokens"),
        *_raw("prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens"),
    ),
    "audio_input_tokens": (
        "gen_ai.usage.audio.input_tokens",
        "llm.token_count.prompt_details.audio",
        *_raw("prompt_tokens_details.audio_tokens", "input_tokens_details.audio_tokens"),
    ),
    "reasoning_output_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
        "gen_ai.usage.completion_tokens_details.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        *_raw("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"),
    ),
    "audio_output_tokens": (
        "gen_ai.usage.audio.output_tokens",
        "llm.token_count.completion_details.audio",
        *_raw("completion_tokens_details.audio_tokens", "output_tokens_details.audio_tokens"),
    ),
}
"""Counts, read from the call's own span only."""

TEXTS: Final[Mapping[str, Names]] = {
    "request_model": (
        "gen_ai.request.model",
        "llm.request.model_name",
        "ai.model.id",
        "llm.invocation_parameters.model",
        "embedding.model_name",
        "llm.model_name",
    ),
    "response_model": (
        "gen_ai.response.model",
        "llm.response.model_name",
        "ai.response.model",
        "llm.model_name",
        "embedding.model_name",
    ),
    "service_tier": (
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "anthropic.response.service_tier",
        *_raw("service_tier"),
    ),
}
"""Texts copied as they are from the call's own span."""

SIGNALS: Final[Mapping[str, Names]] = {
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "ai.model.provider", "llm.system"),
    "response_id": ("gen_ai.response.id", "ai.response.id", "llm.response.id"),
    "error": ("error.type",),
    "http_status": ("http.response.status_code", "http.status_code", "error.code"),
    "finish": (
        "gen_ai.response.finish_reasons",
        "gen_ai.response.finish_reason",
        "anthropic.message.stop_reason",
        "llm.finish_reason",
        "ai.response.finishReason",
    ),
    "resends": ("http.request.resend_count",),
    "batch": ("workload", "app.workload", "gen_ai.request.workload", "gen_ai.request.batch", "app.batch"),
    "cost": ("gen_ai.usage.cost", "operation.cost", "gen_ai.cost.total_cost", "litellm.cost.total", "llm.cost.total"),
    "streamed": ("gen_ai.request.stream",),
}
"""What a field is worked out from, on the call's own span."""

INHERITED: Final[Mapping[str, Names]] = {
    "tenant_id": (
        *("tenant.id", "tenant_id", "tenant", "app.tenant.id", "app.tenant_id", "app.tenant"),
        *_said("tenant_id", "tenantId", "tenant"),
        *("metadata.user_api_key_org_alias", "metadata.user_api_key_org_id"),
        *("metadata.user_api_key_team_alias", "metadata.user_api_key_team_id"),
        *("litellm.metadata.user_api_key_team_alias", "litellm.metadata.user_api_key_team_id"),
    ),
    "team": (
        *("team", "team.id", "team.name", "app.team"),
        *_said("team", "team_id", "teamId"),
        *("metadata.user_api_key_team_alias", "metadata.user_api_key_team_id"),
        *("litellm.metadata.user_api_key_team_alias", "litellm.metadata.user_api_key_team_id"),
    ),
    "feature": (
        *("feature", "feature.name", "feature_id", "app.feature"),
        *_said("feature", "feature_id", "featureId"),
        "ai.telemetry.functionId",
    ),
    "user_id": (
        *("user.id", "enduser.id", "traceloop.association.properties.user_id", "ai.telemetry.metadata.userId"),
        *("langfuse.user.id", "gen_ai.user", "gen_ai.request.user", "user_id", "metadata.user_id", "metadata.userId"),
        *("litellm.metadata.user_api_key_end_user_id", "metadata.user_api_key_end_user_id"),
        *("litellm.metadata.user_api_key_user_id", "metadata.user_api_key_user_id"),
        *("traceloop.association.properties.userId", "ai.telemetry.metadata.user_id"),
        "llm.invocation_parameters.user",
    ),
    "session_id": (
        *("session.id", "gen_ai.conversation.id", "traceloop.association.properties.session_id"),
        *("ai.telemetry.metadata.sessionId", "langfuse.session.id", "metadata.session_id", "metadata.sessionId"),
        *("traceloop.association.properties.sessionId", "ai.telemetry.metadata.session_id"),
    ),
    "request_id": (
        *("request.id", "request_id", "app.request.id", "app.request_id", "http.request.header.x-request-id"),
        *_said("request_id", "requestId"),
    ),
    "environment": (
        *("deployment.environment.name", "deployment.environment", "environment", "app.environment"),
        *_said("environment", "env"),
        "langfuse.environment",
    ),
    "region": ("cloud.region", "app.region"),
    "endpoint": ("endpoint", "app.endpoint"),
    "stage": ("stage", "app.stage"),
    "prompt_name": (
        *("gen_ai.prompt.name", "prompt.name", "app.prompt.name", "langfuse.observation.prompt.name"),
        *("langfuse.prompt.name", "traceloop.prompt.key", "prompt.id"),
    ),
    "prompt_version": (
        *("gen_ai.prompt.version", "prompt.version", "app.prompt.version", "langfuse.observation.prompt.version"),
        *("langfuse.prompt.version", "traceloop.prompt.version", "llm.prompt_template.version"),
    ),
    "agent": ("gen_ai.agent.name", "traceloop.workflow.name"),
}
"""What an application may say once, on any span around the call. `agent` stands in for a feature nobody named."""

RESOURCE: Final[Mapping[str, Names]] = {
    "tenant_id": ("tenant.id", "tenant"),
    "team": ("team", "team.name", "team.id"),
    "feature": ("feature",),
    "environment": ("deployment.environment.name", "deployment.environment"),
    "region": ("cloud.region",),
    "service_name": ("service.name",),
}
"""What holds for a whole process."""

IDS: Final = ("tenant_id", "user_id", "session_id", "request_id")
"""Inherited fields that are ids: what names one is no tag too, or erasing a user would leave him in the tags."""

TAGS: Final = (
    *("user.*", "tenant.*", "session.*", "app.*", "feature", "cost_center", "tag.tags"),
    *("traceloop.association.properties.*", "ai.telemetry.metadata.*"),
)
"""The default allow-list: exact names, or prefixes that end in `*`, which leave ids out. A bag's prefix is cut from the
tag's key."""


class Timing(NamedTuple):
    """A duration attribute: how many milliseconds one of its units has, and whether it needs a streamed call."""

    name: str
    ms: float
    streamed_only: bool = False


FIRST_TOKEN: Final = (
    Timing("gen_ai.response.time_to_first_chunk", 1000.0),
    Timing("gen_ai.client.operation.time_to_first_chunk", 1000.0),
    # OpenLIT writes the whole duration here when nothing was streamed.
    Timing("gen_ai.server.time_to_first_token", 1000.0, streamed_only=True),
    Timing("ai.response.msToFirstChunk", 1.0),
)
FIRST_TOKEN_EVENTS: Final = frozenset(
    {"First Token Stream Event", "gen_ai.content.completion.chunk", "ai.stream.firstChunk"}
)
