SELECT is_total, group_count, k0, b, m0, m1
FROM (SELECT *, countIf(NOT is_total) OVER () AS group_count, row_number() OVER (ORDER BY is_total DESC, b ASC NULLS LAST, m0 DESC NULLS LAST, k0, b) - 1 AS n
FROM (SELECT k0, of_total AS is_total, cell.1 AS b, cell.2 AS m0, cell.3 AS m1 FROM (SELECT k0, of_total, groupArrayIf((b, m0, m1, true), is_total = of_total) AS present FROM (SELECT e.team AS k0, toDate(toDateTime(toUnixTimestamp(e.start_time) + transform(roundDown(toUnixTimestamp(e.start_time), {p2:Array(UInt32)}), {p2:Array(UInt32)}, {p3:Array(Int32)}, 0), 'UTC')) AS b, if(countIf(true) = 0, toDecimal128(0, 12), sumIf(e.effective_cost, true)) AS m0, if(countIf(e.kind = 'usage') = 0, NULL, toFloat64(countIf(e.status != 'ok')) / toFloat64(countIf(e.kind = 'usage'))) AS m1, grouping(k0) = 1 AS is_total
FROM events AS e FINAL
WHERE e.start_time >= fromUnixTimestamp64Micro({p0:Int64}, 'UTC') AND e.start_time < fromUnixTimestamp64Micro({p1:Int64}, 'UTC')
GROUP BY GROUPING SETS ((k0, b), ())) ARRAY JOIN [true, false] AS of_total GROUP BY k0, of_total HAVING notEmpty(present)) ARRAY JOIN if(of_total, present, arrayConcat(present, arrayMap(x -> (x, toDecimal128(0, 12), NULL, false), arrayFilter(x -> NOT has(present.1, x), {p4:Array(Date)})))) AS cell)
WHERE is_total OR (true))
WHERE is_total OR (n > {p5:UInt64} AND n <= {p6:UInt64})
ORDER BY n

p0 = 1774652400000000
p1 = 1774908000000000
p2 = [0, 1774746000]
p3 = [3600, 7200]
p4 = [datetime.date(2026, 3, 28), datetime.date(2026, 3, 29), datetime.date(2026, 3, 30)]
p5 = 0
p6 = 100
