"""What a client learns of an error: our own sentences with their codes; of an unexpected one nothing but its id."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from api.failures import log_reason, log_unexpected
from core.errors import ApportionError

# The codes Apollo clients, gateways and test tools know.
PARSE_FAILED: Final = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED: Final = "GRAPHQL_VALIDATION_FAILED"
OPERATION_RESOLUTION_FAILURE: Final = "OPERATION_RESOLUTION_FAILURE"
BAD_USER_INPUT: Final = "BAD_USER_INPUT"
BAD_REQUEST: Final = "BAD_REQUEST"
PERSISTED_QUERY_NOT_FOUND: Final = "PERSISTED_QUERY_NOT_FOUND"
INTERNAL_SERVER_ERROR: Final = "INTERNAL_SERVER_ERROR"

MASK: Final = "Internal server error"

SUGGESTION: Final = re.compile(r"\s*Did you mean .*?\?", re.DOTALL)


def presentable(errors: Iterable[GraphQLError], *, hide_suggestions: bool) -> list[GraphQLError]:
    """The errors as a client may see them, each with `extensions.code`.

    What nobody raised on purpose reads "Internal server error" and carries an `errorId`, logged with its traceback;
    one id serves all the errors of one cause, so ten thousand failing rows are one line in the log.
    """
    ids: dict[tuple[type, str], str] = {}
    return [_presentable(error, ids, hide_suggestions=hide_suggestions) for error in errors]


def _presentable(error: GraphQLError, ids: dict[tuple[type, str], str], *, hide_suggestions: bool) -> GraphQLError:
    code = code_of(error)
    if code is None:
        return _masked(error, ids)
    if (cause := cause_of(error)) is not None:
        log_reason(cause)
    if hide_suggestions:
        error.message = SUGGESTION.sub("", error.message)
    error.extensions = {**(error.extensions or {}), "code": code}
    return error


def code_of(error: GraphQLError) -> str | None:
    """The error's code, or None when it is unexpected and must be masked."""
    cause = cause_of(error)
    if isinstance(cause, ApportionError):
        return cause.code
    if error.extensions and "code" in error.extensions:
        return str(error.extensions["code"])
    if isinstance(error, GraphQLSyntaxError):
        return PARSE_FAILED
    if isinstance(cause, CannotGetOperationTypeError | InvalidOperationTypeError):
        return OPERATION_RESOLUTION_FAILURE
    if isinstance(cause, StrawberryInputCoercionError):
        return BAD_USER_INPUT
    return BAD_USER_INPUT if cause is None and _is_located_by_client(error) else None


def cause_of(error: GraphQLError) -> BaseException | None:
    """The first exception behind the error that is none of GraphQL's own."""
    cause: BaseException | None = error
    while isinstance(cause, GraphQLError) and not isinstance(cause, StrawberryInputCoercionError):
        cause = cause.original_error
    return cause


def _is_located_by_client(error: GraphQLError) -> bool:
    """Whether the error points at text the client wrote.

    Without a path nothing was executed yet, so the request is at fault. With one, graphql-core names the argument's
    node when an argument is wrong, and no node when a resolved value does not fit its type.
    """
    if error.path is None:
        return True
    origin: Any = error.original_error
    return origin is not None and bool(origin.nodes)


def _masked(error: GraphQLError, ids: dict[tuple[type, str], str]) -> GraphQLError:
    cause = cause_of(error) or error
    kind = (type(cause), str(cause))
    if kind not in ids:
        ids[kind] = log_unexpected(cause, f"GraphQL field {'.'.join(map(str, error.path or []))}")
    extensions = {"code": INTERNAL_SERVER_ERROR, "errorId": ids[kind]}
    return GraphQLError(MASK, error.nodes, error.source, error.positions, error.path, extensions=extensions)
