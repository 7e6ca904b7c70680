SELECT is_total, group_count, k0, k1, m0, m1, m2, m3
FROM (SELECT *, countIf(NOT is_total) OVER () AS group_count, row_number() OVER (ORDER BY is_total DESC, m2 DESC NULLS LAST, nullIf(k1, '') ASC NULLS LAST, k0, k1) - 1 AS n
FROM (SELECT *, if(max(if(is_total, toFloat64(m0), NULL)) OVER () = 0, NULL, toFloat64(m0) / max(if(is_total, toFloat64(m0), NULL)) OVER ()) AS m1
FROM (SELECT e.feature AS k0, e.tags[{p5:String}] AS k1, if(countIf(true) = 0, toDecimal128(0, 12), sumIf(e.effective_cost, true)) AS m0, if(countIf(e.kind = 'usage') = 0, NULL, toFloat64(countIf(e.status != 'ok')) / toFloat64(countIf(e.kind = 'usage'))) AS m2, countIf(e.kind = 'usage') AS m3, grouping(k0) = 1 AS is_total
FROM events AS e FINAL
WHERE e.tenant_id = {p0:String} AND e.team = {p1:String} AND e.environment = {p2:String} AND e.start_time >= fromUnixTimestamp64Micro({p3:Int64}, 'UTC') AND e.start_time < fromUnixTimestamp64Micro({p4:Int64}, 'UTC')
GROUP BY GROUPING SETS ((k0, k1), ())))
WHERE is_total OR (ifNull(m3 >= {p6:Decimal(38, 12)} AND m3 <= {p7:Decimal(38, 12)}, false)))
WHERE is_total OR (n > {p8:UInt64} AND n <= {p9:UInt64})
ORDER BY n

p0 = 'acme'
p1 = 'search'
p2 = 'production'
p3 = 1772323200000000
p4 = 1775001600000000
p5 = 'plan'
p6 = Decimal('10')
p7 = Decimal('99')
p8 = 40
p9 = 60
