"""What clients may send, as types: the wire form of an event and the receipt they get back.

Names follow the OpenTelemetry GenAI conventions. Unknown fields are refused by name, so that a typo never becomes
silence. The shapes of single fields are enforced here while decoding; rules over several fields are in `rules`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Id = Annotated[str, Meta(min_length=1, max_length=256)]
OptionalId = Annotated[str, Meta(max_length=256)]
Name = Annotated[str, Meta(max_length=200)]
"""A name from a small vocabulary (a feature, a model, ...): stored dictionary-encoded."""
TenantId = Annotated[str, Meta(min_length=1, max_length=200)]
Tokens = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Milliseconds = Annotated[float, Meta(ge=0, le=2_678_400_000)]
"""Up to 31 days; stored rounded to whole milliseconds."""
Attempt = Annotated[int, Meta(ge=1, le=1000)]
Version = Annotated[int, Meta(ge=0, le=16_382)]
TagKey = Annotated[str, Meta(min_length=1, max_length=100)]
TagValue = Annotated[str, Meta(max_length=500)]

Kind = Literal["usage", "charge"]
ChargeCategory = Literal["", "usage", "purchase", "tax", "credit", "adjustment"]
"""FOCUS's charge categories, in lower case."""
Workload = Literal["interactive", "batch"]
Status = Literal["ok", "error", "timeout", "rate_limited", "cancelled", "filtered"]


class Cost(Struct, frozen=True, forbid_unknown_fields=True):
    """Money the caller already knows. `amount` is a decimal string in units of `currency`, never a float."""

    amount: Annotated[str, Meta(max_length=60)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "USD"


class EventPayload(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One cost-generating operation as a client reports it.

    Token counts are as OpenTelemetry counts them: `input_tokens` includes cache reads, cache writes and audio;
    `cache_creation_input_tokens` includes its one-hour part; `output_tokens` includes reasoning and audio.
    """

    start_time: Annotated[datetime, Meta(tz=True)]
    tenant_id: TenantId
    event_id: Id | None = None
    version: Version = 0
    kind: Kind = "usage"

    team: Name = ""
    feature: Name = ""
    user_id: OptionalId = ""
    session_id: OptionalId = ""
    request_id: OptionalId = ""
    parent_event_id: OptionalId = ""
    environment: Name = ""
    region: Name = ""
    service_name: Name = ""
    endpoint: Name = ""
    prompt_name: Name = ""
    prompt_version: Name = ""
    workload: Workload = "interactive"
    stage: Name = ""

    provider_name: Name = ""
    provider_account: Name = ""
    request_model: Name = ""
    response_model: Name = ""
    operation_name: Name = ""
    service_tier: Name = ""
    cost_category: Name = ""
    status: Status = "ok"
    error_type: Name = ""
    attempt: Attempt = 1
    cache_hit: bool = False
    fallback: bool = False
    duration_ms: Milliseconds | None = None
    time_to_first_token_ms: Milliseconds | None = None

    input_tokens: Tokens | None = None
    cache_read_input_tokens: Tokens | None = None
    cache_creation_input_tokens: Tokens | None = None
    cache_creation_1h_input_tokens: Tokens | None = None
    audio_input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    reasoning_output_tokens: Tokens | None = None
    audio_output_tokens: Tokens | None = None

    quantity: Annotated[str, Meta(max_length=40)] | int | float | None = None
    unit: Name = ""
    cost: Cost | None = None
    charge_category: ChargeCategory = ""
    charge_description: Annotated[str, Meta(max_length=1_000)] = ""
    tags: dict[TagKey, TagValue] = {}


class Rejection(Struct, frozen=True, omit_defaults=True):
    """Why one item was refused: its place in the body, the field at fault, the rule it breaks, and a sentence."""

    index: int
    field: str
    rule: str
    message: str
    event_id: str | None = None


class DerivedId(Struct, frozen=True):
    """The id given to an item that came without one: the same content always gets the same id."""

    index: int
    event_id: str


class Receipt(Struct, kw_only=True):
    """What became of a body: received = accepted + duplicate + rejected + spooled.

    Accepted events are stored. Spooled ones are as durable, and stored as soon as the events store takes them.
    `dropped_tags` counts tags beyond the limit, which cost a call from OTLP or LiteLLM its tag and nothing else.
    """

    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    spooled: int = 0
    unpriced: int = 0
    dropped_tags: int = 0
    derived_event_ids: list[DerivedId] = []
    errors: list[Rejection] = []

    def move_to_spooled(self) -> None:
        """What was to be stored went to the spool instead."""
        self.accepted, self.spooled = 0, self.accepted


ENCODER = msgspec.json.Encoder(order="deterministic")
