-- Who had which tier when, all in one row, so that a change of it is seen whole or not at all; the highest `version` is
-- the truth. Bounds are 2^32 * the tenant's number + the unix second from which on the tier at the same place holds.
-- See docs/decisions/0012-tiers-by-time.md.
CREATE TABLE IF NOT EXISTS tier_history
(
    name LowCardinality(String),
    version UInt64,
    is_deleted Bool DEFAULT false,
    digest String,
    tenants Array(String) CODEC(ZSTD(1)),
    numbers Array(UInt64) CODEC(ZSTD(1)),
    bounds Array(UInt64) CODEC(ZSTD(1)),
    tiers Array(String) CODEC(ZSTD(1)),
    assignments Array(String) CODEC(ZSTD(1))
)
ENGINE = ${engine}
ORDER BY name;
