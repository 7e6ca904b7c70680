"""The application as a value: routes and middleware over one set of services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute

from api.auth import authenticate
from api.bills import bill_door
from api.catching_up import catching_up
from api.decisions import decision_routes
from api.doors import Doors
from api.exports import Exports
from api.graphql.context import Context
from api.graphql.graphiql import graphiql_routes
from api.graphql.schema import make_schema
from api.graphql.transport import ANY_METHOD, GraphQLApp
from api.health import Health
from api.problems import conceal, explain, refuse
from api.revenue import RevenueDoor
from api.services import Services
from api.statements import Statements
from core.errors import ApportionError
from ingest.exports import HEADERS


def make_app(services: Services) -> Starlette:
    """The ASGI application on migrated services. It closes them when it shuts down."""
    settings = services.settings
    doors, health = Doors(services), Health(services)
    graphql = _graphql(services)
    return Starlette(
        routes=[
            Route("/", _home),
            Route("/healthz", health.alive),
            Route("/readyz", health.ready),
            Route("/metrics", health.metrics),
            *decision_routes(services),
            *doors.routes(),
            *Statements(services).routes(),
            *Exports(services).routes(),
            Route("/v1/bills", bill_door(services, doors.admission), methods=["POST"]),
            *RevenueDoor(services).routes(),
            *graphiql_routes(),
            Route("/graphql", graphql, methods=list(ANY_METHOD)),
            WebSocketRoute("/graphql", graphql),
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["authorization", "content-encoding", "content-type", "x-api-key", *HEADERS.values()],
                expose_headers=["retry-after"],
                max_age=600,
            ),
            Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=1),
        ],
        exception_handlers={ApportionError: explain, HTTPException: refuse, Exception: conceal},
        lifespan=_lifespan(services, doors),
    )


def _graphql(services: Services) -> GraphQLApp:
    async def context(connection: HTTPConnection) -> Context:
        return Context(await authenticate(connection, services), services, datetime.now(UTC), connection)

    settings = services.settings
    return GraphQLApp(
        make_schema(introspection=settings.introspection),
        get_context=context,
        timeout_seconds=settings.query_timeout_seconds + 5,
        graphiql=settings.graphiql,
        allowed_origins=settings.cors_origins,
    )


def _lifespan(services: Services, doors: Doors) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await services.read(services.book.warm)
        await services.start()
        try:
            async with catching_up(services), doors.grpc:
                yield
        finally:
            await services.close()

    return lifespan


async def _home(_request: Request) -> Response:
    return RedirectResponse("/graphql")
