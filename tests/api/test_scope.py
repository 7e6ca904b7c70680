"""A scoped key's answers equal an unscoped key's answers over a world that holds nothing but its scope.

The test walks the schema: every field of every root field is asked for, so a new one is covered by being there; a new
root field fails the test until somebody says here how to call it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLList, GraphQLNonNull, GraphQLObjectType, get_named_type

from api.graphql.schema import make_schema
from attribution.dimensions import Dimension
from tenants.principal import Role
from tests.api.waiting import eventually
from tests.app import Api, running_api
from tests.engines import EmbeddedClickHouse, fresh_clickhouse_url
from tests.ingest.events import ago, wire_event

SCHEMA = make_schema()._schema
SCOPES = {"tenant": "mine", "team": "my-team", "environment": "my-env"}
COLUMN = {"tenant": "tenant_id", "team": "team", "environment": "environment"}
VOLATILE = {
    "ingestedAt",
    "freshAsOf",
    "createdAt",
    "receivedAt",
    "evaluatedAt",
    "updatedAt",
    "openedAt",
    "burnRate",
    "at",
}
"""When things arrived, and how far time has come since, differs between two worlds by nature."""

TEXTS = [
    "feature",
    "user_id",
    "session_id",
    "request_id",
    "parent_event_id",
    "region",
    "service_name",
    "endpoint",
    "prompt_name",
    "prompt_version",
    "stage",
    "provider_name",
    "request_model",
    "response_model",
    "operation_name",
    "service_tier",
    "cost_category",
    "error_type",
]

RANGE = "timeRange: {preset: LAST_7_DAYS}"
DAILY = "{every: DAY}"
CALLS = {
    "costs": [
        f"costs({RANGE})",
        f"costs({RANGE}, granularity: HOUR, fillBuckets: true, first: 1000)",
        *(
            f"costs({RANGE}, groupBy: [{{dimension: {d.name}}}], orderBy: [{{by: {{dimension: {d.name}}}}}])"
            for d in Dimension
        ),
        f'costs({RANGE}, groupBy: [{{tag: "secret"}}], where: {{or: [{{tenant: {{exists: true}}}}, {{tenant: {{exists: false}}}}]}})',
        f'costs({RANGE}, where: {{tenant: {{eq: "other"}}}})',
        f'costs({RANGE}, where: {{not: {{tenant: {{eq: "mine"}}}}}})',
    ],
    "events": [f"events({RANGE})", f'events({RANGE}, where: {{tenant: {{prefix: ""}}}}, orderBy: EFFECTIVE_COST)'],
    "request": ['request(id: "request_id-mine-1")', 'request(id: "request_id-SECRET-1")', 'request(id: "shared")'],
    "dimensionValues": [
        *(f"dimensionValues(dimension: {d.name}, {RANGE})" for d in Dimension),
        f'dimensionValues(dimension: TENANT, search: "o", {RANGE})',
    ],
    "ingestStatus": ["ingestStatus"],
    "prices": ["prices"],
    "rejectedEvents": ["rejectedEvents", 'rejectedEvents(source: "events", rule: "range")'],
    "repricePreview": ['repricePreview(input: {since: "2026-01-01T00:00:00Z"})'],
    "auditLog": ["auditLog"],
    "budgets": ["budgets"],
    "guardrails": ["guardrails"],
    "breaches": ["breaches"],
    "budgetDryRun": [
        f'budgetDryRun(input: {{name: "x", amount: "0.1", period: {DAILY}, each: {{dimension: {each}}}}}, days: 9)'
        for each in ("USER", "TENANT", "TEAM", "ENVIRONMENT")
    ],
    "statements": ["statements", 'statements(tenant: "SECRET-place")'],
    "statement": ["statement(number: 1)"],
    "statementPreview": ['statementPreview(tenant: "mine")'],
    "tenants": ["tenants", 'tenants(search: "e")'],
    "tiers": ["tiers", 'tiers(key: "secret-tier")'],
    "actualRevenue": [f"actualRevenue({RANGE})", f'actualRevenue({RANGE}, tenant: "SECRET-place")'],
    "profitability": [
        *(f"profitability({RANGE}, by: {by})" for by in ("TENANT", "TIER", "FEATURE", "USER_SEGMENT")),
        f"profitability({RANGE}, granularity: DAY)",
        f'profitability({RANGE}, where: {{tenants: ["SECRET-place"]}})',
    ],
    "tierCharges": [f'tierCharges({RANGE}, tenant: "mine")'],
    "tierSimulation": [f'tierSimulation({RANGE}, tier: "mine-tier", definition: {{periodFee: "9"}})'],
    "tierSuggestion": [
        f'tierSuggestion({RANGE}, tier: "mine-tier", marginPercent: "20", measure: OPERATIONS)',
    ],
    "channels": ["channels"],
    "notifications": ["notifications", "notifications(state: DEAD)"],
    "allocationRules": ["allocationRules"],
    "bills": ["bills"],
    "billLines": [f'billLines(provider: "provider_name-SECRET-1", {RANGE})'],
    "reconciliation": [f'reconciliation(provider: "provider_name-SECRET-1", {RANGE})'],
}


def selection(type_: Any, depth: int = 0) -> str:
    """Everything that can be selected below the type without arguments that must be given."""
    named = get_named_type(type_)
    if not isinstance(named, GraphQLObjectType):
        return ""
    parts = []
    for name, field in named.fields.items():
        if depth > 4 or name in VOLATILE:
            continue
        parts.append(name + selection(field.type, depth + 1))
    return " {" + " ".join(parts) + "}"


def world(scope: str, *, with_others: bool) -> Iterator[dict[str, Any]]:
    """Events inside the scope and, when asked for, others around them that share ids, requests and times."""
    yield from events_of(scope, "mine", inside=True)
    if with_others:
        yield from events_of(scope, "SECRET", inside=False)


def events_of(scope: str, marker: str, *, inside: bool) -> Iterator[dict[str, Any]]:
    place = {"tenant_id": "mine", "team": "my-team", "environment": "my-env"}
    if not inside:
        place[COLUMN[scope]] = "SECRET-place"
    for i in range(6):
        yield wire_event(
            f"{marker}-{i}",
            **place,
            **{name: f"{name}-{marker}-{i % 3}" for name in TEXTS if name != "request_id"},
            request_id=f"request_id-{marker}-1" if i < 4 else "shared",
            start_time=ago(hours=i * 5 + inside),
            status="error" if i == 2 else "ok",
            attempt=1 + i % 2,
            cost={"amount": f"0.{i + 1}"} if i != 3 else None,
            tags={"secret": f"{marker}-{i}"},
        )


FINANCE = ("tiers", "tierCharges", "actualRevenue", "profitability", "tierSimulation", "tierSuggestion")
"""Root fields about revenue, which is a whole tenant's."""


