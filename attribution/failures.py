"""What can go wrong between the store and ClickHouse, as types. What ClickHouse itself says may name hosts and values:
it is a note for operators, and no part of the sentence that callers read.
"""

from __future__ import annotations

from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from core.errors import InvalidInput, Unavailable

_TIMEOUT_CODES: Final = frozenset({159, 160})
_MEMORY_CODES: Final = frozenset({241})
_REASON_LENGTH: Final = 300


class StoreUnavailable(Unavailable):
    """ClickHouse does not answer. `reason` is for operators."""

    code = "STORE_UNAVAILABLE"

    def __init__(self, reason: str = "", sentence: str = "the events store does not answer; try again shortly") -> None:
        super().__init__(sentence)
        if reason:
            self.add_note(reason)


class NotTaken(StoreUnavailable):
    """Rows could not be stored, and nothing says that they ever could not."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "the events store does not take events now; send them again shortly")


class InsertRefused(NotTaken):
    """ClickHouse answers, and does not take these rows: because of what they hold, or of a state it is in."""

    code = "INSERT_REFUSED"


class StoreBusy(StoreUnavailable):
    """Every connection stayed in use for as long as a caller should wait."""

    def __init__(self) -> None:
        super().__init__(sentence="every connection to the events store is in use; retry shortly")


class DirectoryInUse(Unavailable):
    """An embedded data directory belongs to one process at a time."""

    code = "DIRECTORY_IN_USE"

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"{directory} is in use by another process: one process owns an embedded store. "
            "Stop that one, or set APPORTION_CLICKHOUSE_URL to a ClickHouse server, which many can share."
        )


class QueryTooSlow(InvalidInput):
    """The query ran into its time limit."""

    code = "QUERY_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the query took longer than {seconds:g} s; narrow the time range, filter or grouping")


class QueryTooLarge(InvalidInput):
    """The query ran into its memory limit."""

    code = "QUERY_TOO_LARGE"

    def __init__(self) -> None:
        super().__init__("the query needs more memory than it may use; narrow the time range, filter or grouping")


def query_failure(error: ClickHouseError, timeout_seconds: float) -> Exception:
    """What the error of a query means; the error itself when it is nothing that we foresee."""
    code = getattr(error, "code", None)
    text = str(error)
    if code in _TIMEOUT_CODES or "TIMEOUT_EXCEEDED" in text:
        return QueryTooSlow(timeout_seconds)
    if code in _MEMORY_CODES or "MEMORY_LIMIT_EXCEEDED" in text:
        return QueryTooLarge()
    if isinstance(error, OperationalError) or "UNKNOWN_DATABASE" in text or "UNKNOWN_TABLE" in text:
        return StoreUnavailable(first_line(error))
    return error


def insert_failure(error: ClickHouseError) -> Exception:
    """Whatever keeps rows out, be it too many parts or a full disk, may be over when they are sent again."""
    code = getattr(error, "code", None)
    has_judged = code is not None and code not in _TIMEOUT_CODES | _MEMORY_CODES
    return (InsertRefused if has_judged else NotTaken)(first_line(error))


def first_line(error: Exception) -> str:
    """The beginning of what ClickHouse says."""
    return str(error).strip().split("\n")[0][:_REASON_LENGTH]
