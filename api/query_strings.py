"""Query strings of the REST doors: known names, each once; and formats by name or by what a client accepts."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from core.errors import InvalidInput


class UnknownParameter(InvalidInput):
    """A misspelt filter would answer with everything."""

    code = "UNKNOWN_PARAMETER"

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"there is no parameter {name!r} here; the parameters are {', '.join(known)}")
        self.field = name


class RepeatedParameter(InvalidInput):
    """One of two values would be dropped silently."""

    code = "REPEATED_PARAMETER"

    def __init__(self, name: str) -> None:
        super().__init__(f"parameter {name!r} is given more than once")
        self.field = name


class InvalidParameter(InvalidInput):
    """A parameter is missing or cannot be read."""

    code = "INVALID_PARAMETER"

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(f"parameter {name!r} must be {rule}")
        self.field = name


def parameters(request: Request, *known: str) -> dict[str, str]:
    """The parameters that were given a value. Raises UnknownParameter or RepeatedParameter."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise UnknownParameter(name, known)
        if name in given:
            raise RepeatedParameter(name)
        given[name] = value
    return {name: value for name, value in given.items() if value}


def whole_number(given: Mapping[str, str], name: str, default: int) -> int:
    """That parameter as a number, or the default. Raises InvalidParameter."""
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise InvalidParameter(name, "a whole number")
    return int(text)


def chosen_format(request: Request, given: Mapping[str, str], types: Mapping[str, str]) -> str:
    """The format to answer in, of those in `types` (name to media type): as named, else as accepted, else the first.

    Raises InvalidParameter.
    """
    named = given.get("format")
    if named is None:
        accepted = request.headers.get("accept", "").lower()
        return next((name for name, media in types.items() if media.split(";")[0] in accepted), next(iter(types)))
    if named not in types:
        raise InvalidParameter("format", f"one of {', '.join(types)}")
    return named
