"""What costs can be attributed over. A new dimension is one entry here; SQL, GraphQL and the docs come out of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

from attribution.tier_history import ASSIGNMENT_SQL, TIER_SQL


@unique
class ValueType(Enum):
    """What a dimension's values are; it decides which filters they take."""

    TEXT = "String"
    INTEGER = "Int64"
    FLAG = "Bool"


@dataclass(frozen=True, slots=True)
class DimensionSpec:
    """How a dimension is read from an event.

    `sql` is an expression over `e`, a row of `events`; `{local}` is its start on the asked zone's wall clock. `otel`
    and `focus` are the names of the same thing in OpenTelemetry and in FOCUS 1.2, where there is one.
    """

    name: str
    sql: str
    description: str
    type: ValueType = ValueType.TEXT
    otel: str = ""
    focus: str = ""


def _text(name: str, column: str, description: str, otel: str = "", focus: str = "") -> DimensionSpec:
    return DimensionSpec(name, f"e.{column}", description, ValueType.TEXT, otel, focus)


def _integer(name: str, sql: str, description: str, otel: str = "") -> DimensionSpec:
    return DimensionSpec(name, sql, description, ValueType.INTEGER, otel)


def _flag(name: str, column: str, description: str) -> DimensionSpec:
    return DimensionSpec(name, f"e.{column}", description, ValueType.FLAG)


@unique
class Dimension(Enum):
    """Everything costs can be grouped and filtered by, besides tags."""

    TENANT = _text("tenant", "tenant_id", "The customer the operation was made for.", "tenant.id", "SubAccountId")
    TIER = DimensionSpec("tier", TIER_SQL, "The pricing tier the tenant had at that time.")
    ASSIGNMENT = DimensionSpec(
        "assignment", ASSIGNMENT_SQL, "The assignment by which the tenant had its tier at that time: its id."
    )
    TEAM = _text("team", "team", "The team or department that owns the spend.", "team")
    FEATURE = _text("feature", "feature", "The product feature the operation served.", "feature")
    USER = _text("user", "user_id", "The end user whose action caused the operation.", "user.id")
    SESSION = _text("session", "session_id", "The conversation or session.", "session.id")
    REQUEST = _text("request", "request_id", "One user action, which fans out into several operations.")
    SERVICE = _text("service", "service_name", "The application service that made the call.", "service.name")
    ENVIRONMENT = _text("environment", "environment", "Such as production.", "deployment.environment.name")
    REGION = _text("region", "region", "Where the call was made or served.", "cloud.region", "RegionId")
    ENDPOINT = _text("endpoint", "endpoint", "The application's endpoint or route.", "http.route")
    PROVIDER = _text("provider", "provider_name", "Who bills for it.", "gen_ai.provider.name", "ProviderName")
    PROVIDER_ACCOUNT = _text(
        "provider_account", "provider_account", "The account, project or workspace at the provider that is billed."
    )
    MODEL = DimensionSpec(
        "model",
        "if(e.response_model = '', e.request_model, e.response_model)",
        "The model that answered; the requested one where the answer names none.",
    )
    REQUEST_MODEL = _text("request_model", "request_model", "The model that was asked for.", "gen_ai.request.model")
    RESPONSE_MODEL = _text("response_model", "response_model", "The model that answered.", "gen_ai.response.model")
    OPERATION = _text("operation", "operation_name", "Such as chat or embeddings.", "gen_ai.operation.name")
    SERVICE_TIER = _text("service_tier", "service_tier", "The provider's service tier.", "openai.response.service_tier")
    STAGE = _text("stage", "stage", "The step of the pipeline: retrieve, rerank, generate, ...")
    COST_CATEGORY = _text("cost_category", "cost_category", "llm, vector_db, gpu, ...", "", "ServiceSubcategory")
    UNIT = _text("unit", "unit", "What the quantity counts, where it is not tokens.", "", "ConsumedUnit")
    PROMPT = _text("prompt", "prompt_name", "The prompt template's name.", "gen_ai.prompt.name")
    PROMPT_VERSION = _text("prompt_version", "prompt_version", "The prompt template's version.")
    WORKLOAD = _text("workload", "workload", "interactive or batch.")
    STATUS = _text("status", "status", "ok, error, timeout, rate_limited, cancelled or filtered.")
    ERROR_TYPE = _text("error_type", "error_type", "What kind of failure it was.", "error.type")
    ATTEMPT = _integer("attempt", "e.attempt", "1 for the first try, 2 for the first retry, ...")
    CACHE_HIT = _flag("cache_hit", "cache_hit", "Answered from the application's own cache.")
    FALLBACK = _flag("fallback", "fallback", "Answered by a fallback after the first choice failed.")
    KIND = _text("kind", "kind", "What sort of event it is: usage or charge.")
    SOURCE = _text(
        "source",
        "source",
        "The door it came by: events, otlp or litellm; or what booked it: allocation or bill.",
    )
    CHARGE_CATEGORY = _text(
        "charge_category", "charge_category", "What a charge is for: purchase, tax, credit, ...", "", "ChargeCategory"
    )
    ALLOCATION = _text(
        "allocation", "allocated_method_id", "The rule that allocated the cost.", "", "AllocatedMethodId"
    )
    ALLOCATION_DETAILS = _text(
        "allocation_details", "allocated_method_details", "How the rule shared it out.", "", "AllocatedMethodDetails"
    )
    ALLOCATED_RESOURCE = _text(
        "allocated_resource", "allocated_resource_id", "What was shared out.", "", "AllocatedResourceId"
    )
    CHARGE = _text("charge", "charge_description", "What a charge is for, in words.", "", "ChargeDescription")
    COST_SOURCE = _text("cost_source", "cost_source", "reported, rated, allocated or unpriced.")
    UNPRICED_REASON = _text("unpriced_reason", "unpriced_reason", "Why an operation has no cost.")
    PRICE = _text("price", "price_id", "The price that rated it.", "", "SkuPriceId")
    HOUR_OF_DAY = _integer("hour_of_day", "toHour({local})", "0 to 23, in the asked zone.")
    DAY_OF_WEEK = _integer("day_of_week", "toDayOfWeek({local})", "1 (Monday) to 7, in the asked zone.")
    HOUR_OF_WEEK = _integer(
        "hour_of_week",
        "(toDayOfWeek({local}) - 1) * 24 + toHour({local})",
        "0 (Monday 00:00) to 167, in the asked zone.",
    )

    @property
    def spec(self) -> DimensionSpec:
        """The declaration."""
        return self.value
