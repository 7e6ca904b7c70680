SELECT is_total, group_count, m0
FROM (SELECT *, countIf(NOT is_total) OVER () AS group_count, row_number() OVER (ORDER BY is_total DESC, m0 DESC NULLS LAST) - 1 AS n
FROM (SELECT *, is_total FROM (SELECT if(countIf(true) = 0, toDecimal128(0, 12), sumIf(e.effective_cost, true)) AS m0
FROM events AS e FINAL
WHERE e.start_time >= fromUnixTimestamp64Micro({p0:Int64}, 'UTC') AND e.start_time < fromUnixTimestamp64Micro({p1:Int64}, 'UTC') AND (if(e.response_model = '', e.request_model, e.response_model) IN {p2:Array(String)} AND (e.attempt >= {p3:Int64} OR NOT (mapContains(e.tags, {p4:String})) OR positionCaseInsensitiveUTF8(e.feature, {p5:String}) > 0) AND NOT (e.cache_hit IN {p6:Array(Bool)}))) ARRAY JOIN [true, false] AS is_total)
WHERE is_total OR (true))
WHERE is_total OR (n > {p7:UInt64} AND n <= {p8:UInt64})
ORDER BY n

p0 = 1772323200000000
p1 = 1775001600000000
p2 = ['gpt-4o', 'claude']
p3 = 2
p4 = 'plan'
p5 = 'search'
p6 = [True]
p7 = 0
p8 = 100
