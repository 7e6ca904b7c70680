"""What budgets and guardrails have in common in GraphQL: enums, groupings, and who may touch which."""

from __future__ import annotations

import json

import strawberry

import api.graphql.inputs  # noqa: F401 - makes GraphQL enums of the registries, before anything here names one
from api.graphql.context import Context
from api.graphql.naming import described_enum
from attribution.dimensions import Dimension
from attribution.filters import filter_document
from attribution.query import Attribute, Filter, Tag
from budgets.access import OutsideScope, T, confined, is_own, is_visible
from budgets.definition import Basis, Mode, Severity, Side
from budgets.models import Kind
from budgets.periods import Weekday
from budgets.targets import ChangedMeanwhile, Definition, NoSuchTarget
from core.errors import InvalidInput
from tenants.principal import Permission
from tenants.scope import Scope

described_enum(
    Mode,
    "BudgetMode",
    "What reaching the limit does.",
    {
        Mode.NOTIFY: "People are told.",
        Mode.ENFORCE: "People are told, and the decision endpoint denies what goes beyond.",
    }.__getitem__,
)
described_enum(
    Basis,
    "ThresholdBasis",
    "What a threshold is compared with.",
    {
        Basis.ACTUAL: "What is spent.",
        Basis.FORECAST: "What will have been spent by the period's end.",
    }.__getitem__,
)
described_enum(
    Side,
    "GuardrailSide",
    "On which side of its bound a guardrail is broken.",
    {
        Side.ABOVE: "Above the bound.",
        Side.BELOW: "Below the bound.",
    }.__getitem__,
)
described_enum(
    Severity,
    "Severity",
    "How bad it is.",
    {
        Severity.INFO: "Good to know.",
        Severity.WARNING: "To be looked at.",
        Severity.CRITICAL: "To be looked at now.",
    }.__getitem__,
)
described_enum(
    Kind,
    "TargetKind",
    "What a breach is one of.",
    {
        Kind.BUDGET: "A budget.",
        Kind.GUARDRAIL: "A guardrail.",
    }.__getitem__,
)
described_enum(Weekday, "Weekday", "A day of the week.", lambda day: f"{day.name.capitalize()}.")


class BadTargetId(InvalidInput):
    """The text is no id."""

    code = "BAD_ID"
    field = "id"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no id; the lists of budgets, guardrails and breaches show them")


@strawberry.type(description="A dimension, or a tag: exactly one of the two.")
class Grouping:
    """What members are told apart by."""

    dimension: Dimension | None = strawberry.field(description="The dimension.")
    tag: str | None = strawberry.field(description="The tag's key.")


def grouping(attribute: Attribute | None) -> Grouping | None:
    """The attribute in GraphQL's shape."""
    if attribute is None:
        return None
    if isinstance(attribute, Tag):
        return Grouping(dimension=None, tag=attribute.key)
    return Grouping(dimension=attribute, tag=None)


def filter_text(where: Filter) -> str:
    """The filter as JSON, in the spelling of `budgets.yaml`."""
    return json.dumps(filter_document(where), ensure_ascii=False)


def number(id_: str) -> int:
    """The number that the id is. Raises BadTargetId."""
    if not (id_.isascii() and id_.isdecimal() and len(id_) <= 9):
        raise BadTargetId(id_)
    return int(id_)


def visible(context: Context, kind: Kind, scope: Scope) -> list[Definition]:
    """The live targets of that kind that lie within the scope, oldest first."""
    definitions = context.services.watch.targets.all()
    return [each for each in definitions if each.kind is kind and is_visible(each.terms.where, scope)]


def visible_one(context: Context, kind: Kind, id_: str, scope: Scope) -> Definition:
    """The target of that id. Raises NoSuchTarget when there is none within the scope."""
    definition = context.services.watch.targets.find(kind, number(id_))
    if not is_visible(definition.terms.where, scope):
        raise NoSuchTarget(kind, id_)
    return definition


def editable(context: Context, kind: Kind, id_: str) -> Definition:
    """The target, for a caller who may change it. Raises NotAllowed, NoSuchTarget or OutsideScope."""
    scope = context.scope(Permission.EDIT)
    definition = visible_one(context, kind, id_, scope)
    if not is_own(definition.terms.team, scope):
        raise OutsideScope(f"it belongs to team {definition.terms.team!r}")
    return definition


def settable(context: Context, terms: T) -> T:
    """The terms as the caller may set them. Raises NotAllowed, and OutsideScope when they tell another team's channel.

    Everybody's channels may be named by all; names without a channel become dead letters, which their team sees.
    """
    scope = context.scope(Permission.EDIT)
    if not scope.unrestricted and terms.channels:
        channels = {each.name: each.team for each in context.services.telling.channels.every()}
        for name in terms.channels:
            if channels.get(name) not in {None, scope.team}:
                raise OutsideScope(f"channel {name!r} belongs to another team")
    return confined(terms, scope)


def at_version(definition: Definition, version: int) -> Definition:
    """The definition, when it is at that version. Raises ChangedMeanwhile."""
    if definition.version != version:
        raise ChangedMeanwhile(definition.kind, definition.terms.name, version)
    return definition
