SELECT e.tenant_id AS c0, e.event_id AS c1, e.start_time AS c2, e.ingested_at AS c3, e.kind AS c4, e.source AS c5, e.team AS c6, e.feature AS c7, e.user_id AS c8, e.session_id AS c9, e.request_id AS c10, e.parent_event_id AS c11, e.environment AS c12, e.region AS c13, e.service_name AS c14, e.endpoint AS c15, e.prompt_name AS c16, e.prompt_version AS c17, e.workload AS c18, e.stage AS c19, e.provider_name AS c20, e.request_model AS c21, e.response_model AS c22, e.operation_name AS c23, e.service_tier AS c24, e.cost_category AS c25, e.status AS c26, e.error_type AS c27, e.attempt AS c28, e.cache_hit AS c29, e.fallback AS c30, e.duration_ms AS c31, e.time_to_first_token_ms AS c32, e.uncached_input_tokens AS c33, e.cache_read_input_tokens AS c34, e.cache_creation_5m_input_tokens AS c35, e.cache_creation_1h_input_tokens AS c36, e.audio_input_tokens AS c37, e.text_output_tokens AS c38, e.reasoning_output_tokens AS c39, e.audio_output_tokens AS c40, e.quantity AS c41, e.unit AS c42, e.effective_cost AS c43, e.reported_cost AS c44, e.rated_cost AS c45, e.list_cost AS c46, e.cache_savings AS c47, e.billing_currency AS c48, e.cost_source AS c49, e.unpriced_reason AS c50, e.price_id AS c51, e.tags AS c52, ifNull(toInt64(toDecimal128(e.effective_cost, 12) * 1000000000000), 1000000000000000000) AS sort, toInt64(toUnixTimestamp64Micro(e.start_time)) AS started
FROM events AS e FINAL
WHERE e.tenant_id = {p0:String} AND e.start_time >= fromUnixTimestamp64Micro({p1:Int64}, 'UTC') AND e.start_time < fromUnixTimestamp64Micro({p2:Int64}, 'UTC') AND (ifNull(toInt64(toDecimal128(e.effective_cost, 12) * 1000000000000), 1000000000000000000), toInt64(toUnixTimestamp64Micro(e.start_time)), e.tenant_id, e.event_id) > ({p3:Int64}, {p4:Int64}, {p5:String}, {p6:String})
ORDER BY sort ASC, started ASC, e.tenant_id ASC, e.event_id ASC LIMIT {p7:UInt64}

p0 = 'acme'
p1 = 1772323200000000
p2 = 1775001600000000
p3 = 1
p4 = 2
p5 = 'acme'
p6 = 'e1'
p7 = 11
