"""What Hypothesis draws for the heart: queries that mean something over the rows of the factories."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from attribution.dimensions import Dimension, ValueType
from attribution.measures import Measure, MeasureType
from attribution.query import (
    EVERYTHING,
    All,
    Attribute,
    Bucket,
    Condition,
    CostQuery,
    Filter,
    MeasureBound,
    Not,
    Operator,
    Order,
    Page,
    Tag,
    value_type,
)
from attribution.query import Any as AnyOf
from core.time import Granularity, Window
from tenants.scope import Scope
from tests.attribution.factories import ALL_TIME, HOSTILE_TEXTS, TURNS, ZONES

attributes: Final = st.sampled_from([*Dimension, Tag("plan"), Tag("b'\\"), Tag("é"), Tag("absent")])
zones: Final = st.sampled_from(ZONES).map(ZoneInfo)
measures: Final = st.lists(st.sampled_from(list(Measure)), max_size=6, unique=True).map(tuple)

_texts = st.sampled_from(
    [
        "",
        "acme",
        "ACME",
        "search",
        "ada",
        "ada ",
        "r1",
        "gpt",
        "gold",
        "é",
        "É",
        "初",
        "production",
        "ok",
        *HOSTILE_TEXTS,
    ]
)
_numbers = st.sampled_from([-1, 0, 1, 2, 3, 7, 23, 120, 167, 65_535])

_VALUES: Final[dict[ValueType, Any]] = {
    ValueType.TEXT: _texts,
    ValueType.INTEGER: _numbers,
    ValueType.FLAG: st.booleans(),
}
_SETS = [Operator.ANY_OF, Operator.NONE_OF]
_OPERATORS: Final[dict[ValueType, list[Operator]]] = {
    ValueType.TEXT: list(Operator),
    ValueType.INTEGER: [*_SETS, Operator.AT_LEAST, Operator.AT_MOST],
    ValueType.FLAG: _SETS,
}


@st.composite
def conditions(draw: st.DrawFn, attribute: Attribute | None = None) -> Condition:
    """A comparison that suits the attribute's type."""
    attribute = attribute or draw(attributes)
    type_ = value_type(attribute)
    operator = draw(st.sampled_from(_OPERATORS[type_]))
    if operator is Operator.EXISTS:
        return Condition(attribute, operator, (draw(st.booleans()),))
    fewest, most = (0, 4) if operator in _SETS else (1, 1)
    return Condition(attribute, operator, tuple(draw(st.lists(_VALUES[type_], min_size=fewest, max_size=most))))


def _nested(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(parts, max_size=3).map(tuple)
    return several.map(All) | several.map(AnyOf) | parts.map(Not)


filters: Final[st.SearchStrategy[Filter]] = st.recursive(conditions(), _nested, max_leaves=6)

_BOUNDS: Final[dict[MeasureType, list[str]]] = {
    MeasureType.MONEY: ["-0.01", "0", "0.000000000001", "0.01", "0.333333333333", "1", "999999.999999999999"],
    MeasureType.COUNT: ["0", "1", "2", "5", "4294967295"],
    MeasureType.RATIO: ["0", "0.25", "0.5", "1"],
    MeasureType.MILLISECONDS: ["0", "1", "5", "100.5", "4294967295"],
    MeasureType.INSTANT: ["0", "1772452800000000"],
}


@st.composite
def bounds(draw: st.DrawFn) -> MeasureBound:
    """Bounds near values that occur."""
    measure = draw(st.sampled_from(list(Measure)))
    limits = st.none() | st.sampled_from(_BOUNDS[measure.spec.type]).map(Decimal)
    return MeasureBound(measure, draw(limits), draw(limits))


_SPANS: Final[dict[Granularity | None, list[timedelta]]] = {
    None: [timedelta(microseconds=1), timedelta(hours=5), timedelta(days=400)],
    Granularity.MINUTE: [timedelta(seconds=90), timedelta(hours=3)],
    Granularity.HOUR: [timedelta(minutes=1), timedelta(days=3)],
    Granularity.DAY: [timedelta(hours=1), timedelta(days=3), timedelta(days=40)],
    Granularity.WEEK: [timedelta(days=1), timedelta(days=80)],
    Granularity.MONTH: [timedelta(days=1), timedelta(days=500)],
    Granularity.QUARTER: [timedelta(days=1), timedelta(days=900)],
    Granularity.YEAR: [timedelta(days=1), timedelta(days=9_000)],
}


@st.composite
def windows(draw: st.DrawFn, granularity: Granularity | None = None) -> Window:
    """A span that begins shortly before an instant over which calendars fall out, told in some zone."""
    start = draw(st.sampled_from(TURNS)) - draw(
        st.sampled_from([timedelta(), timedelta(minutes=31), timedelta(days=2)])
    )
    end = start + draw(st.sampled_from(_SPANS[granularity]))
    zone = draw(zones)
    return Window(start.astimezone(zone), end.astimezone(zone))


scopes: Final = st.builds(
    Scope,
    tenant=st.none() | st.sampled_from(["acme", "Acme", HOSTILE_TEXTS[0], "nobody"]),
    team=st.none() | st.none() | st.sampled_from(["", "search"]),
    environment=st.none() | st.none() | st.sampled_from(["production", ""]),
)


@st.composite
def queries(draw: st.DrawFn, *, most_keys: int = 3) -> CostQuery:
    """Any question the factories' rows give an answer to."""
    granularity = draw(st.sampled_from([None, *Granularity]))
    fill = granularity is not None and draw(st.booleans())
    group_by = tuple(draw(st.lists(attributes, max_size=1 if fill else most_keys, unique=True)))
    orders = [*Measure, *group_by, *([Bucket.START] if granularity else [])]
    bounded = fill or draw(st.booleans())
    return CostQuery(
        scope=draw(st.just(Scope()) | scopes),
        window=draw(windows(granularity)) if bounded else ALL_TIME,
        measures=draw(measures),
        timezone=draw(zones),
        group_by=group_by,
        granularity=granularity,
        where=draw(st.just(EVERYTHING) | filters),
        having=tuple(draw(st.lists(bounds(), max_size=2))) if draw(st.booleans()) else (),
        order_by=tuple(draw(st.lists(st.builds(Order, st.sampled_from(orders), st.booleans()), max_size=2))),
        fill_buckets=fill,
        page=Page(draw(st.sampled_from([10_000, 10_000, 7, 1])), draw(st.sampled_from([0, 0, 1, 5]))),
    )
