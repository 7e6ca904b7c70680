"""What a client asked for over HTTP, read within bounds; every way to ask wrongly is a `Refusal` with its status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from starlette.requests import Request

from api.graphql.errors import BAD_REQUEST
from core.errors import ApportionError

JSON: Final = "application/json"


class Refusal(ApportionError):
    """The request is answered without running anything: `status` and `headers` say why, beside the sentence."""

    def __init__(self, status: int, sentence: str, code: str = BAD_REQUEST, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True, slots=True)
class Call:
    """One operation to run."""

    query: str | None
    operation_name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)


async def read_call(request: Request, max_body_bytes: int) -> Call:
    """The call in a GET's parameters or a POST's JSON body; raises Refusal."""
    if request.method == "GET":
        return _checked(_from_parameters(request.query_params))
    return _checked(await _from_body(request, max_body_bytes))


def refuse_cross_site(request: Request) -> None:
    """Raise Refusal when another site's page makes the browser send this GET: it needs no consent to do so."""
    if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        raise Refusal(403, "GET requests from other sites are refused; send a POST.", "CSRF")


def _from_parameters(parameters: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {name: parameters.get(name) or None for name in ("query", "operationName")}
    for name in ("variables", "extensions"):
        if text := parameters.get(name):
            values[name] = _decoded(text, f"The parameter {name!r}")
    return values


async def _from_body(request: Request, max_body_bytes: int) -> dict[str, Any]:
    content_type, *parameters = request.headers.get("content-type", "").lower().replace(" ", "").split(";")
    charset = next((each[8:].strip('"') for each in parameters if each.startswith("charset=")), "utf-8")
    if content_type != JSON or charset not in {"utf-8", "utf8"}:
        raise Refusal(415, "Content-Type must be application/json in UTF-8.", "UNSUPPORTED_MEDIA_TYPE", accept=JSON)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "Compressed bodies are not accepted.", "UNSUPPORTED_MEDIA_TYPE", accept_encoding="identity")
    value = _decoded(await _read(request, max_body_bytes), "The body")
    if isinstance(value, list):
        raise Refusal(400, "Batching is not supported: send one operation per request.")
    if not isinstance(value, dict):
        raise Refusal(400, "The body must be a JSON object.")
    return value


async def _read(request: Request, max_body_bytes: int) -> bytearray:
    body = bytearray()
    declared = request.headers.get("content-length", "0")
    async for chunk in request.stream():
        body += chunk
        if max(len(body), int(declared) if declared.isdecimal() else 0) > max_body_bytes:
            raise Refusal(413, f"The body is larger than {max_body_bytes} bytes.", "PAYLOAD_TOO_LARGE")
    return body


def _decoded(text: str | bytearray, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Refusal(400, f"{what} is not valid JSON in UTF-8.") from None


def _checked(values: Mapping[str, Any]) -> Call:
    query = _typed(values, "query", str, "a string")
    name = _typed(values, "operationName", str, "a string")
    variables = _typed(values, "variables", dict, "an object")
    return Call(query, name, variables or {}, _typed(values, "extensions", dict, "an object") or {})


def _typed(values: Mapping[str, Any], name: str, kind: type, noun: str) -> Any:
    value = values.get(name)
    if value is not None and not isinstance(value, kind):
        raise Refusal(400, f"`{name}` must be {noun} or null.")
    return value
