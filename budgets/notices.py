"""What there is to tell about breaches, in the words of the topics that channels know. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import Session

from attribution.measures import MeasureType
from budgets.access import scope_of
from budgets.contributors import Contributor, dimension_of
from budgets.definition import GuardrailTerms
from budgets.judging import Finding, Known
from budgets.models import Resolution
from budgets.status import BudgetStatus, GuardrailStatus
from budgets.targets import Definition
from core.money import plain
from tenants.scope import Scope


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell the channels, of the target of a team. Keys with a scope other than `scope` do not see it.

    `dedupe_key` names what happened: told twice, it is told once.
    """

    topic: str
    payload: dict[str, Any]
    channels: Sequence[str]
    team: str
    scope: Scope
    dedupe_key: str


_UNITS: Final = {MeasureType.MILLISECONDS: "ms"}

Tell = Callable[[Session, Notice], None]
"""Takes a notice into the session's transaction: it is told exactly when that is committed."""


def opened(finding: Finding, breach_id: int, openings: int, drivers: Sequence[Contributor], currency: str) -> Notice:
    """A threshold was crossed."""
    terms = finding.definition.terms
    payload = _about(finding.definition, breach_id, finding.key.member, currency) | {
        "contributors": [{"name": each.name, "value": plain(each.value)} for each in drivers],
        "contributorsBy": dimension_of(terms).spec.name,
    }
    if isinstance(finding.status, BudgetStatus):
        payload |= _budget_facts(finding, finding.status)
    else:
        payload |= _guardrail_facts(finding, finding.status)
    return _notice(finding.definition, f"{finding.definition.kind.value}", "opened", payload, breach_id, openings)


def resolved(definition: Definition, known: Known, resolution: Resolution, openings: int, currency: str) -> Notice:
    """A breach is over."""
    payload = _about(definition, known.id, known.key.member, currency) | {
        "reason": resolution.value,
        "threshold": threshold_text(definition, known.key.threshold),
        "periodStart": known.key.period_start.isoformat(),
        "periodEnd": known.period_end.isoformat(),
    }
    return _notice(definition, definition.kind.value, "resolved", payload, known.id, openings)


def threshold_text(definition: Definition, key: str) -> str:
    """The threshold as people say it: `80 % of the budget`, or `above 2000`."""
    basis, number = key.split(":")
    if isinstance(definition.terms, GuardrailTerms):
        return f"{basis} {number}"
    return f"{number} % of the budget" if basis == "actual" else f"{number} % of the budget by forecast"


def _notice(
    definition: Definition, kind: str, what: str, payload: dict[str, Any], breach_id: int, openings: int
) -> Notice:
    topic = f"breach.{what}" if kind == "budget" else f"guardrail.{what}"
    key = f"breach:{breach_id}:{what}:{openings}"
    terms = definition.terms
    return Notice(topic, payload, terms.channels, terms.team, scope_of(terms.where), key)


def _about(definition: Definition, breach_id: int, member: str, currency: str) -> dict[str, Any]:
    terms = definition.terms
    return {
        "breachId": breach_id,
        definition.kind.value: terms.name,
        "measure": terms.measure.spec.name,
        "member": member or None,
        "team": terms.team or None,
        "playbook": terms.playbook or None,
        "unit": currency if terms.measure.spec.type is MeasureType.MONEY else _UNITS.get(terms.measure.spec.type),
    }


def _budget_facts(finding: Finding, status: BudgetStatus) -> dict[str, Any]:
    forecast = status.forecast
    reached = forecast.reaches_limit_at if forecast else None
    return {
        "threshold": threshold_text(finding.definition, finding.key.threshold),
        "spent": plain(status.spent),
        "limit": plain(status.limit),
        "remaining": plain(status.remaining),
        "forecast": plain(forecast.amount) if forecast else None,
        "projectedBreachAt": reached.isoformat(timespec="minutes") if reached else None,
        "periodStart": finding.period.start.isoformat(),
        "periodEnd": finding.period.end.isoformat(),
    }


def _guardrail_facts(finding: Finding, status: GuardrailStatus) -> dict[str, Any]:
    return {
        "threshold": threshold_text(finding.definition, finding.key.threshold),
        "value": plain(finding.observed),
        "bound": plain(finding.bound),
        "intervals": status.beyond_in_a_row,
        "operations": status.operations,
        "severity": status.terms.severity.value,
        "since": finding.period.start.isoformat(),
    }
