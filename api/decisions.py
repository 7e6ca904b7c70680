"""`POST /v1/decisions`: may this operation go ahead? For gateways, which ask before they spend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.auth import guarded
from api.services import Services
from attribution.dimensions import Dimension, ValueType
from attribution.query import All, Condition, Operator
from budgets.access import is_visible
from budgets.decisions import Asked, Decision, Standing
from budgets.matching import COMPUTED, Facts, wire_name
from budgets.usage import Usage
from core.errors import Forbidden, InvalidInput, TooLarge
from core.money import parse_amount, plain
from tenants.principal import Permission, Principal
from tenants.scope import Scope

MAX_BODY_BYTES: Final = 32_000
_SIDES: Final = {"tenant_id": "tenant", "team": "team", "environment": "environment"}

Text = Annotated[str, Meta(max_length=500)]
Amount = Annotated[str, Meta(max_length=60)]
Tokens = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Seconds = Annotated[int, Meta(ge=1, le=600)]

_TYPES: Final[dict[ValueType, tuple[Any, Any]]] = {
    ValueType.TEXT: (Text, ""),
    ValueType.INTEGER: (int | None, None),
    ValueType.FLAG: (bool | None, None),
}
_COLUMNS: Final = {wire_name(d): _TYPES[d.spec.type] for d in Dimension if d not in COMPUTED}


class Terms(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a caller says besides the dimensions: estimates, the id its event will have, and how long to hold."""

    estimated_cost: Amount = "0"
    estimated_input_tokens: Tokens = 0
    estimated_output_tokens: Tokens = 0
    event_id: Annotated[str, Meta(max_length=256)] = ""
    ttl_seconds: Seconds = 60
    tags: dict[str, Text] = {}


DecisionRequest = msgspec.defstruct(
    "DecisionRequest",
    [(name, type_, default) for name, (type_, default) in _COLUMNS.items()],
    bases=(Terms,),
    kw_only=True,
    forbid_unknown_fields=True,
)
"""The operation to come, in the names of an event: every dimension that is not worked out from others."""


class Settlement(Struct, forbid_unknown_fields=True):
    """What the operation really took."""

    cost: Amount = "0"
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0


class BudgetAnswer(Struct):
    """A budget as far as this operation is concerned. Amounts are decimal texts in the budget's measure."""

    id: str
    name: str
    member: str | None
    measure: str
    limit: str
    spent: str
    reserved: str
    remaining: str
    until: datetime | None


class DecisionAnswer(Struct):
    """The decision. `budget` is null where none matched, or where it counts more than the key may see."""

    allowed: bool
    reason: str
    stale: bool
    evaluated_at: datetime
    budget: BudgetAnswer | None
    reservation: str | None
    expires_at: datetime | None


class UnreadableDecision(InvalidInput):
    """The body is no decision request."""

    code = "UNREADABLE_DECISION"


class DecisionTooLarge(TooLarge):
    """The body is larger than such a question is."""

    def __init__(self) -> None:
        super().__init__(f"a decision request has at most {MAX_BODY_BYTES:,} bytes")


class NotYours(Forbidden):
    """The key's scope does not cover that operation."""

    def __init__(self, name: str) -> None:
        super().__init__(f"this key may only ask for its own {name}; leave {name} out")


_REQUEST: Final = msgspec.json.Decoder(DecisionRequest)
_SETTLEMENT: Final = msgspec.json.Decoder(Settlement)


def decision_routes(services: Services) -> list[Route]:
    """The routes. Each needs a key that may send."""
    decisions = Decisions(services)
    endpoints = {"": decisions.decide, "/{id}/settle": decisions.settle}
    posts = [
        Route(f"/v1/decisions{path}", guarded(endpoint, services, Permission.SEND), methods=["POST"])
        for path, endpoint in endpoints.items()
    ]
    release = guarded(decisions.release, services, Permission.SEND)
    return [*posts, Route("/v1/decisions/{id}", release, methods=["DELETE"])]


