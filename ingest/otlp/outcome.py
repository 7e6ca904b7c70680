"""How a call ended: its status in the payload's words, and the class of its error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from ingest.otlp.encoding import Span, Value
from ingest.otlp.values import text

HTTP_OUTCOMES: Final[Mapping[int, str]] = {429: "rate_limited", 408: "timeout", 504: "timeout", 499: "cancelled"}
CLASS_OUTCOMES: Final = (
    ("timeout", ("timeout", "timedout", "deadlineexceeded")),
    ("rate_limited", ("ratelimit", "toomanyrequests", "throttl", "resourceexhausted")),
    ("cancelled", ("cancel", "abort", "generatorexit", "keyboardinterrupt")),
    ("filtered", ("contentfilter", "contentpolicy")),
)
"""Outcome -> parts of an error's class name, in lower case without underscores."""

MESSAGE_OUTCOMES: Final = (
    ("timeout", ("timed out",)),
    ("rate_limited", ("rate limit",)),
    ("cancelled", ("abandoned stream",)),
)
MESSAGE_HTTP_STATUS: Final = re.compile(r"Error code: (\d{3})\b")
UNNAMED_ERRORS: Final = frozenset({"_OTHER", "ERROR", "Error"})
FILTERED: Final = frozenset({"content_filter", "content-filter", "content_filtered", "safety", "refusal"})


def outcome(span: Span, told: Mapping[str, Value]) -> tuple[str, str]:
    """(status, error_type). A call failed when its span says so, names an error, or has an exception event."""
    exceptions = [event.attributes.get("exception.type") for event in span.events if event.name == "exception"]
    names = [told.get("error"), *exceptions]
    http_status = _http_status(told.get("http_status"))
    if not (span.failed or exceptions or names[0] is not None or http_status >= 400):
        return ("filtered" if _finish(told.get("finish")) in FILTERED else "ok"), ""
    error_type = next((name for name in map(_class_name, names) if name and name not in UNNAMED_ERRORS), "")
    http_status = http_status if http_status >= 400 else _http_status_told(error_type, span.message)
    return _failure(http_status, error_type, span.message), error_type or (str(http_status) if http_status else "")


def _failure(http_status: int, error_type: str, message: str) -> str:
    return (
        HTTP_OUTCOMES.get(http_status) or _class_outcome(error_type) or _matching(MESSAGE_OUTCOMES, message) or "error"
    )


@lru_cache(maxsize=1024)
def _class_outcome(error_type: str) -> str | None:
    return _matching(CLASS_OUTCOMES, error_type.replace("_", ""))


def _matching(outcomes: Sequence[tuple[str, tuple[str, ...]]], said: str) -> str | None:
    said = said.lower()
    return next((status for status, parts in outcomes if any(part in said for part in parts)), None)


def _class_name(value: Value | None) -> str:
    """The last dotted part; a sentence is no class name, and may carry content."""
    name = text(value).rpartition(".")[2]
    return name if len(name) <= 100 and not any(map(str.isspace, name)) else ""


def _http_status(value: Value | None) -> int:
    said = text(value)
    return int(said) if len(said) == 3 and said.isdecimal() else 0


def _http_status_told(error_type: str, message: str) -> int:
    told = MESSAGE_HTTP_STATUS.search(message)
    return _http_status(error_type) or (int(told[1]) if told else 0)


def _finish(value: Value | None) -> str:
    """The first finish reason of a list, also of one written as JSON."""
    reason = text(value)
    if reason.startswith("["):
        try:
            reason = msgspec.json.decode(reason, type=list[str])[0]
        except (msgspec.DecodeError, IndexError):
            return ""
    return reason.lower()
