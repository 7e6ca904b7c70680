"""The product as its users meet it: the real application on real engines, spoken to over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from api.app import make_app
from api.services import Services
from api.serving import open_services
from core.settings import Settings
from tenants.principal import Role
from tenants.scope import Scope


class Api:
    """A running application and a way to speak to it with any key."""

    def __init__(self, client: TestClient, services: Services) -> None:
        self.client = client
        self.services = services
        self.key = self.make_key(Role.ADMIN)

    def make_key(self, role: Role, **scope: str) -> str:
        """A new key."""
        return self.services.keys.create(f"test {role.value}", role, Scope(**scope))

    def post_events(self, body: Any, *, key: str | None = None, **headers: str) -> Any:
        """The response to `POST /v1/events`; bytes go as they are, anything else as JSON."""
        sent = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.client.post("/v1/events", headers=self._headers(key) | headers, **sent)

    def post_traces(self, body: bytes, *, key: str | None = None, **headers: str) -> Any:
        """The response to `POST /v1/traces`, protobuf unless a header says otherwise."""
        kind = {"content-type": "application/x-protobuf"}
        return self.client.post("/v1/traces", content=body, headers=self._headers(key) | kind | headers)

    def graphql(self, query: str, *, key: str | None = None, **variables: Any) -> Any:
        """The decoded GraphQL answer, errors and all."""
        body = {"query": query, "variables": variables}
        return self.client.post("/graphql", json=body, headers=self._headers(key)).json()

    def data(self, query: str, *, key: str | None = None, **variables: Any) -> Any:
        """The data of an answer that must have no errors."""
        answer = self.graphql(query, key=key, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def _headers(self, key: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {key or self.key}"}


@contextmanager
def running_api(clickhouse_url: str, directory: Path, **settings: Any) -> Iterator[Api]:
    """The application on that events store and a new SQLite file."""
    patient = {"insert_patience_seconds": 60} | settings  # a busy machine is not what most tests are about
    services = open_services(Settings(clickhouse_url=clickhouse_url, data_dir=directory, _env_file=None, **patient))
    with TestClient(make_app(services)) as client:
        yield Api(client, services)
