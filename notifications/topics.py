"""What people and systems can be told, and in which words: one entry a topic, for every kind of channel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is told.

    `headline` names keys of the payload; `facts` are the lines below it, as (label, key of the payload), and those that
    the payload does not hold are left out. What `tells_revenue` is shown to keys that may see revenue.
    """

    name: str
    description: str
    headline: str
    facts: tuple[tuple[str, str], ...] = ()
    tells_revenue: bool = False


_MONEY = (("Spent", "spent"), ("Limit", "limit"), ("Left", "remaining"), ("Forecast", "forecast"))
_BREACH = (
    ("Measure", "measure"),
    ("Threshold", "threshold"),
    *_MONEY,
    ("Limit reached", "projectedBreachAt"),
    ("Period", "period"),
    ("Member", "member"),
    ("Team", "team"),
)
_GUARDRAIL = (
    ("Measured", "value"),
    ("Bound", "bound"),
    ("Threshold", "threshold"),
    ("Intervals in a row", "intervals"),
    ("Operations", "operations"),
    ("Severity", "severity"),
    ("Since", "since"),
    ("Member", "member"),
    ("Team", "team"),
)


@unique
class Topic(Enum):
    """Everything that is told."""

    BREACH_OPENED = TopicSpec(
        "breach.opened", "A budget crossed one of its thresholds.", "{budget} has reached {threshold}", _BREACH
    )
    BREACH_RESOLVED = TopicSpec(
        "breach.resolved",
        "A breach is over: the period ended, or the spend was corrected below the threshold.",
        "Over: {budget} had reached {threshold}",
        (("Because", "reason"), *_BREACH),
    )
    GUARDRAIL_OPENED = TopicSpec(
        "guardrail.opened",
        "A guardrail's measure left its bound for long enough.",
        "{guardrail}: {measure} is {value}",
        _GUARDRAIL,
    )
    GUARDRAIL_RESOLVED = TopicSpec(
        "guardrail.resolved",
        "A guardrail's measure is back within its bound.",
        "Over: {guardrail} was {threshold}",
        (("Because", "reason"), *_GUARDRAIL),
    )
    STATEMENT_CLOSED = TopicSpec(
        "statement.closed",
        "A tenant's period was closed into a statement.",
        "Statement {number} of {tenant} is closed",
        (("Period", "period"), ("Total", "total"), ("Currency", "currency"), ("Checksum", "checksum")),
        tells_revenue=True,
    )
    DIGEST_WEEKLY = TopicSpec(
        "digest.weekly",
        "A team's week: its spend, its budgets and what drove them.",
        "The week of {team}: {spent} spent",
        (
            ("Week", "period"),
            ("Spent", "spent"),
            ("Week before", "previous"),
            ("Change", "change"),
            ("Breaches", "breaches"),
            ("Budgets", "budgets"),
        ),
    )
    TEST = TopicSpec(
        "test", "Sent by hand, to try a channel.", "Apportion can reach {channel}", (("Sent by", "sentBy"),)
    )

    @property
    def spec(self) -> TopicSpec:
        """The declaration."""
        return self.value


BY_NAME: dict[str, Topic] = {topic.spec.name: topic for topic in Topic}
