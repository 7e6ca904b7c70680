"""GraphiQL from files of our own: the page works without the internet and under a strict content policy."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from pathlib import Path
from typing import Final

from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HERE: Final = Path(__file__).parent
PAGE: Final = (HERE / "graphiql.html").read_text(encoding="utf-8")
ASSETS: Final = "/graphql/assets"


def page() -> Response:
    """The page, which may load nothing but its own assets and talk to nobody but its own server."""
    return HTMLResponse(PAGE, headers=PAGE_HEADERS)


def graphiql_routes() -> list[Mount]:
    """Where the page's scripts and styles are; their paths carry versions, so browsers keep them for good."""
    return [Mount(ASSETS, _Immutable(directory=HERE / "vendor"))]


def content_policy(html: str) -> str:
    """The Content-Security-Policy of `html`, with its inline scripts allowed by digest."""
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digests = (b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {allowed}",
            "style-src 'self' 'unsafe-inline'",  # the editor places its gutters and cursor by style attributes
            "img-src 'self' data:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class _Immutable(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code in {200, 304}:
            response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


PAGE_HEADERS: Final = {
    "content-security-policy": content_policy(PAGE),
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "vary": "Accept",
    "x-content-type-options": "nosniff",
}