def sell(api: Api, *names: str) -> None:
    """Tiers, who has them and what was paid, for `mine` and others of these names; all of them have `mine-tier`."""
    setting = (
        'a: createTier(input: {key: "%(key)s-tier", name: "%(name)s"}) { errors { code } } '
        'b: setTierTerms(input: {tier: "%(key)s-tier", effectiveFrom: "2026-01-01T00:00:00Z", terms: {periodFee: "31", '
        'markupPercent: "20", seats: {price: "1"}}}) { errors { code } } '
        'c: saveTenant(input: {tenant: "%(tenant)s", externalId: "%(name)s-1"}) { errors { code } } '
        'd: assignTier(input: {tenant: "%(tenant)s", tier: "mine-tier", start: "2026-01-01T00:00:00Z"}) '
        "{ errors { code } }"
    )
    for name in names:
        tenant = {"mine": "mine"}.get(name, f"{name}-place")
        done = api.data("mutation { " + setting % {"key": name.lower(), "name": name, "tenant": tenant} + " }")
        assert not any(payload["errors"] for payload in done.values()), done
        paid = {"id": name, "tenant_id": tenant, "start": str(ago(hours=60))[:10], "end": str(ago(hours=24))[:10]}
        answer = api.client.post(
            "/v1/revenue", json=paid | {"amount": "5"}, headers={"authorization": f"Bearer {api.key}"}
        )
        assert answer.json()["accepted"] == 1, answer.text


