"""SQL text with its bound values, and the binder that keeps the two apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from core.time import Window, clock_settings

_UNIX = "toUnixTimestamp(e.start_time)"


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text and the values of its parameters."""

    sql: str
    parameters: dict[str, Any]


class Binder:
    """Hands out parameter names for values, and expressions for the clock of the asked zone during the window.

    The clock's settings are bound like any other value. The engine's own time zone functions would follow its own
    zone database: where that is of another year than ours, rows would fall outside the bucket that reports them.
    """

    def __init__(self, window: Window, zone: ZoneInfo) -> None:
        self.parameters: dict[str, Any] = {}
        self._window = window
        self._zone = zone

    def bind(self, value: Any, type_: str) -> str:
        """The placeholder that stands for `value`, of ClickHouse type `type_`."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{type_}}}"

    @property
    def local(self) -> str:
        """An event's start on the local wall clock, as a DateTime that calls itself UTC."""
        return f"toDateTime({_UNIX} + {self._clock[1]}, 'UTC')"

    @property
    def minute(self) -> str:
        """The unix second at which the event's minute began."""
        return f"toUInt32({_UNIX} - {_UNIX} % 60)"

    @property
    def hour(self) -> str:
        """The unix second at which the event's local hour began, or its clock was last set where that was within it."""
        since, ahead = self._clock
        return f"toUInt32(greatest({_UNIX} - ({_UNIX} + {ahead}) % 3600, {since}))"

    def cut(self, seconds: list[int]) -> str:
        """The last of these unix seconds, which rise, that is not after the event's start."""
        return f"toUInt32(roundDown({_UNIX}, {self.bind(seconds, 'Array(UInt32)')}))"

    @cached_property
    def _clock(self) -> tuple[str, str]:
        """Since when the clock at an event's start was set as it was, and its lead over UTC, both in seconds."""
        settings = clock_settings(self._window, self._zone)
        if len(settings) == 1:
            return "0", self.bind(settings[0].ahead, "Int32")
        changes = self.bind([setting.since for setting in settings], "Array(UInt32)")
        leads = self.bind([setting.ahead for setting in settings], "Array(Int32)")
        since = f"roundDown({_UNIX}, {changes})"
        return since, f"transform({since}, {changes}, {leads}, 0)"
