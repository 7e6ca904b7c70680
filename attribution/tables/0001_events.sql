-- One event, one row. Identity is (tenant_id, event_id) on the event's own UTC date; among rows of one identity the
-- highest `version` is the truth, which FINAL reads at every instant. See docs/decisions/0003-identity-and-versions.md.
CREATE TABLE IF NOT EXISTS events
(
    tenant_id LowCardinality(String),
    event_id String CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    is_deleted Bool DEFAULT false,
    kind LowCardinality(String),
    source LowCardinality(String),
    start_time DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    ingested_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),

    team LowCardinality(String),
    feature LowCardinality(String),
    user_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    request_id String CODEC(ZSTD(1)),
    parent_event_id String CODEC(ZSTD(1)),
    environment LowCardinality(String),
    region LowCardinality(String),
    service_name LowCardinality(String),
    endpoint LowCardinality(String),
    prompt_name LowCardinality(String),
    prompt_version LowCardinality(String),
    workload LowCardinality(String),
    stage LowCardinality(String),

    provider_name LowCardinality(String),
    request_model LowCardinality(String),
    response_model LowCardinality(String),
    operation_name LowCardinality(String),
    service_tier LowCardinality(String),
    cost_category LowCardinality(String),
    status LowCardinality(String),
    error_type LowCardinality(String),
    attempt UInt16 DEFAULT 1,
    cache_hit Bool,
    fallback Bool,
    duration_ms Nullable(UInt32),
    time_to_first_token_ms Nullable(UInt32),

    -- Disjoint buckets: their sum is every token of the event.
    uncached_input_tokens UInt32,
    cache_read_input_tokens UInt32,
    cache_creation_5m_input_tokens UInt32,
    cache_creation_1h_input_tokens UInt32,
    audio_input_tokens UInt32,
    text_output_tokens UInt32,
    reasoning_output_tokens UInt32,
    audio_output_tokens UInt32,
    quantity Decimal(18, 9),
    unit LowCardinality(String),

    -- NULL is unknown, never zero. `effective_cost` is `reported_cost` or `rated_cost`, as the settings say.
    effective_cost Nullable(Decimal(18, 12)),
    reported_cost Nullable(Decimal(18, 12)),
    rated_cost Nullable(Decimal(18, 12)),
    list_cost Nullable(Decimal(18, 12)),
    cache_savings Decimal(18, 12),
    billing_currency LowCardinality(String),
    cost_source LowCardinality(String),
    unpriced_reason LowCardinality(String),
    price_id LowCardinality(String),

    tags Map(LowCardinality(String), String) CODEC(ZSTD(1)),

    INDEX by_request request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_arrival ingested_at TYPE minmax GRANULARITY 1
)
ENGINE = ${engine}
PARTITION BY toYYYYMM(start_time)
ORDER BY (toDate(start_time), tenant_id, event_id)
SETTINGS non_replicated_deduplication_window = 1000,
         min_age_to_force_merge_seconds = 3600,
         min_age_to_force_merge_on_partition_only = 1;