def answers(api: Api, key: str) -> dict[str, Any]:
    found = {}
    for root, calls in CALLS.items():
        field = SCHEMA.query_type.fields[root]
        for call in calls:
            answer = api.graphql("{ found: " + call + selection(field.type) + " }", key=key)
            assert "errors" not in answer, (call, answer["errors"][:1])
            found[call] = answer["data"]["found"]
    return found


@pytest.fixture
def two_worlds(embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path) -> Iterator[tuple[Api, Api]]:
    with (
        fresh_clickhouse_url(embedded_clickhouse) as crowded_url,
        fresh_clickhouse_url(embedded_clickhouse) as own_url,
        running_api(crowded_url, tmp_path / "crowded") as crowded,
        running_api(own_url, tmp_path / "own") as own,
    ):
        yield crowded, own


def test_every_root_field_is_walked() -> None:
    assert set(CALLS) == set(SCHEMA.query_type.fields)
    for root in CALLS:
        assert "{" in selection(SCHEMA.query_type.fields[root].type)


@pytest.mark.slow
@pytest.mark.parametrize("scope", SCOPES)
def test_a_scoped_key_sees_its_scope_and_nothing_else(two_worlds: tuple[Api, Api], scope: str) -> None:
    crowded, own = two_worlds
    for api, with_others in ((crowded, True), (own, False)):
        assert api.post_events(list(world(scope, with_others=with_others))).json()["rejected"] == 0
        refused = [event | {"input_tokens": -1} for event in world(scope, with_others=with_others)]
        assert api.post_events(refused).json()["accepted"] == 0
    add_price(crowded, tenant="SECRET-tenant")
    for api in two_worlds:
        set_targets(api, "mine", f'{scope}: {{eq: "{SCOPES[scope]}"}}')
    set_targets(crowded, "SECRET", "")
    for api in two_worlds:
        eventually(lambda api=api: api.data("{ breaches { nodes { id } } }")["breaches"]["nodes"])  # type: ignore[misc]
    sell(own, "mine")
    sell(crowded, "mine", "SECRET")
    scoped = answers(crowded, crowded.make_key(Role.ADMIN, **{scope: SCOPES[scope]}))
    everything = answers(own, own.make_key(Role.ADMIN))
    for process_wide in ("counters", "spool"):
        assert scoped["ingestStatus"].pop(process_wide) is None
        assert everything["ingestStatus"].pop(process_wide) is not None
    assert scoped.pop("auditLog") is None
    assert everything.pop("auditLog") is not None
    if scope != "tenant":  # statements and revenue cover whole tenants
        for call in (call for root in FINANCE for call in CALLS[root]):
            assert scoped.pop(call) is None
            assert everything.pop(call) is not None
        assert scoped.pop(CALLS["statementPreview"][0]) is None
        assert everything.pop(CALLS["statementPreview"][0])["lines"]
    assert "SECRET" not in repr(list(scoped.values()))
    assert scoped == everything
    assert "SECRET" in repr(
        crowded.data("{ " + CALLS["events"][0] + selection(SCHEMA.type_map["EventConnection"]) + " }")
    )


def set_targets(api: Api, name: str, where: str) -> None:
    """A budget for each tenant that is breached, and a guardrail, of what the filter selects."""
    common = f'name: "{name}", team: "my-team", where: {{{where}}}, playbook: "{name}"'
    span = f'{{between: {{start: "{ago(days=3)}", end: "{ago(days=-3)}"}}}}'
    for mutation in (
        f'createBudget(input: {{{common}, amount: "0.1", period: {span}, each: {{dimension: TENANT}}}})',
        f'createGuardrail(input: {{{common}, measure: ERROR_RATE, bound: "0.1", intervalMinutes: 1440}})',
    ):
        (answer,) = api.data(f"mutation {{ {mutation} {{ errors {{ code }} }} }}").values()
        assert answer == {"errors": []}


