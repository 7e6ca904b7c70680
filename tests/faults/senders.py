"""Clients that do what good clients do, retry and batch anew, and remember exactly what they were promised."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from itertools import count
from random import Random
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from tests.faults.product import Product
from tests.ingest.events import ago

_TOTALS = """{ costs(timeRange: {preset: LAST_90_DAYS}, groupBy: [{dimension: FEATURE}], first: 1000) {
  nodes { feature operations effectiveCost } } }"""
_SENT_AGAIN = 0.1
"""The share of events that are sent again although acknowledged; a loss among the others would show."""
_BATCHES_AHEAD = 3


class Sender(Thread):
    """One client. Its events all have its name as their feature, and costs that no other event has."""

    def __init__(
        self, name: str, target: Callable[[], tuple[int, str]], *, batch: int = 60, pause: float = 0, padding: int = 0
    ) -> None:
        super().__init__(daemon=True)
        self.feature = name
        self.acknowledged: dict[str, Decimal] = {}
        self.statuses: Counter[int | str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self._target = target
        self._batch = batch
        self._pause = pause
        self._tags = {f"padding{number}": "x" * 500 for number in range(padding)}
        self._random = Random(name)
        self._numbers = count()
        self._pending: dict[str, dict[str, Any]] = {}
        self._replayed: dict[str, dict[str, Any]] = {}
        self._start_time = ago(hours=1)
        self._finishing = Event()
        self._connection: HTTPConnection | None = None

    def run(self) -> None:
        """Send until told to finish, then until nothing is left without an acknowledgement."""
        while not self._finishing.is_set() or self._pending:
            if not self._finishing.is_set() and len(self._pending) < _BATCHES_AHEAD * self._batch:
                self._pending |= {event["event_id"]: event for event in self._new()}
            self._send(self._chosen())
            time.sleep(self._pause)
        self._hang_up()

    def finish(self) -> None:
        """Make no more events."""
        self._finishing.set()

    def _new(self) -> list[dict[str, Any]]:
        return [self._event(next(self._numbers)) for _ in range(self._random.randint(1, self._batch))]

    def _event(self, number: int) -> dict[str, Any]:
        cost = Decimal(self._random.randrange(10**12)).scaleb(-12)
        return {
            "event_id": f"{self.feature}-{number}",
            "start_time": self._start_time,
            "tenant_id": f"tenant{number % 3}",
            "feature": self.feature,
            "cost": {"amount": f"{cost:f}"},
            "tags": self._tags,
        }

    def _chosen(self) -> list[dict[str, Any]]:
        """Some of what is pending in any order, and now and then something long acknowledged."""
        events = self._random.sample([*self._pending.values()], min(len(self._pending), self._batch))
        if self._replayed and self._random.random() < 0.3:
            events.append(self._random.choice([*self._replayed.values()]))
        return events

    def _send(self, events: Sequence[dict[str, Any]]) -> None:
        began = time.monotonic()
        try:
            status, receipt = self._post(json.dumps(events).encode())
        except (OSError, HTTPException, ValueError) as error:
            self.statuses[type(error).__name__] += 1
            self._hang_up()
            time.sleep(0.05)
            return
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.statuses[status] += 1
        if status == 200:
            self._acknowledge(events, receipt)
        else:
            assert status == 503, (status, receipt)
            time.sleep(self._random.uniform(0.05, 0.3))

    def _acknowledge(self, events: Sequence[dict[str, Any]], receipt: dict[str, int]) -> None:
        counts = {outcome: receipt[outcome] for outcome in ("accepted", "duplicate", "spooled", "rejected")}
        assert receipt["received"] == len(events) == sum(counts.values())
        assert not counts["rejected"], receipt
        self.outcomes.update(counts)
        for event in events:
            name = event["event_id"]
            self.acknowledged[name] = Decimal(event["cost"]["amount"])
            self._pending.pop(name, None)
            if self._random.random() < _SENT_AGAIN:
                self._replayed[name] = event

    def _post(self, body: bytes) -> tuple[int, Any]:
        port, key = self._target()
        if self._connection is not None and self._connection.port != port:
            self._hang_up()
        if self._connection is None:
            self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._connection.request("POST", "/v1/events", body, headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Load:
    """Several senders at work on one product inside a `with` block, which ends once everything is acknowledged."""

    def __init__(self, product: Product, senders: int = 4, **options: Any) -> None:
        self._product = product
        names = [f"sender{number}" for number in range(senders)]
        self.senders = [Sender(name, lambda: (product.port, product.key), **options) for name in names]

    def __enter__(self) -> Self:
        for sender in self.senders:
            sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sender in self.senders:
            sender.finish()
        for sender in self.senders:
            sender.join(timeout=0 if kind else 120)
            assert kind or not sender.is_alive(), f"{sender.feature} still waits: {sender.statuses}"

    def work_for(self, seconds: float) -> None:
        """Return that long after the next acknowledgements: a product that has just been started is up by then."""
        acknowledged = self.statuses[200]
        wait_until(lambda: self.statuses[200] > acknowledged)
        time.sleep(seconds)

    @property
    def statuses(self) -> Counter[int | str]:
        """Answers by status, and failures by kind."""
        return sum((sender.statuses for sender in self.senders), Counter())

    @property
    def outcomes(self) -> Counter[str]:
        """Acknowledged items by outcome."""
        return sum((sender.outcomes for sender in self.senders), Counter())

    @property
    def acknowledged(self) -> int:
        """Different events acknowledged."""
        return sum(len(sender.acknowledged) for sender in self.senders)

    def told(self) -> str:
        """What happened, for those who watch."""
        return f"{self.acknowledged} events acknowledged, {dict(self.statuses)}, {dict(self.outcomes)}"

    def verify(self) -> None:
        """Everything acknowledged, and nothing else, is stored exactly once, to the last digit."""
        nodes = self._product.graphql(_TOTALS)["costs"]["nodes"]
        found = {node["feature"]: (node["operations"], Decimal(node["effectiveCost"])) for node in nodes}
        expected = {
            sender.feature: (len(sender.acknowledged), sum(sender.acknowledged.values())) for sender in self.senders
        }
        assert found == expected


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return once the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
