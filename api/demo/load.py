"""Loading the demo company through the real ingest path, and saying what to try."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.demo.events import generate
from api.demo.money import bring_money
from api.demo.services import NEGOTIATED_PRICES
from api.demo.targets import set_targets
from api.demo.tiers import agree
from api.services import Services
from core.errors import ApportionError
from ingest.door import EVENTS
from ingest.payloads import ENCODER, Receipt
from pricing.book import PriceExists
from tenants.principal import Role
from tenants.scope import Scope

BATCH = 5_000
IN_FLIGHT = 3
DAYS = 90

console = Console(highlight=False, soft_wrap=True)


class DemoRejected(ApportionError):
    """The demo's own events were refused: the generator and the rules disagree."""

    code = "DEMO_REJECTED"

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(f"{receipt.rejected} demo events were refused, the first: {receipt.errors[0].message}")


class Plan(msgspec.Struct):
    """What the demo directory holds, kept beside it: an interrupted load continues as the same company."""

    events: int
    seed: int
    end: datetime
    key: str
    done: bool = False


@dataclass(frozen=True, slots=True)
class PlanFile:
    """Where the plan is kept."""

    path: Path

    def read(self) -> Plan | None:
        """The plan of this directory, if it has one."""
        return msgspec.json.decode(self.path.read_bytes(), type=Plan) if self.path.exists() else None

    def write(self, plan: Plan) -> None:
        """Keep the plan; it holds the demo's key, so it is for the owner's eyes."""
        self.path.touch(mode=0o600)
        self.path.write_bytes(msgspec.json.encode(plan))


def prepare(services: Services, *, events: int, seed: int) -> Plan:
    """The loaded demo: from before, when this directory has it, else loaded now with a progress bar."""
    file = PlanFile(services.settings.data_dir / "demo.json")
    plan = file.read()
    if plan is None:
        key = services.keys.create("demo", Role.ADMIN)
        plan = Plan(events, seed, datetime.now(UTC).replace(second=0, microsecond=0), key)
        file.write(plan)
    if plan.done:
        console.print(
            f"The demo data is already here: {plan.events:,} events up to {plan.end:%Y-%m-%d %H:%M} UTC (seed "
            f"{plan.seed}). For another company, choose another --data-dir, or delete {services.settings.data_dir}."
        )
        return plan
    console.print(f"Loading {plan.events:,} events; this takes about a minute for 300,000.")
    _agree_prices(services, plan)
    agree(services, events=plan.events, end=plan.end)
    asyncio.run(_bring(services, plan))
    set_targets(services, plan.end)
    plan.done = True
    file.write(plan)
    return plan


def _agree_prices(services: Services, plan: Plan) -> None:
    start = plan.end - timedelta(days=DAYS + 1)
    for agreed in NEGOTIATED_PRICES:
        provider, model, unit, price, per, note = agreed
        try:
            services.book.add(
                provider=provider,
                model=model,
                unit=unit,
                price=Decimal(price),
                per=per,
                note=note,
                effective_from=start,
                created_by="demo",
            )
        except PriceExists:
            continue


async def _bring(services: Services, plan: Plan) -> None:
    await _load(services, plan)
    await bring_money(services, plan.end)


async def _load(services: Services, plan: Plan) -> None:
    """Send every event as JSON text, a few batches in flight, so that inserts overlap decoding."""
    columns = (TextColumn("loading events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("load", total=plan.events)

        async def send(items: list[bytes]) -> None:
            receipt = await services.pipeline.ingest(items, door=EVENTS, scope=Scope())
            if receipt.rejected:
                raise DemoRejected(receipt)
            progress.advance(task, len(items))

        pending: set[asyncio.Task[None]] = set()
        for batch in _batches(plan):
            pending.add(asyncio.create_task(send(batch)))
            if len(pending) >= IN_FLIGHT:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for finished in done:
                    finished.result()
        await asyncio.gather(*pending)


def _batches(plan: Plan) -> Iterator[list[bytes]]:
    encoded = (ENCODER.encode(event) for event in generate(plan.events, seed=plan.seed, end=plan.end, days=DAYS))
    while batch := list(islice(encoded, BATCH)):
        yield batch


_QUERIES = {
    "Which budgets are in trouble?": """{
  budgets(standing: [BREACHED, NEAR, FORECAST]) {
    nodes { name team status { standing member spent limit percent forecast { amount } projectedBreachDate } }
  }
}""",
    "What does each feature cost, and what part of it is wasted?": """{
  costs(timeRange: {preset: LAST_30_DAYS}, groupBy: [{dimension: FEATURE}]) {
    nodes { feature effectiveCost costShare wastedShare requests costPerRequest }
    totals { effectiveCost unpricedOperations }
  }
}""",
    "Which pricing tier loses money, and how many of its tenants do?": """{
  profitability(timeRange: {preset: LAST_MONTH}, by: TIER) {
    nodes { tier economics { revenue { total source } cost grossMargin grossMarginPercent }
            tenantsBelow { tenants known } }
  }
}""",
    "Which users cost most, and whose are they?": """{
  costs(timeRange: {preset: LAST_30_DAYS}, groupBy: [{dimension: TENANT}, {dimension: USER}], first: 5) {
    totalCount
    nodes { tenant user effectiveCost costShare operations }
  }
}""",
    "What do the providers bill beyond what was sent, and why?": """{
  reconciliation(provider: "openai", timeRange: {preset: LAST_MONTH}, by: [MODEL]) {
    total { billed attributed gap gapPercent causes { cause amount } }
    rows { model billed attributed gap cause billedTokens attributedTokens }
  }
}""",
    "How did the newly launched feature grow, week by week?": """{
  costs(timeRange: {preset: LAST_90_DAYS}, granularity: WEEK, where: {feature: {eq: "agent-research"}}) {
    nodes { bucketStart effectiveCost activeUsers costPerRequest }
  }
}""",
}


def advise(plan: Plan, url: str) -> None:
    """Print where to click and three queries to try."""
    console.print(f"\nOpen [bold]{url}/graphql#key={plan.key}[/bold] for GraphiQL, or ask from a shell:\n")
    console.print(f"export KEY={plan.key}\n")
    for question, query in _QUERIES.items():
        body = msgspec.json.encode({"query": " ".join(query.split())}).decode()
        console.print(f"# {question}")
        console.print(
            f"curl -s {url}/graphql -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' "
            f"-d '{body}'\n",
            markup=False,
        )
