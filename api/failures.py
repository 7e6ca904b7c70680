"""What every door does about failures: one HTTP status per kind, and an id in the log for what nobody expected."""

from __future__ import annotations

import logging
from typing import Final
from uuid import uuid4

from core.errors import (
    ApportionError,
    Conflict,
    Forbidden,
    NotFound,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unsupported,
    in_full,
)

BAD_REQUEST: Final = 400

_STATUS_OF: Final[tuple[tuple[type[ApportionError], int], ...]] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (TooLarge, 413),
    (Unsupported, 415),
    (TimedOut, 504),
    (Unavailable, 503),
)

_logger = logging.getLogger("apportion")


def status_of(error: ApportionError) -> int:
    """The HTTP status that says this; 400 where none says more."""
    return next((status for kind, status in _STATUS_OF if isinstance(error, kind)), BAD_REQUEST)


def log_reason(error: BaseException) -> None:
    """Tell operators what the error tells callers nothing of: what a store said, which may name hosts."""
    if getattr(error, "__notes__", ()):
        _logger.warning("%s", in_full(error))


def log_unexpected(cause: BaseException, where: str) -> str:
    """A new error id, under which the exception is in the log."""
    error_id = uuid4().hex
    _logger.error("unexpected error %s in %s", error_id, where, exc_info=cause)
    return error_id
