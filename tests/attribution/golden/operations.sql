SELECT e.tenant_id AS c0, e.event_id AS c1, e.start_time AS c2, e.ingested_at AS c3, e.kind AS c4, e.source AS c5, e.team AS c6, e.feature AS c7, e.user_id AS c8, e.session_id AS c9, e.request_id AS c10, e.parent_event_id AS c11, e.environment AS c12, e.region AS c13, e.service_name AS c14, e.endpoint AS c15, e.prompt_name AS c16, e.prompt_version AS c17, e.workload AS c18, e.stage AS c19, e.provider_name AS c20, e.provider_account AS c21, e.request_model AS c22, e.response_model AS c23, e.operation_name AS c24, e.service_tier AS c25, e.cost_category AS c26, e.status AS c27, e.error_type AS c28, e.attempt AS c29, e.cache_hit AS c30, e.fallback AS c31, e.duration_ms AS c32, e.time_to_first_token_ms AS c33, e.uncached_input_tokens AS c34, e.cache_read_input_tokens AS c35, e.cache_creation_5m_input_tokens AS c36, e.cache_creation_1h_input_tokens AS c37, e.audio_input_tokens AS c38, e.text_output_tokens AS c39, e.reasoning_output_tokens AS c40, e.audio_output_tokens AS c41, e.quantity AS c42, e.unit AS c43, e.effective_cost AS c44, e.reported_cost AS c45, e.rated_cost AS c46, e.list_cost AS c47, e.cache_savings AS c48, e.billing_currency AS c49, e.cost_source AS c50, e.unpriced_reason AS c51, e.price_id AS c52, e.tags AS c53, e.charge_category AS c54, e.charge_description AS c55, e.allocated_method_id AS c56, e.allocated_method_details AS c57, e.allocated_resource_id AS c58, ifNull(toInt64(toDecimal128(e.effective_cost, 12) * 1000000000000), 1000000000000000000) AS sort, toInt64(toUnixTimestamp64Micro(e.start_time)) AS started
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