def add_price(api: Api, **fields: str) -> Any:
    given = ", ".join(f'{name}: "{value}"' for name, value in fields.items())
    query = (
        'mutation { addPrice(input: {provider: "SECRET", unit: "gb", price: "1", '
        f'effectiveFrom: "2026-01-01T00:00:00Z", {given}}}) {{ price {{ id }} errors {{ code }} }} }}'
    )
    return api.data(query)["addPrice"]


def test_money_needs_finance_and_stays_in_scope(embedded_api: Api) -> None:
    api = embedded_api
    mutation = (
        'mutation { addPrice(input: {provider: "p", unit: "gb", price: "1", effectiveFrom: "2026-01-01T00:00:00Z", '
        'tenant: "%s"}) { price { id tenant } errors { code } } }'
    )
    for role in (Role.VIEWER, Role.EDITOR, Role.INGEST):
        for query in ("{ prices { id } }", mutation % "mine"):
            errors = api.graphql(query, key=api.make_key(role))["errors"]
            assert errors[0]["extensions"]["code"] == "FORBIDDEN"
    mine = api.make_key(Role.FINANCE, tenant="mine")
    assert api.data(mutation % "mine", key=mine)["addPrice"]["price"]["tenant"] == "mine"
    for tenant in ("", "other"):
        assert api.graphql(mutation % tenant, key=mine)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    teams = api.make_key(Role.FINANCE, team="my-team")
    assert api.graphql(mutation % "mine", key=teams)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert api.data("{ prices { id } }", key=teams)["prices"] == []


def test_selection_walks_lists_and_wrappers() -> None:
    connection = GraphQLNonNull(GraphQLList(SCHEMA.type_map["CostConnection"]))
    assert "costShare" in selection(connection)


def test_revenue_needs_finance_and_only_unscoped_keys_change_tiers(embedded_api: Api) -> None:
    api = embedded_api
    sell(api, "mine")
    fields = [call + selection(SCHEMA.query_type.fields[root].type) for root in FINANCE for call in CALLS[root]]
    changes = [
        'createTier(input: {key: "x", name: "X"}) { errors { code } }',
        'updateTier(input: {key: "mine-tier", name: "X"}) { errors { code } }',
        'setTierTerms(input: {tier: "mine-tier", effectiveFrom: "2026-01-01T00:00:00Z", terms: {}}) { errors { code } }',
        'saveTenant(input: {tenant: "mine", name: "X"}) { errors { code } }',
        'assignTier(input: {tenant: "mine", start: "2026-01-01T00:00:00Z"}) { errors { code } }',
    ]
    for role in (Role.VIEWER, Role.EDITOR, Role.INGEST):
        key = api.make_key(role)
        for query in ("{ " + field + " }" for field in fields):
            assert api.graphql(query, key=key)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        assert _post_revenue(api, key, "mine").status_code == 403
    for key in (
        api.make_key(Role.VIEWER),
        api.make_key(Role.FINANCE, tenant="mine"),
        api.make_key(Role.ADMIN, team="t"),
    ):
        for change in changes:
            answer = api.graphql("mutation { " + change + " }", key=key)
            assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


