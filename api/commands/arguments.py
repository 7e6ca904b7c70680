"""What people type, as values."""

from __future__ import annotations

from datetime import datetime

import typer


def instant(text: str, option: str) -> datetime:
    """The time that was given to that option. Raises BadParameter."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-03-01T00:00:00Z", param_hint=option) from None
