"""Events on the way through the spool, in one process: refused rows, refusing stores, full spools, what the next finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from ingest.spool import Spool, SpoolInUse
from tests.app import Api, running_api
from tests.attribution.factories import event
from tests.engines import EmbeddedClickHouse, connect, fresh_clickhouse_url
from tests.ingest.events import wire_event

_TOTALS = "{ costs(timeRange: {preset: LAST_90_DAYS}) { totals { operations effectiveCost } } }"
_STATUS = """{ ingestStatus { operations spool { events bytes oldest quarantined }
  counters { received accepted duplicate rejected spooled queued } } }"""


def stored(api: Api) -> int:
    found: int = api.data(_TOTALS)["costs"]["totals"]["operations"]
    return found


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_drained(api: Api) -> bool:
    return api.services.pipeline.spool.bytes == 0


@contextmanager
def refusing(api: Api, rule: str) -> Iterator[Client]:
    """A store that refuses rows which break the rule; the rule can be dropped earlier."""
    with closing(connect(api.services.settings.clickhouse_url)) as client:
        client.command(f"ALTER TABLE events ADD CONSTRAINT rule CHECK {rule}")
        yield client
        client.command("ALTER TABLE events DROP CONSTRAINT IF EXISTS rule")


@pytest.mark.slow
def test_rows_the_store_refuses_hold_up_nobody_and_are_kept(api: Api, tmp_path: Path) -> None:
    with refusing(api, "feature != 'bad'"):
        events = [wire_event(f"e{i}", feature="bad" if i in {3, 17} else "good") for i in range(40)]
        receipt = api.post_events(events).json()
        assert (receipt["received"], receipt["accepted"], receipt["spooled"]) == (40, 0, 40)
        eventually(lambda: is_drained(api))
        assert stored(api) == 38
        assert api.post_events(wire_event("e40")).json()["accepted"] == 1
        assert api.data(_STATUS)["ingestStatus"]["spool"] == {"events": 0, "bytes": 0, "oldest": None, "quarantined": 2}
        metrics = api.client.get("/metrics").text
        assert 'apportion_spool_rows_total{outcome="quarantined"} 2.0' in metrics
        assert 'apportion_spool_rows_total{outcome="drained"} 38.0' in metrics
        assert "apportion_spool_unaccounted 0.0" in metrics
        quarantine = Spool(tmp_path / "spool" / "quarantine", 10**9)
        quarantine.open()
        assert sorted(row.event_id for row in quarantine.read(100).rows) == ["e17", "e3"]
        quarantine.close()
    api.services.pipeline._writer.spool.try_refused_again()
    assert api.post_events(wire_event("e41")).json()["accepted"] == 1
    api.client.portal.call(api.services.pipeline._writer._drainer.wake)  # type: ignore[union-attr]
    eventually(lambda: is_drained(api))
    assert stored(api) == 42


@pytest.mark.slow
def test_one_refused_row_alone_is_kept_until_others_prove_it_wrong(api: Api) -> None:
    with refusing(api, "feature != 'bad'"):
        assert api.post_events(wire_event("bad", feature="bad")).json()["spooled"] == 1
        time.sleep(1.5)
        assert api.services.pipeline.spool.events == 1
        for number in range(200):
            assert api.post_events(wire_event(f"e{number}")).json()["accepted"] == 1
            time.sleep(0.05)
            if is_drained(api):
                break
        assert (api.services.pipeline.spool.quarantined, api.services.pipeline.spool.events) == (1, 0)


@pytest.mark.slow
def test_a_store_that_refuses_everything_is_waited_for(api: Api) -> None:
    with refusing(api, "tenant_id = ''") as client:
        for start in range(0, 30, 10):
            receipt = api.post_events([wire_event(f"e{i}") for i in range(start, start + 10)]).json()
            assert receipt["spooled"] == 10
        assert api.post_events(wire_event("e5")).json()["duplicate"] == 1
        time.sleep(1.5)
        status = api.data(_STATUS)["ingestStatus"]
        assert (status["spool"]["events"], status["spool"]["quarantined"]) == (30, 0)
        assert status["counters"] == {
            "received": 31,
            "accepted": 0,
            "duplicate": 1,
            "rejected": 0,
            "spooled": 30,
            "queued": 0,
        }
        client.command("ALTER TABLE events DROP CONSTRAINT rule")
        eventually(lambda: is_drained(api))
        assert stored(api) == 30


@pytest.mark.slow
def test_what_the_last_process_left_is_stored_by_the_next(clickhouse_url: str, tmp_path: Path) -> None:
    with running_api(clickhouse_url, tmp_path) as api, refusing(api, "tenant_id = ''"):
        events = [wire_event(f"e{i}", cost={"amount": f"0.{i:012}"}) for i in range(1, 30)]
        assert api.post_events(events).json()["spooled"] == 29
        api.client.portal.call(api.services.pipeline._writer.close)  # type: ignore[union-attr]
    with running_api(clickhouse_url, tmp_path) as api:
        eventually(lambda: is_drained(api))
        assert api.services.pipeline.spool.found == 29
        totals = api.data(_TOTALS)["costs"]["totals"]
        assert (totals["operations"], Decimal(totals["effectiveCost"])) == (29, sum(range(1, 30)) * Decimal("1e-12"))
        assert api.post_events(events).json()["accepted"] == 29
        assert api.data(_TOTALS)["costs"]["totals"] == totals


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 5_000])
def test_a_full_spool_turns_away_and_says_when_to_come_back(
    embedded_clickhouse: EmbeddedClickHouse, tmp_path: Path, room: int
) -> None:
    with (
        fresh_clickhouse_url(embedded_clickhouse) as url,
        running_api(url, tmp_path, spool_max_bytes=room) as api,
        refusing(api, "tenant_id = ''") as client,
    ):
        answers = [api.post_events([wire_event(f"e{n}-{i}") for i in range(20)]) for n in range(20)]
        refusals = [answer for answer in answers if answer.status_code != 200]
        assert refusals
        for answer in refusals:
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SPOOL_FULL")
            assert int(answer.headers["retry-after"]) >= 1
        counters = api.services.pipeline.counters
        assert counters.turned_away == {"SPOOL_FULL": 20 * len(refusals)}
        assert counters.total("received") == counters.total("spooled") == 20 * (20 - len(refusals))
        client.command("ALTER TABLE events DROP CONSTRAINT rule")
        eventually(lambda: is_drained(api))
        assert api.post_events([wire_event("later")]).json()["accepted"] == 1
        assert stored(api) == counters.total("spooled") + 1


def test_two_processes_never_share_a_spool(embedded_api: Api, tmp_path: Path) -> None:
    url = embedded_api.services.settings.clickhouse_url
    with pytest.raises(SpoolInUse, match="APPORTION_DATA_DIR"), running_api(url, tmp_path):
        pytest.fail("a second process runs on the same data directory")
    assert embedded_api.post_events(wire_event()).json()["accepted"] == 1


def test_a_row_that_cannot_even_be_sent_is_refused_like_any_other(embedded_api: Api, tmp_path: Path) -> None:
    """No door lets such a row pass; this is what happens should one ever."""
    writer = embedded_api.services.pipeline._writer
    rows = [event(event_id="good"), event(event_id="bad", attempt=70_000)]
    assert embedded_api.client.portal is not None
    embedded_api.client.portal.call(writer.write, rows)
    eventually(lambda: is_drained(embedded_api))
    assert embedded_api.services.pipeline.spool.quarantined == 1
