"""Errors are types that write their own sentence; every one carries a stable code."""

from __future__ import annotations


class ApportionError(Exception):
    """Something the caller can act on. `code` is stable and safe to match on; the text is for people."""

    code = "ERROR"


def in_full(error: BaseException) -> str:
    """The error's sentence with its notes: what operators may read, and callers may not."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return f"{error}{notes}"


class InvalidInput(ApportionError):
    """The request is well-formed but asks for something that cannot be answered."""

    code = "BAD_USER_INPUT"


class Unavailable(ApportionError):
    """A store cannot be reached now; the same request may succeed later."""

    code = "UNAVAILABLE"


class TimedOut(Unavailable):
    """The work was stopped because it ran longer than it may."""

    code = "TIMEOUT"


class TooLarge(InvalidInput):
    """The request is larger than a request may be."""

    code = "PAYLOAD_TOO_LARGE"


class Unsupported(InvalidInput):
    """The request is written in a form that is not read here."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class Conflict(ApportionError):
    """The change would overwrite something that must not be overwritten."""

    code = "CONFLICT"


class NotFound(ApportionError):
    """What was named does not exist, or lies outside the caller's scope."""

    code = "NOT_FOUND"


class Forbidden(ApportionError):
    """The caller is known, and may not do this."""

    code = "FORBIDDEN"


class Unauthenticated(ApportionError):
    """The caller is not known."""

    code = "UNAUTHENTICATED"
