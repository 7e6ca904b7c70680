-- What providers bill, line by line. A line belongs to one import of one bill; which imports are in force is said by the
-- relational database, so that a rewritten month replaces the old one at one instant.
CREATE TABLE IF NOT EXISTS bill_lines
(
    import_id UInt64,
    line UInt32,
    part UInt16,
    version UInt64 DEFAULT 1,
    is_deleted Bool DEFAULT false,
    bill_period Date,
    provider_name LowCardinality(String),
    start_time DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    end_time DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    charge_category LowCardinality(String),
    charge_class LowCardinality(String),
    account LowCardinality(String),
    service LowCardinality(String),
    model LowCardinality(String),
    model_key LowCardinality(String),
    token_type LowCardinality(String),
    service_tier LowCardinality(String),
    sku String CODEC(ZSTD(1)),
    description String CODEC(ZSTD(1)),
    region LowCardinality(String),
    resource_id String CODEC(ZSTD(1)),
    invoice_id LowCardinality(String),
    quantity Nullable(Decimal(38, 9)),
    unit LowCardinality(String),
    cost Decimal(38, 12),
    list_cost Nullable(Decimal(38, 12)),
    currency LowCardinality(String),
    tags Map(LowCardinality(String), String) CODEC(ZSTD(1))
)
ENGINE = ${engine}
-- A carried-over line keeps its number in the file it came from, so the day tells it from this file's own lines.
ORDER BY (import_id, toDate(start_time), line, part)
SETTINGS non_replicated_deduplication_window = 1000;
