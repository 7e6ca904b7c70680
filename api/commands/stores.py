"""What commands work on: the settings, with what the command line gives on top, and the stores they name."""

# ruff: noqa: PLC0415 - commands import what they work with when they run: help and typos answer at once

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InvalidInput

if TYPE_CHECKING:
    from core.database import Database
    from core.settings import Settings

DataDir = Annotated[Path | None, typer.Option(help="Directory of everything embedded.", envvar="APPORTION_DATA_DIR")]


class UnusableSettings(InvalidInput):
    """A setting breaks its rule."""

    code = "UNUSABLE_SETTINGS"

    def __init__(self, problems: str) -> None:
        super().__init__(f"the settings are not usable: {problems}; docs/settings.md lists every setting")


def settings_with(**given: object) -> Settings:
    """The settings, with those given in their place; None stands for not given. Raises UnusableSettings."""
    from pydantic import ValidationError

    from core.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        problems = (f"APPORTION_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise UnusableSettings("; ".join(problems)) from error
    except ValueError as error:  # a list that is not JSON, for example
        raise UnusableSettings(str(error)) from error


@contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """The migrated relational database; the events store is left alone, it may belong to a running server."""
    from core.database import Database, Turn

    database = Database(settings.effective_database_url)
    try:
        with database.lock(Turn.MIGRATION):
            database.migrate()
        yield database
    finally:
        database.close()
