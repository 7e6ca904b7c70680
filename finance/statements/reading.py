"""Reading statements within a caller's scope. Statements cover whole tenants: who sees less sees none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from core.database import Database
from core.errors import InvalidInput
from finance.statements import books
from finance.statements.books import NoSuchStatement, Statement
from finance.statements.closing import OutsideStatements, covers_tenants, sees
from finance.statements.period import BillingPeriod
from tenants.scope import Scope


class MissingTenant(InvalidInput):
    """A preview is one tenant's."""

    code = "MISSING_TENANT"

    def __init__(self) -> None:
        super().__init__("say whose preview: it is made for one tenant")
        self.field = "tenant"


@dataclass(frozen=True, slots=True)
class StatementQuery:
    """At most `first` statements that `scope` may see, in the order of their numbers, after that number."""

    scope: Scope
    period: BillingPeriod | None = None
    tenant_id: str | None = None
    after: int = 0
    first: int = 100

    @classmethod
    def of(cls, scope: Scope, period: str | None, tenant_id: str | None, *, after: int, first: int) -> Self:
        """The query with its month as text. Raises InvalidPeriod."""
        return cls(scope, BillingPeriod.parse(period) if period else None, tenant_id, after, first)


@dataclass(frozen=True, slots=True)
class StatementPage:
    """Statements, and whether there are more."""

    statements: list[Statement]
    has_next: bool


def find(database: Database, query: StatementQuery) -> StatementPage:
    """The page of statements that the query selects."""
    tenant = query.scope.tenant if query.tenant_id is None else query.tenant_id
    if not covers_tenants(query.scope) or query.scope.tenant not in {None, tenant}:
        return StatementPage([], has_next=False)
    with database.session() as session:
        rows = books.page(session, tenant_id=tenant, period=query.period, after=query.after, first=query.first + 1)
    return StatementPage(list(rows[: query.first]), has_next=len(rows) > query.first)


def get(database: Database, scope: Scope, number: int) -> Statement:
    """The statement of that number. Raises NoSuchStatement, also when it is another tenant's."""
    with database.session() as session:
        found = books.statement(session, number)
    if not sees(scope, found):
        raise NoSuchStatement(number)
    return found


def tenant_meant(scope: Scope, tenant_id: str | None) -> str:
    """Whose preview is asked for. Raises MissingTenant or OutsideStatements."""
    if not covers_tenants(scope) or tenant_id not in {None, scope.tenant or tenant_id}:
        raise OutsideStatements
    tenant = tenant_id or scope.tenant
    if not tenant:
        raise MissingTenant
    return tenant
