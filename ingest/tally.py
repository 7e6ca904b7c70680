"""What a repricing changes in money, by model; sums are of known costs, and unknown ones are counted beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import NamedTuple

from attribution.event import EventRow, Pico


class Model(NamedTuple):
    """Whose events: the provider, and the model that answered, or was asked for where none is named."""

    provider_name: str
    model: str


@dataclass(slots=True)
class Change:
    """Before and after, in whole pico units."""

    events: int = 0
    changed: int = 0
    old_rated: Pico = 0
    new_rated: Pico = 0
    old_effective: Pico = 0
    new_effective: Pico = 0
    old_unpriced: int = 0
    new_unpriced: int = 0

    @property
    def difference(self) -> Pico:
        """What the known effective costs change by."""
        return self.new_effective - self.old_effective

    def add(self, old: EventRow, new: EventRow) -> None:
        """Count one event."""
        self.events += 1
        self.changed += is_changed(old, new)
        self.old_rated += old.rated_cost or 0
        self.new_rated += new.rated_cost or 0
        self.old_effective += old.effective_cost or 0
        self.new_effective += new.effective_cost or 0
        self.old_unpriced += old.effective_cost is None
        self.new_unpriced += new.effective_cost is None


@dataclass(slots=True)
class Tally:
    """The changes by model."""

    models: dict[Model, Change] = field(default_factory=dict)

    def add(self, old: EventRow, new: EventRow) -> None:
        """Count one event."""
        model = Model(old.provider_name, old.response_model or old.request_model)
        self.models.setdefault(model, Change()).add(old, new)

    @property
    def total(self) -> Change:
        """Over all models."""
        changes = self.models.values()
        return Change(*(sum(getattr(change, each.name) for change in changes) for each in fields(Change)))

    @property
    def by_difference(self) -> Sequence[tuple[Model, Change]]:
        """The models, those first whose effective cost changes most."""
        return sorted(self.models.items(), key=lambda item: (-abs(item[1].difference), -item[1].changed, item[0]))

    def to_json(self) -> list[list[object]]:
        """Plain values that `from_json` makes the same tally of."""
        return [[*model, asdict(change)] for model, change in self.models.items()]

    @classmethod
    def from_json(cls, values: Sequence[tuple[str, str, Mapping[str, int]]]) -> Tally:
        """The tally of those values."""
        return cls({Model(provider, model): Change(**change) for provider, model, change in values})


def is_changed(old: EventRow, new: EventRow) -> bool:
    """True when any amount differs."""
    return _money(old) != _money(new)


def _money(row: EventRow) -> tuple[Pico | None, ...]:
    return row.effective_cost, row.rated_cost, row.list_cost, row.cache_savings