class Decisions:
    """The endpoints of one process' decider."""

    def __init__(self, services: Services) -> None:
        self._decider = services.watch.decider
        self._tiers = services.money.tier_mirror

    async def decide(self, request: Request) -> Response:
        """`POST /v1/decisions`: 200 whatever the answer."""
        principal: Principal = request.state.principal
        now = datetime.now(UTC)
        asked = self._asked(_decoded(_REQUEST, await _body(request)), principal.scope, now)
        decision = self._decider.decide(asked, now)
        return _json(_answer(decision, principal.scope))

    async def settle(self, request: Request) -> Response:
        """`POST /v1/decisions/{id}/settle`: what it really took, ahead of its event. 204."""
        principal: Principal = request.state.principal
        said: Settlement = _decoded(_SETTLEMENT, await _body(request))
        usage = Usage(_amount(said.cost), said.input_tokens, said.output_tokens)
        self._decider.settle(request.path_params["id"], principal.scope, usage, datetime.now(UTC))
        return Response(status_code=204)

    async def release(self, request: Request) -> Response:
        """`DELETE /v1/decisions/{id}`: it did not happen. 204."""
        principal: Principal = request.state.principal
        self._decider.release(request.path_params["id"], principal.scope)
        return Response(status_code=204)

    def _asked(self, said: Any, scope: Scope, now: datetime) -> Asked:
        columns = {name: value for name in _COLUMNS if (value := getattr(said, name)) not in {"", None}}
        _confine(columns, scope)
        tenant_id = str(columns.get("tenant_id", ""))
        span = self._tiers.span(tenant_id, now)
        usage = Usage(_amount(said.estimated_cost), said.estimated_input_tokens, said.estimated_output_tokens)
        return Asked(
            facts=Facts(columns, said.tags, now, span.tier if span else "", span.assignment if span else ""),
            usage=usage,
            event_id=said.event_id,
            request_id=str(columns.get("request_id", "")),
            patience=timedelta(seconds=said.ttl_seconds),
        )


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise DecisionTooLarge
    return body


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableDecision(str(error)) from None


def _confine(columns: dict[str, Any], scope: Scope) -> None:
    """The operation as one within the scope. Raises NotYours when it says that it is not."""
    for name, side in _SIDES.items():
        own = getattr(scope, side)
        if own is not None and columns.setdefault(name, own) != own:
            raise NotYours(name)


def _amount(text: str) -> Decimal:
    amount = parse_amount(text)
    if amount < 0:
        raise UnreadableDecision(f"a cost of {text} is below zero")
    return amount


def _answer(decision: Decision, scope: Scope) -> DecisionAnswer:
    standing, reservation = decision.standing, decision.reservation
    return DecisionAnswer(
        allowed=decision.allowed,
        reason=decision.reason.value,
        stale=decision.stale,
        evaluated_at=decision.evaluated_at,
        budget=_budget(standing, granted=decision.allowed) if standing and _shows(standing, scope) else None,
        reservation=reservation.id if reservation else None,
        expires_at=reservation.expires_at if reservation else None,
    )


def _shows(standing: Standing, scope: Scope) -> bool:
    """Whether the budget, or the member of it, counts nothing outside of the scope."""
    terms, member = standing.state.terms, standing.member
    own = () if terms.each is None or member is None else (Condition(terms.each, Operator.ANY_OF, (member,)),)
    return is_visible(All((*own, terms.where)), scope)


def _budget(standing: Standing, *, granted: bool) -> BudgetAnswer:
    """`reserved` and `remaining` are as they are now: with what was just granted."""
    taken = standing.wanted if granted else Decimal(0)
    return BudgetAnswer(
        id=str(standing.state.budget_id),
        name=standing.state.terms.name,
        member=standing.member,
        measure=standing.state.terms.measure.spec.name,
        limit=plain(standing.limit),
        spent=plain(standing.spent),
        reserved=plain(standing.held + taken),
        remaining=plain(standing.remaining - taken),
        until=standing.until,
    )


def _json(answer: Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
