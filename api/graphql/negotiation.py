"""Which media type answers a request, by its Accept header (GraphQL over HTTP, section 5; RFC 9110, section 12.5.1)."""

from __future__ import annotations

from enum import StrEnum


class Answer(StrEnum):
    """The forms an answer can take."""

    GRAPHQL = "application/graphql-response+json"
    JSON = "application/json"
    EVENT_STREAM = "text/event-stream"
    MULTIPART = "multipart/mixed"
    HTML = "text/html"

    @property
    def streams(self) -> bool:
        """Whether it carries many results."""
        return self in {Answer.EVENT_STREAM, Answer.MULTIPART}


def negotiate(accept: str | None) -> Answer | None:
    """The form the client likes best, or None when it accepts none; without a header it is plain JSON.

    An event stream is chosen only when it is liked better than JSON: urql lists it last on every ordinary query.
    """
    if not accept:
        return Answer.JSON
    if _is_multipart_subscription(accept):
        return Answer.MULTIPART
    liked = qualities(accept)
    anything = max(liked.get("*/*", 0.0), liked.get("application/*", 0.0))
    graphql, json = liked.get(Answer.GRAPHQL, 0.0), liked.get(Answer.JSON, anything)
    if liked.get(Answer.EVENT_STREAM, 0.0) > max(graphql, json):
        return Answer.EVENT_STREAM
    if graphql and graphql >= json:
        return Answer.GRAPHQL
    return Answer.JSON if json else None


def wants_page(accept: str | None) -> bool:
    """Whether the client is a person's browser: it asks for HTML by name, before any JSON."""
    liked = qualities(accept or "")
    html = liked.get(Answer.HTML, 0.0)
    return html > 0 and html >= max(liked.get(Answer.GRAPHQL, 0.0), liked.get(Answer.JSON, 0.0))


def qualities(accept: str) -> dict[str, float]:
    """The q-value of every media range named; a malformed one counts as refused."""
    ranges = (part.split(";") for part in accept.split(",") if part.strip())
    return {name.strip().lower(): _quality(parameters) for name, *parameters in ranges}


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def _is_multipart_subscription(accept: str) -> bool:
    # Apollo's header is multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json
    parts = (part.lower().replace(" ", "").replace('"', "").split(";") for part in accept.split(","))
    return any(name == Answer.MULTIPART and "subscriptionspec=1.0" in parameters for name, *parameters in parts)