def test_a_viewer_sees_who_has_which_tier_and_not_on_which_terms(embedded_api: Api) -> None:
    api = embedded_api
    sell(api, "mine")
    override = (
        'mutation { assignTier(input: {tenant: "mine", tier: "mine-tier", start: "2026-01-01T00:00:00Z", '
        'overrides: {periodFee: "7"}}) { tenant { assignments { overrides { periodFee } } } } }'
    )
    (assignment,) = api.data(override)["assignTier"]["tenant"]["assignments"]
    assert assignment["overrides"]["periodFee"] == "7"
    query = "{ tenants { nodes { tenant tier assignments { tier overrides { periodFee } } } } }"
    (mine,) = api.data(query, key=api.make_key(Role.VIEWER))["tenants"]["nodes"]
    assert mine["tier"] == "mine-tier"
    assert mine["assignments"] == [{"tier": "mine-tier", "overrides": None}]


def test_revenue_is_entered_for_whole_tenants_in_scope_only(embedded_api: Api) -> None:
    api = embedded_api
    mine = api.make_key(Role.FINANCE, tenant="mine")
    assert _post_revenue(api, mine, "mine").json()["accepted"] == 1
    (refusal,) = _post_revenue(api, mine, "other").json()["errors"]
    assert (refusal["code"], refusal["field"]) == ("FORBIDDEN", "tenant_id")
    assert _post_revenue(api, api.make_key(Role.FINANCE, team="t"), "mine").status_code == 403


def test_revenue_stays_its_tenants_unless_a_key_without_a_scope_moves_it(embedded_api: Api) -> None:
    api = embedded_api
    mine, other = (api.make_key(Role.FINANCE, tenant=tenant) for tenant in ("mine", "other"))
    assert _post_revenue(api, mine, "mine").json()["accepted"] == 1
    stolen = _post_revenue(api, other, "other").json()
    assert (stolen["accepted"], stolen["corrected"], stolen["errors"][0]["code"]) == (0, 0, "FORBIDDEN")
    assert "mine" not in stolen["errors"][0]["message"]
    assert _paid(api, mine) == [("mine", "5")]
    assert _post_revenue(api, api.key, "other").json()["corrected"] == 1
    assert (_paid(api, mine), _paid(api, other)) == ([], [("other", "5")])


def test_revenue_is_withdrawn_in_scope_only_and_on_record(embedded_api: Api) -> None:
    api = embedded_api
    mine, other = (api.make_key(Role.FINANCE, tenant=tenant) for tenant in ("mine", "other"))
    _post_revenue(api, mine, "mine")
    assert [_withdraw(api, key) for key in (other, api.make_key(Role.FINANCE, team="t"))] == [404, 403]
    assert _paid(api, mine) == [("mine", "5")]
    withdraw = 'mutation { withdrawRevenue(source: "api", id: "1") { errors { code } } }'
    assert api.graphql(withdraw, key=other)["data"]["withdrawRevenue"]["errors"] == [{"code": "NO_SUCH_REVENUE"}]
    assert api.graphql(withdraw, key=mine)["data"]["withdrawRevenue"]["errors"] == []
    _post_revenue(api, mine, "mine")
    assert [_withdraw(api, mine) for _ in range(2)] == [204, 404]
    assert _paid(api, mine) == []
    newest = api.data("{ auditLog(first: 1) { nodes { action target } } }")["auditLog"]["nodes"]
    assert newest == [{"action": "WITHDRAW_REVENUE", "target": "revenue api 1"}]


def _withdraw(api: Api, key: str) -> int:
    return int(api.client.delete("/v1/revenue/api/1", headers={"authorization": f"Bearer {key}"}).status_code)


def _paid(api: Api, key: str) -> list[tuple[str, str]]:
    days = 'timeRange: {between: {start: "2026-10-01T00:00:00Z", end: "2026-11-01T00:00:00Z"}}'
    found = api.graphql(f"{{ actualRevenue({days}) {{ nodes {{ tenant amount }} }} }}", key=key)["data"]
    return [(node["tenant"], node["amount"]) for node in found["actualRevenue"]["nodes"]]


def _post_revenue(api: Api, key: str, tenant: str) -> Any:
    item = {"id": "1", "tenant_id": tenant, "period": "2026-10", "amount": "5"}
    return api.client.post("/v1/revenue", json=item, headers={"authorization": f"Bearer {key}"})
