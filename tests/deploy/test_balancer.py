"""The load balancer's configuration, run by the load balancer itself in front of two services."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.deploy.replica import Replica
from tests.servers.tether import mortal, reserved_port

CADDYFILE = Path(__file__).resolve().parents[2] / "deploy" / "Caddyfile"
CADDY = Path(sysconfig.get_path("scripts")) / "caddy"


@contextmanager
def _caddy(site: str, upstreams: str, state: Path) -> Iterator[None]:
    command = mortal(str(CADDY), "run", "--adapter", "caddyfile", "--config", str(CADDYFILE))
    homes = {"XDG_DATA_HOME": str(state), "XDG_CONFIG_HOME": str(state)}
    environment = os.environ | homes | {"SITE_ADDRESS": site, "UPSTREAMS": upstreams}
    with (state / "caddy.log").open("wb") as log:
        caddy = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        caddy.terminate()
        caddy.wait()


@contextmanager
def _balanced(state: Path, *replicas: Replica) -> Iterator[httpx.Client]:
    """A client of a balancer in front of the replicas, once that answers."""
    with reserved_port() as port:
        site = f"http://127.0.0.1:{port.getsockname()[1]}"
        upstreams = " ".join(replica.address for replica in replicas)
        with _caddy(site, upstreams, state), httpx.Client(base_url=site, trust_env=False) as client:
            _await_balancer(client)
            yield client


def _await_balancer(client: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            client.get("/metrics")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the balancer does not answer")


def _answers(client: httpx.Client, count: int) -> list[str]:
    return [client.post("/graphql", content=b"{}").raise_for_status().text for _ in range(count)]


def test_both_replicas_serve_and_one_alone_carries_on(tmp_path: Path) -> None:
    with Replica("one") as one, Replica("two") as two, _balanced(tmp_path, one, two) as client:
        assert set(_answers(client, 40)) == {"one", "two"}
        two.stop()
        assert _answers(client, 10) == ["one"] * 10


def test_an_unhealthy_replica_gets_no_requests(tmp_path: Path) -> None:
    with (
        Replica("well") as well,
        Replica("sick", health=503) as sick,
        _balanced(tmp_path, well, sick) as client,
    ):
        deadline = time.monotonic() + 20  # its first checks take a moment
        while "sick" in _answers(client, 5) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert _answers(client, 20) == ["well"] * 20
        assert "/healthz" in sick.seen


def test_metrics_stay_inside(tmp_path: Path) -> None:
    with Replica("one") as one, _balanced(tmp_path, one) as client:
        assert client.get("/metrics").status_code == 404
        assert client.get("/healthz").text == "one"
        assert "/metrics" not in one.seen
