"""A payload as people read it: a headline, facts, who drove it, what to do. Every kind of channel shows the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from core.money import EXACT
from notifications.topics import Topic

MAX_DRIVERS: Final = 3
_MAX_TEXT: Final = 300
_AMOUNTS: Final = frozenset({"spent", "limit", "remaining", "forecast", "previous", "value", "bound", "total"})

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """What there is to tell, without markup. `facts` and `drivers` are (name, value)."""

    headline: str
    facts: tuple[tuple[str, str], ...]
    drivers: tuple[tuple[str, str], ...] = ()
    playbook: str = ""

    @property
    def text(self) -> str:
        """All of it as plain text."""
        lines = [self.headline, "", *(f"{label}: {value}" for label, value in self.facts)]
        if self.drivers:
            lines += ["", "Driven by:", *(f"- {name}: {value}" for name, value in self.drivers)]
        if self.playbook:
            lines += ["", f"What to do: {self.playbook}"]
        return "\n".join(lines) + "\n"


def message_of(topic: Topic, payload: Payload) -> Message:
    """What the payload says, in the words of its topic."""
    spec, shown = topic.spec, _shown(payload)
    return Message(
        headline=spec.headline.format_map(defaultdict(lambda: "?", shown)),
        facts=tuple((label, shown[key]) for label, key in spec.facts if shown.get(key)),
        drivers=tuple(_drivers(payload.get("contributors") or (), _unit(payload))),
        playbook=_text(payload.get("playbook") or ""),
    )


def _shown(payload: Payload) -> dict[str, str]:
    unit = _unit(payload)
    shown = {key: _amount(value, unit) if key in _AMOUNTS else _text(value) for key, value in payload.items()}
    if "periodStart" in payload:
        shown["period"] = f"{shown['periodStart']} to {shown.get('periodEnd', '')}"
    return shown


def _drivers(contributors: Sequence[Payload], unit: str) -> list[tuple[str, str]]:
    return [(_text(each.get("name") or "?"), _amount(each.get("value"), unit)) for each in contributors[:MAX_DRIVERS]]


def _unit(payload: Payload) -> str:
    return _text(payload.get("unit") or payload.get("currency") or "")


def _amount(value: Any, unit: str) -> str:
    """The number with separators and its unit, two decimals from one up, else four digits; other values as they are."""
    if value is None:
        return ""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return _text(value)
    if not number.is_finite():
        return _text(value)
    return f"{_rounded(number)} {unit}".strip()


def _rounded(number: Decimal) -> str:
    if number == number.to_integral_value():
        return f"{number:,.0f}"
    if abs(number) >= 1:
        return f"{number:,.2f}"
    places = max(2, 3 - number.adjusted())
    return f"{number.quantize(Decimal(1).scaleb(-places), context=EXACT):f}"


def _text(value: Any) -> str:
    """One line of bounded length: names come from events, and anybody may have chosen them."""
    if value is None:
        return ""
    if isinstance(value, list):
        return _text(", ".join(f"{each.get('name')} {each.get('percent') or '?'} %" for each in value))
    line = " ".join(str(value).split())
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…"
