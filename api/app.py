"""The application as a value: routes and middleware over one set of services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute

from api.auth import authenticate, guarded
from api.graphql.context import Context
from api.graphql.graphiql import graphiql_routes
from api.graphql.schema import make_schema
from api.graphql.transport import ANY_METHOD, GraphQLApp
from api.health import Health
from api.problems import conceal, explain
from api.services import Services
from core.errors import ApportionError
from ingest.routes import IngestRoutes
from tenants.principal import Permission


def make_app(services: Services) -> Starlette:
    """The ASGI application on migrated services. It closes them when it shuts down."""
    settings = services.settings
    ingest, health = IngestRoutes(services.pipeline, settings), Health(services)
    graphql = _graphql(services)
    return Starlette(
        routes=[
            Route("/", _home),
            Route("/healthz", health.alive),
            Route("/readyz", health.ready),
            Route("/metrics", health.metrics),
            Route("/v1/events", guarded(ingest.events, services, Permission.SEND), methods=["POST"]),
            Route("/v1/traces", guarded(ingest.traces, services, Permission.SEND), methods=["POST"]),
            *graphiql_routes(),
            Route("/graphql", graphql, methods=list(ANY_METHOD)),
            WebSocketRoute("/graphql", graphql),
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", "x-api-key"],
                max_age=600,
            ),
            Middleware(GZipMiddleware, minimum_size=1_000, compresslevel=1),
        ],
        exception_handlers={ApportionError: explain, Exception: conceal},
        lifespan=_lifespan(services),
    )


def _graphql(services: Services) -> GraphQLApp:
    async def context(connection: HTTPConnection) -> Context:
        return Context(await authenticate(connection, services), services, datetime.now(UTC))

    settings = services.settings
    return GraphQLApp(
        make_schema(introspection=settings.introspection),
        get_context=context,
        timeout_seconds=settings.query_timeout_seconds + 5,
        graphiql=settings.graphiql,
        allowed_origins=settings.cors_origins,
    )


def _lifespan(services: Services) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await services.read(services.book.warm)
        yield
        await services.close()

    return lifespan


async def _home(_request: Request) -> Response:
    return RedirectResponse("/graphql")
