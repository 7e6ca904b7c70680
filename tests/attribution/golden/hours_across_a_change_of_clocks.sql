SELECT is_total, group_count, k0, b, m0
FROM (SELECT *, countIf(NOT is_total) OVER () AS group_count, row_number() OVER (ORDER BY is_total DESC, b DESC NULLS LAST, k0, b) - 1 AS n
FROM (SELECT (toDayOfWeek(toDateTime(toUnixTimestamp(e.start_time) + transform(roundDown(toUnixTimestamp(e.start_time), {p2:Array(UInt32)}), {p2:Array(UInt32)}, {p3:Array(Int32)}, 0), 'UTC')) - 1) * 24 + toHour(toDateTime(toUnixTimestamp(e.start_time) + transform(roundDown(toUnixTimestamp(e.start_time), {p2:Array(UInt32)}), {p2:Array(UInt32)}, {p3:Array(Int32)}, 0), 'UTC')) AS k0, toUInt32(greatest(toUnixTimestamp(e.start_time) - (toUnixTimestamp(e.start_time) + transform(roundDown(toUnixTimestamp(e.start_time), {p2:Array(UInt32)}), {p2:Array(UInt32)}, {p3:Array(Int32)}, 0)) % 3600, roundDown(toUnixTimestamp(e.start_time), {p2:Array(UInt32)}))) AS b, if(countIf(true) = 0, toDecimal128(0, 12), sumIf(e.effective_cost, true)) AS m0, grouping(k0) = 1 AS is_total
FROM events AS e FINAL
WHERE e.start_time >= fromUnixTimestamp64Micro({p0:Int64}, 'UTC') AND e.start_time < fromUnixTimestamp64Micro({p1:Int64}, 'UTC')
GROUP BY GROUPING SETS ((k0, b), ()))
WHERE is_total OR (true))
WHERE is_total OR (n > {p4:UInt64} AND n <= {p5:UInt64})
ORDER BY n

p0 = 1772323200000000
p1 = 1775001600000000
p2 = [0, 1774746000]
p3 = [3600, 7200]
p4 = 0
p5 = 100
