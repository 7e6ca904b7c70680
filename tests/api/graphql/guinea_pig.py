"""A small schema with one of everything the transport must cope with."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from decimal import Decimal

import strawberry
from graphql import GraphQLError
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route, WebSocketRoute
from strawberry.scalars import JSON

from api.graphql.engine import GuardedSchema, build_schema
from api.graphql.graphiql import graphiql_routes
from api.graphql.limits import Limits
from api.graphql.scalars import BigInt
from api.graphql.transport import ANY_METHOD, GraphQLApp
from core.errors import Forbidden, NotFound, Unauthenticated, Unavailable

SECRET = "the password is swordfish"


@strawberry.enum
class Stage(enum.Enum):
    PLAN = "plan"
    ACT = "act"


@strawberry.type
class Key:
    dimension: str
    value: str | None


@strawberry.type
class Row:
    feature: str
    stage: Stage
    operations: int
    tokens: BigInt
    effective_cost: Decimal | None
    bucket: datetime
    share: float | None
    retried: bool
    keys: list[Key]
    scores: list[list[float | None]]

    @strawberry.field
    def shouted(self) -> str:
        return self.feature.upper()


@strawberry.type
class RowPage:
    nodes: list[Row]
    total_count: int


@strawberry.type
class Tree:
    name: str

    @strawberry.field
    def child(self) -> Tree:
        return Tree(name=self.name + ".")

    @strawberry.field(metadata={"cost": 50})
    def expensive(self) -> Tree:
        return self


@strawberry.input
class Where:
    feature: str | None = None
    any_of: list[Where] | None = None


def make_row(number: int) -> Row:
    return Row(
        feature=f"feature {number}",
        stage=Stage.ACT if number % 2 else Stage.PLAN,
        operations=number,
        tokens=BigInt(2**31 + number),
        effective_cost=Decimal(number).scaleb(-9) if number % 3 else None,
        bucket=datetime(2026, 3, 1, number % 24, tzinfo=UTC),
        share=number / 7 if number % 5 else None,
        retried=number % 2 == 0,
        keys=[Key(dimension="team", value=None), Key(dimension="user", value=str(number))],
        scores=[[0.5, None], []],
    )


@strawberry.type
class Query:
    @strawberry.field
    def ping(self) -> str:
        return "pong"

    @strawberry.field
    def echo(self, text: str) -> str:
        return text

    @strawberry.field
    def caller(self, info: strawberry.Info) -> str | None:
        return str(info.context)

    @strawberry.field
    def rows(self, first: int = 10) -> list[Row]:
        return [make_row(number) for number in range(first)]

    @strawberry.field
    def page(self, first: int = 10) -> RowPage:
        return RowPage(nodes=[make_row(number) for number in range(first)], total_count=first)

    @strawberry.field
    def tree(self) -> Tree:
        return Tree(name="root")

    @strawberry.field
    def match(self, where: Where) -> str | None:
        return where.feature

    @strawberry.field
    def staged(self, stage: Stage) -> Stage:
        return stage

    @strawberry.field
    def big(self, value: BigInt) -> BigInt:
        return value

    @strawberry.field
    def doubled(self, value: BigInt) -> BigInt:
        return BigInt(value * 2)

    @strawberry.field
    def small(self, value: BigInt) -> int:
        return value

    @strawberry.field
    def amount(self, value: Decimal) -> Decimal:
        return value

    @strawberry.field
    def moment(self, value: datetime) -> datetime:
        return value

    @strawberry.field
    def naive(self) -> datetime | None:
        return datetime(2026, 3, 1)  # noqa: DTZ001 - the mistake under test

    @strawberry.field
    def anything(self, value: JSON) -> JSON:
        return value

    @strawberry.field
    def boom(self) -> str | None:
        raise RuntimeError(SECRET)

    @strawberry.field
    def strict_boom(self) -> str:
        raise RuntimeError(SECRET)

    @strawberry.field
    def missing(self) -> str | None:
        raise NotFound("There is no budget 'x'.")

    @strawberry.field
    def uncoded(self) -> str | None:
        raise GraphQLError(SECRET)

    @strawberry.field
    def coded(self) -> str | None:
        raise GraphQLError("Slow down.", extensions={"code": "THROTTLED"})

    @strawberry.field
    async def slow(self, info: strawberry.Info, seconds: float = 30.0) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            CANCELLED.append("slow")
            raise
        return "done"


CANCELLED: list[str] = []
MUTATIONS: list[int] = []
WITHDRAWN: set[str] = set()


@strawberry.type
class Mutation:
    @strawberry.mutation
    def add(self, number: int) -> int:
        MUTATIONS.append(number)
        return number


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int = 3, pause: float = 0.0) -> AsyncGenerator[int, None]:
        for number in range(to):
            await asyncio.sleep(pause)
            yield number

    @strawberry.subscription
    async def breaks(self) -> AsyncGenerator[int, None]:
        yield 1
        raise RuntimeError(SECRET)

    @strawberry.subscription
    async def caller(self, info: strawberry.Info) -> AsyncGenerator[str, None]:
        yield str(info.context)


def make_schema(*, limits: Limits = Limits(), introspection: bool = True) -> GuardedSchema:  # noqa: B008
    return build_schema(Query, Mutation, Subscription, limits=limits, introspection=introspection)


async def get_context(connection: HTTPConnection) -> str:
    """The bearer's name; three of the names are refused."""
    name = connection.headers.get("authorization", "Bearer nobody").removeprefix("Bearer ")
    if name in WITHDRAWN:
        raise Unauthenticated("This API key was withdrawn.")
    refusals = {
        "unknown": Unauthenticated("This API key is not known."),
        "ingester": Forbidden("The role 'ingest' may not query."),
        "unlucky": Unavailable("The key store cannot be reached."),
        "buggy": RuntimeError(SECRET),
    }
    if name in refusals:
        raise refusals[name]
    return name


def make_app(schema: GuardedSchema | None = None, **options: object) -> Starlette:
    graphql = GraphQLApp(schema or make_schema(), **{"get_context": get_context, **options})
    return Starlette(
        routes=[
            Route("/graphql", graphql, methods=ANY_METHOD),
            WebSocketRoute("/graphql", graphql),
            *graphiql_routes(),
        ]
    )
