"""Reports in a form that is easy to compare, and questions that many tests ask."""

from __future__ import annotations

from attribution.measures import Measure
from attribution.query import Attribute, CostQuery, Page
from attribution.report import CostReport
from tenants.scope import Scope
from tests.attribution.factories import ALL_TIME
from tests.attribution.oracle import Answer, Group


def content(report: CostReport) -> Answer:
    """The report in the oracle's form."""
    buckets = [(bucket.start, bucket.end) for bucket in report.buckets] or [None] * report.size
    return Answer(
        groups=[
            Group(
                tuple(values[i] for values in report.keys),
                buckets[i],
                {measure: values[i] for measure, values in report.measures.items()},
            )
            for i in range(report.size)
        ],
        totals=report.totals,
        group_count=report.group_count,
    )


def costs_by(*group_by: Attribute) -> CostQuery:
    """What everything cost, by these."""
    return CostQuery(Scope(), ALL_TIME, (Measure.EFFECTIVE_COST,), group_by=group_by, page=Page(10_000))
