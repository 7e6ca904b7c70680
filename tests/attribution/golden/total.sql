SELECT is_total, group_count, m0, m1
FROM (SELECT *, countIf(NOT is_total) OVER () AS group_count, row_number() OVER (ORDER BY is_total DESC, m0 DESC NULLS LAST) - 1 AS n
FROM (SELECT *, is_total FROM (SELECT if(countIf(true) = 0, toDecimal128(0, 12), sumIf(e.effective_cost, true)) AS m0, if(uniqExactIf((e.tenant_id, e.request_id), e.request_id != '' AND e.kind = 'usage') = 0, NULL, toDecimal256(if(countIf(true) = 0, toDecimal128(0, 12), sumIf(e.effective_cost, true)), 30) / uniqExactIf((e.tenant_id, e.request_id), e.request_id != '' AND e.kind = 'usage')) AS m1
FROM events AS e FINAL
WHERE e.start_time >= fromUnixTimestamp64Micro({p0:Int64}, 'UTC') AND e.start_time < fromUnixTimestamp64Micro({p1:Int64}, 'UTC')) ARRAY JOIN [true, false] AS is_total)
WHERE is_total OR (true))
WHERE is_total OR (n > {p2:UInt64} AND n <= {p3:UInt64})
ORDER BY n

p0 = 1772323200000000
p1 = 1775001600000000
p2 = 0
p3 = 100
