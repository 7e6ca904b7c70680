"""One settings class. Every setting is an environment variable `APPORTION_<NAME>` or a line in `.env`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """How one Apportion process runs. The defaults are one machine, everything embedded under `data_dir`."""

    model_config = SettingsConfigDict(env_prefix="APPORTION_", env_file=".env", extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    data_dir: Path = Field(default=Path(".apportion"), description="Directory that holds everything embedded.")
    clickhouse_url: str = Field(
        default="",
        description="Events: `http(s)://user:password@host:8123/?database=apportion` for a server, "
        "`chdb:///directory?database=apportion` for embedded. Empty: embedded under the data directory.",
    )
    database_url: str = Field(
        default="",
        description="Everything relational, as an SQLAlchemy URL: `postgresql+psycopg://user:password@host/apportion`. "
        "Empty: a SQLite file under the data directory.",
    )
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$", description="Currency of every amount, ISO 4217.")
    billing_timezone: str = Field(
        default="UTC",
        description="IANA zone whose calendar months statements cover. It stays as it is once a month was closed.",
    )
    prefer_reported_cost: bool = Field(
        default=True,
        description="Which cost is effective when an event reports one and the price book has one too: "
        "the reported cost (true) or the rated one (false). Both are stored.",
    )
    max_body_bytes: int = Field(
        default=10_000_000, ge=1_000, description="Largest ingest body after decompression, in bytes."
    )
    max_body_events: int = Field(default=10_000, ge=1, description="Most events in one ingest body.")
    max_event_age_days: int = Field(default=400, ge=1, description="Oldest accepted start_time, in days before now.")
    retention_days: int = Field(
        default=0,
        ge=0,
        description="Days after its start that an event is kept; 0 is for ever. Applied by `apportion migrate` and "
        "`serve`; the store drops older events within hours. None older than this is accepted either.",
    )
    max_event_ahead_seconds: int = Field(default=600, ge=0, description="Furthest start_time ahead of now, in seconds.")
    max_tags: int = Field(default=50, ge=0, description="Most tags on one event.")
    max_distinct_names: int = Field(
        default=10_000,
        ge=1,
        description="Most distinct values of one name (a feature, a model, a tag key, ...) that one process accepts "
        "per UTC day. Stops an id in the wrong field from exploding the dictionaries.",
    )
    duplicate_window: int = Field(
        default=500_000,
        ge=0,
        description="How many recent events a process remembers to report `duplicate`. Sums are right without it.",
    )
    rejected_events_kept: int = Field(
        default=10_000,
        ge=0,
        le=1_000_000,
        description="Most refused items that are kept with their reasons, to be redriven; the oldest go first.",
    )
    otlp_attributes: dict[str, list[str]] = Field(
        default={},
        description="Attribute names of your own, read before all others for a field, from OTLP and LiteLLM alike, as "
        'JSON: `{"tenant_id": ["shop.customer"], "feature": ["shop.page"]}`.',
    )
    otlp_tags: list[str] = Field(
        default=[],
        description="More attributes to keep as tags from OTLP and LiteLLM: names, or prefixes that end in `*`, as "
        'JSON: `["shop.plan", "billing.*"]`.',
    )
    grpc_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port for OTLP over gRPC, usually 4317; 0 is off. Needs `pip install apportion[grpc]`.",
    )
    merge_window: int = Field(
        default=20_000,
        ge=0,
        description="How many recent model calls a process remembers to unite reports of one call that come in "
        "different exports. Beyond it, the better informed report of a day wins.",
    )
    ingest_queue_events: int = Field(
        default=200_000, ge=1, description="Events waiting to be stored before ingest answers 503."
    )
    ingest_body_bytes: int = Field(
        default=64_000_000,
        ge=1_000,
        description="Bytes of ingest bodies held at the same time before further ones wait, and then get 503. "
        "Memory grows by about ten times as much.",
    )
    spool_max_bytes: int = Field(
        default=2_000_000_000,
        ge=0,
        description="Most bytes of events that wait on disk, under the data directory, while the events store does not "
        "take them; beyond that ingest answers 503. 0 is no spool.",
    )
    insert_patience_seconds: float = Field(
        default=5,
        gt=0,
        description="How long a request waits for one insert before its events go to the spool. Exporters give up "
        "after ten seconds.",
    )
    insert_rows: int = Field(
        default=20_000, ge=1, description="Most events from concurrent requests that one insert combines."
    )
    query_timeout_seconds: float = Field(default=30, gt=0, description="Longest a query may run.")
    query_memory_bytes: int = Field(default=4_000_000_000, ge=100_000_000, description="Most memory of one query.")
    clickhouse_memory_bytes: int = Field(
        default=0, ge=0, description="Most memory of the embedded engine; 0 leaves it at nine tenths of the machine's."
    )
    query_concurrency: int = Field(default=4, ge=1, le=64, description="Queries that run at the same time.")
    max_page_rows: int = Field(default=10_000, ge=1, description="Largest `first` of a query.")
    budget_interval_seconds: float = Field(
        default=5,
        gt=0,
        le=3_600,
        description="How long at most lies between two evaluations of budgets; events that arrive cause one at once.",
    )
    decisions_stale_seconds: float = Field(
        default=30,
        gt=0,
        description="Age of the last evaluation from which on decisions count as stale. More than the interval of "
        "evaluations.",
    )
    decisions_when_stale: Literal["allow", "deny"] = Field(
        default="allow",
        description="What `/v1/decisions` answers for operations under an enforced budget while it is stale: let them "
        "go ahead, or not.",
    )
    cors_origins: list[str] = Field(
        default=[], description='Browser origins that may call the API, as JSON: `["https://app.example"]`.'
    )
    introspection: bool = Field(default=True, description="Whether GraphQL introspection and suggestions are on.")
    graphiql: bool = Field(default=True, description="Whether `/graphql` shows GraphiQL to a browser.")
    smtp_url: str = Field(
        default="",
        description="Where mail is handed in: `smtp://user:password@host:587` (STARTTLS, required), "
        "`smtps://user:password@host:465` (TLS) or `smtp+plain://host:25` (no encryption). Empty: no mail.",
    )
    mail_sender: str = Field(default="apportion@localhost", description="The From address of mail.")
    notification_attempts: int = Field(
        default=15,
        ge=1,
        le=100,
        description="Failures after which a notification is a dead letter. With pauses that treble from "
        "`APPORTION_NOTIFICATION_PAUSE_SECONDS` to an hour, 15 take about eight hours.",
    )
    notification_pause_seconds: float = Field(
        default=1, gt=0, le=3600, description="Pause after a notification's first failure."
    )
    notifications_kept_days: int = Field(
        default=30, ge=1, description="Days that notifications are kept once they were delivered or given up."
    )
    reconciliation_tolerance_percent: float = Field(
        default=1,
        ge=0,
        le=100,
        description="How far a bill and what is attributed may differ and still agree.",
    )
    bill_lateness_days: int = Field(
        default=3,
        ge=0,
        description="Days that providers take to bill a day in full; until then what is missing is late.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What to log.")

    @property
    def oldest_event_days(self) -> int:
        """How many days before now an accepted event may start."""
        return min(self.max_event_age_days, self.retention_days or self.max_event_age_days)

    @property
    def reconciliation_tolerance(self) -> Decimal:
        """The tolerance in percent, exact."""
        return Decimal(str(self.reconciliation_tolerance_percent))

    @property
    def effective_clickhouse_url(self) -> str:
        """The events store to use: the setting, or the embedded one under the data directory."""
        return self.clickhouse_url or f"chdb://{self.data_dir.absolute()}/events?database=apportion"

    @property
    def effective_database_url(self) -> str:
        """The relational database to use: the setting, or a SQLite file under the data directory."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute()}/apportion.db"
