"""The spool keeps exactly what it was given, through crashes, damage, full disks and upgrades."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import msgspec
import pytest

from attribution.event import EventRow
from ingest.frames import HEADER_BYTES, Frame, Gap, frame, walk
from ingest.segments import pack, record, unpack
from ingest.spool import SEGMENT_BYTES, Spool, SpoolFull, SpoolInUse, SpoolUnwritable
from tests.attribution.factories import event, random_rows

ROOM = 100_000_000


@contextmanager
def opened(directory: Path, room: int = ROOM) -> Iterator[Spool]:
    spool = Spool(directory, room)
    spool.open()
    try:
        yield spool
    finally:
        spool.close()


def spooled(directory: Path, *batches: list[EventRow]) -> Path:
    """The one segment that a process left which spooled these and died."""
    with opened(directory) as spool:
        for rows in batches:
            spool.append(rows)
    (segment,) = directory.glob("*.rows")
    return segment


def drained(spool: Spool, limit: int = 1_000_000) -> list[EventRow]:
    """All rows, taken out batch by batch."""
    rows: list[EventRow] = []
    while spool.status.bytes:
        batch = spool.read(limit)
        rows += batch.rows
        spool.take_out(batch)
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_rows_come_back_exactly_as_they_went_in(tmp_path: Path, seed: int) -> None:
    rows = [*random_rows(seed, 300), event(version=2**64 - 1, effective_cost=-(10**18), tags={"": "\x00"})]
    spooled(tmp_path, rows[:100], rows[100:101], rows[101:])
    with opened(tmp_path) as spool:
        assert spool.status.events == spool.status.found == len(rows)
        assert drained(spool, limit=1) == rows
        assert (spool.status.events, spool.status.bytes, spool.status.oldest) == (0, 0, None)
        assert (spool.status.drained, spool.status.unaccounted) == (len(rows), 0)
    assert list(tmp_path.glob("*.rows")) == []


def test_a_write_cut_short_anywhere_is_cut_off_and_nothing_else(tmp_path: Path) -> None:
    kept, cut = [event(), event()], [event(feature="cut")]
    segment = spooled(tmp_path, kept)
    whole = segment.read_bytes()
    torn = record(cut)
    for length in [*range(1, HEADER_BYTES + 2), len(torn) // 2, len(torn) - 1]:
        segment.write_bytes(whole + torn[:length])
        with opened(tmp_path) as spool:
            assert segment.read_bytes() == whole
            assert spool.read(10).rows == kept
            assert spool.status.damaged == 0
    segment.write_bytes(torn[:-1])
    with opened(tmp_path) as spool:
        assert (spool.status.events, spool.status.bytes, spool.read(10).rows) == (0, 0, [])


@pytest.mark.parametrize("where", ["magic", "length", "checksum", "payload"])
def test_a_damaged_record_is_set_aside_and_the_others_are_read(tmp_path: Path, where: str) -> None:
    first, second, third = [event()], [event(), event()], [event()]
    segment = spooled(tmp_path, first, second, third)
    data = bytearray(segment.read_bytes())
    _, damaged, _ = walk(bytes(data))
    offset = {"magic": 0, "length": 5, "checksum": 21, "payload": HEADER_BYTES + 40}[where]
    data[damaged.start + offset] ^= 0xFF
    segment.write_bytes(data)
    with opened(tmp_path) as spool:
        assert drained(spool) == first + third
        assert (spool.status.damaged, spool.status.unaccounted, spool.status.events) == (1, 0, 0)
    (aside,) = (tmp_path / "damaged").iterdir()
    assert aside.read_bytes() == data[damaged.start : damaged.end]


def test_damage_while_open_is_told_as_unaccounted(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append([event(), event()])
        (segment,) = tmp_path.glob("*.rows")
        segment.write_bytes(b"\x00" * segment.stat().st_size)
        assert drained(spool) == []
        assert (spool.status.damaged, spool.status.unaccounted, spool.status.events) == (1, 2, 0)


def test_any_bytes_at_all_never_make_it_unreadable(tmp_path: Path) -> None:
    random = Random(4)
    for _ in range(200):
        parts = [random.randbytes(random.randint(0, 60)), record([event()]), b"\xf1APN" * random.randint(0, 9)]
        random.shuffle(parts)
        data = b"".join(parts)[: random.randint(0, 3000)]
        found = list(walk(data))
        assert all(isinstance(part, Frame | Gap) for part in found)
        assert [part.start for part in found[1:]] == [part.end for part in found[:-1]]


def test_what_was_taken_out_does_not_come_back_and_what_was_only_read_does(tmp_path: Path) -> None:
    batches = [[event()] for _ in range(4)]
    spooled(tmp_path, *batches)
    with opened(tmp_path) as spool:
        spool.take_out(spool.read(1))
        spool.read(2)
    with opened(tmp_path) as spool:
        assert spool.status.events == 3
        (tmp_path / "position").write_text("nonsense")
        assert drained(spool) == [row for batch in batches[1:] for row in batch]
    spooled(tmp_path, *batches)
    with opened(tmp_path) as spool:
        assert spool.status.events == 4


def test_rows_are_read_in_order_while_others_are_appended(tmp_path: Path) -> None:
    rows = [event() for _ in range(20)]
    seen = []
    with opened(tmp_path) as spool:
        for number in range(0, 20, 2):
            spool.append(rows[number : number + 2])
            if number % 6 == 4:
                batch = spool.read(3)
                seen += batch.rows
                spool.take_out(batch)
        assert seen + drained(spool) == rows


def test_long_spools_are_many_segments_deleted_one_by_one(tmp_path: Path) -> None:
    big = {"note": "x" * (SEGMENT_BYTES // 2)}
    with opened(tmp_path) as spool:
        for _ in range(5):
            spool.append([event(tags=big)])
        counts = [len(list(tmp_path.glob("*.rows")))]
        while spool.status.bytes:
            spool.take_out(spool.read(1))
            counts.append(len(list(tmp_path.glob("*.rows"))))
    assert counts == [3, 3, 2, 2, 1, 0]


def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    rows = [event()]
    with opened(tmp_path, room=len(record(rows)) + 50) as spool:
        spool.append(rows)
        with pytest.raises(SpoolFull, match="send them again"):
            spool.append(rows)
        assert drained(spool) == rows
        spool.append(rows)
        assert spool.status.events == 1


def test_a_full_disk_refuses_and_leaves_no_half_record(tmp_path: Path) -> None:
    small, big = [event()], [event(tags={"note": "x" * 100_000})]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(tmp_path) as spool:
        spool.append(small)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            for _ in range(3):
                with pytest.raises(SpoolUnwritable, match="disk"):
                    spool.append(big)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        spool.append(big)
        assert spool.status.events == 2
        assert drained(spool) == small + big
    assert list(tmp_path.glob("*.rows")) == []


def test_a_spool_belongs_to_one_process(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(SpoolInUse, match="APPORTION_DATA_DIR"), opened(tmp_path):
        pytest.fail("opened twice")
    with opened(tmp_path) as spool:
        assert spool.status.events == 0


def test_an_unusable_directory_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnwritable):
        Spool(tmp_path / "file" / "spool", ROOM).open()


def test_rows_of_another_version_are_read_where_that_is_possible(tmp_path: Path) -> None:
    row = event()
    columns = msgspec.msgpack.decode(pack([row]))
    del columns["feature"]  # as if it had been added since
    assert unpack(msgspec.msgpack.encode(columns)) == [row._replace(feature="")]
    segment = spooled(tmp_path, [row])
    newer = frame(msgspec.msgpack.encode(columns | {"colour": ["red"]}), rows=1, at=0)
    segment.write_bytes(newer + segment.read_bytes())
    with opened(tmp_path) as spool:
        assert drained(spool) == [row]
        assert (spool.status.damaged, spool.status.events, spool.status.unaccounted) == (1, 0, 0)
    (aside,) = (tmp_path / "damaged").iterdir()
    assert aside.read_bytes() == newer


def test_what_is_in_quarantine_is_tried_again_by_the_next_process(tmp_path: Path) -> None:
    good, bad = event(), event(feature="bad")
    spooled(tmp_path, [good, bad])
    with opened(tmp_path) as spool:
        spool.take_out(spool.read(10), refused=[bad])
        assert (spool.status.drained, spool.status.quarantined, spool.status.events) == (1, 1, 0)
    with opened(tmp_path) as spool:
        assert spool.status.found == 1
        assert drained(spool) == [bad]
    assert [*(tmp_path / "quarantine").iterdir()] == []


def test_what_is_in_quarantine_can_be_tried_again_while_others_come_and_go(tmp_path: Path) -> None:
    bad, waiting, fresh = event(feature="bad"), event(), event()
    spooled(tmp_path, [bad])
    with opened(tmp_path) as spool:
        spool.take_out(spool.read(10), refused=[bad])
        spool.append([waiting])
        outstanding = spool.read(10)
        spool.try_refused_again()
        spool.append([fresh])
        spool.take_out(outstanding)
        assert drained(spool) == [bad, fresh]
        assert (spool.status.retried, spool.status.events, spool.status.unaccounted) == (1, 0, 0)
