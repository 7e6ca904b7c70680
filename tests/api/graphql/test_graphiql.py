"""GraphiQL works without the internet, and its page may do nothing else."""

from __future__ import annotations

import hashlib
import re

import pytest

from api.graphql.graphiql import HERE, PAGE, content_policy
from tests.api.graphql.conftest import client_of

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

pytestmark = pytest.mark.anyio


async def test_a_browser_gets_the_page_even_by_a_link_from_elsewhere():
    async with client_of(graphiql=True) as client:
        response = await client.get("/graphql", headers={"accept": BROWSER, "sec-fetch-site": "cross-site"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "GraphiQL" in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json,text/html;q=0.5"])
async def test_a_program_gets_json(accept):
    async with client_of(graphiql=True) as client:
        response = await client.get("/graphql", params={"query": "{ ping }"}, headers={"accept": accept})
        assert response.json()["data"] == {"ping": "pong"}
        assert (await client.get("/graphql", headers={"accept": accept})).status_code == 400


async def test_the_page_can_be_off():
    async with client_of(graphiql=False) as client:
        response = await client.get("/graphql", headers={"accept": BROWSER})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json; charset=utf-8"


async def test_everything_the_page_loads_is_served_here_for_good():
    sources = re.findall(r'(?:src|href)="([^"]+)"', PAGE)
    local = [source for source in sources if not source.startswith("data:")]
    assert len(local) == 4
    async with client_of(graphiql=True) as client:
        for source in local:
            response = await client.get(f"/{source}")
            assert response.status_code == 200
            assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert (await client.get("/graphql/assets/nothing.js")).status_code == 404
        assert (await client.get("/graphql/assets/..%2fgraphiql.py")).status_code == 404
    assert "://" not in "".join(local)


async def test_the_policy_allows_exactly_the_pages_own_script():
    policy = content_policy("<script>one</script><script src='x'></script>")
    assert policy.count("'sha256-") == 1
    assert "'sha256-d2ktqRoTx5UBm/uwwlwMrldP2RNgFq8XOs/AYSaXjOw='" not in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]


async def test_the_vendored_files_are_those_of_the_list():
    listed = dict(re.findall(r"`([\w.-]+/[\w.-]+)` \| `([0-9a-f]{64})`", (HERE / "vendor" / "README.md").read_text()))
    present = {
        str(path.relative_to(HERE / "vendor")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (HERE / "vendor").glob("*/*")
    }
    assert listed == present
    assert len(listed) == 7
