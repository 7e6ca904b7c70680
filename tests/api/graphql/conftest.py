"""The guinea pig in process, and behind a real server for what needs one."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import uvicorn

from tests.api.graphql.guinea_pig import CANCELLED, MUTATIONS, WITHDRAWN, make_app


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def forget() -> None:
    CANCELLED.clear()
    MUTATIONS.clear()
    WITHDRAWN.clear()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(timeout_seconds=5.0, max_body_bytes=20_000) as opened:
        yield opened


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The host and port of the guinea pig behind uvicorn."""
    app = make_app(timeout_seconds=0.5, max_body_bytes=20_000, allowed_origins=["https://dashboard.example"])
    config = uvicorn.Config(app, port=0, log_level="warning", ws="websockets-sansio", lifespan="off")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    host, port = running.servers[0].sockets[0].getsockname()
    yield f"{host}:{port}"
    running.should_exit = True
    thread.join(timeout=10)


def client_of(schema: object = None, **options: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(make_app(schema, **options))
    return httpx.AsyncClient(transport=transport, base_url="http://apportion.example")


async def run(client: httpx.AsyncClient, query: str, **call: object) -> dict[str, object]:
    """The JSON body of a posted query."""
    response = await client.post("/graphql", json={"query": query, **call})
    body: dict[str, object] = response.json()
    return body


def codes(body: dict[str, object]) -> list[str]:
    return [error["extensions"]["code"] for error in body["errors"]]
