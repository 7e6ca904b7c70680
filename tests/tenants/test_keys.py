"""API keys on both databases: made, found, believed for a while, refused, revoked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, text

from core.database import Database
from core.errors import Unauthenticated
from tenants.keys import CACHE_SECONDS, KeyRing, NoSuchKey, UnknownKey, UnusableKey
from tenants.principal import Principal, Role
from tenants.scope import Scope
from tests.tenants.race import race


def prefix_of(key: str) -> str:
    return key.split("_")[1]


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The SQL that the database was asked inside the block."""
    seen: list[str] = []

    def remember(_connection, _cursor, statement, *_rest):
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", remember)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", remember)


SCOPES = [Scope(), Scope("acme"), Scope("acme", "search", "production"), Scope(team="ops"), Scope(environment="test")]


def test_a_key_stands_for_its_role_and_scope(ring):
    for role, scope in itertools.product(Role, SCOPES):
        key = ring.create("dashboard", role, scope)
        assert ring.verify(key) == Principal("dashboard", role, scope)


def test_a_key_has_a_prefix_to_find_it_by_and_256_random_bits(ring):
    keys = [ring.create("k", Role.VIEWER) for _ in range(20)]
    assert all(re.fullmatch(r"apn_[0-9a-f]{12}_[0-9a-f]{64}", key) for key in keys)
    assert len({prefix_of(key) for key in keys}) == len({key.split("_")[2] for key in keys}) == 20


def test_the_secret_is_not_kept(ring, database):
    key = ring.create("k", Role.VIEWER)
    with database.session() as session:
        (row,) = session.connection().execute(text("SELECT * FROM api_keys")).all()
    assert prefix_of(key) in row
    assert key.split("_")[2] not in str(row)


def test_keys_are_listed_oldest_first_revoked_ones_too(ring):
    before = datetime.now(UTC)
    first, second = ring.create("first", Role.INGEST, Scope("acme")), ring.create("second", Role.ADMIN)
    ring.revoke(prefix_of(first))
    listed = ring.all_keys()
    assert [(key.name, key.prefix) for key in listed] == [("first", prefix_of(first)), ("second", prefix_of(second))]
    assert [key.tenant_id for key in listed] == ["acme", None]
    assert before - timedelta(seconds=1) < listed[0].created_at <= listed[0].revoked_at <= datetime.now(UTC)
    assert listed[1].revoked_at is None


def test_a_ring_is_empty_until_the_first_key_and_never_again(ring):
    assert ring.is_empty()
    key = ring.create("k", Role.VIEWER)
    assert not ring.is_empty()
    ring.revoke(prefix_of(key))
    assert not ring.is_empty()


NAMES = ["x", "x" * 200, "Köln 東京 🔑", "👩‍🔬", "[bold]not markup[/bold]", "o'hara; DROP TABLE api_keys"]
UNUSABLE = ["", "x" * 201, "two\nlines", "nul\0", "bell\x07", "lone \ud800 surrogate"]


def test_names_and_scopes_are_kept_as_they_are(ring):
    for name in NAMES:
        key = ring.create(name, Role.VIEWER, Scope(name, name, name))
        assert ring.verify(key) == Principal(name, Role.VIEWER, Scope(name, name, name))
    assert [key.name for key in ring.all_keys()] == NAMES


@pytest.mark.parametrize("part", ["name", "tenant", "team", "environment"])
def test_what_cannot_be_kept_or_shown_is_refused(ring, part):
    for unusable in UNUSABLE:
        given = {"name": "k", part: unusable}
        with pytest.raises(UnusableKey, match=f"^the {part} of a key has 1 to 200 characters") as refusal:
            ring.create(given.pop("name"), Role.VIEWER, Scope(**given))
        assert refusal.value.code == "UNUSABLE_KEY"
    assert ring.is_empty()


SECRET = "0123456789abcdef" * 4
MALFORMED = [
    "",
    "apn",
    "apn__",
    "apn_0a1b_",
    f"apn__{SECRET}",
    f"0a1b_{SECRET}",
    f"sk_0a1b_{SECRET}",
    f"APN_0a1b_{SECRET}",
    f"apn_0a1b_{SECRET[:-1]}",
    f"apn_0a1b_{SECRET}0",
    f"apn_0a1b_{SECRET}_0",
    f"apn_0a1b_{SECRET}\n",
    f" apn_0a1b_{SECRET}",
    f"apn_0a1b_{SECRET[:-1]}G",
    f"apn_%_{SECRET}",
    f"apn_' OR ''='_{SECRET}",
    f"apn_0a\0b_{SECRET}",
    f"apn_٣٣٣٣_{SECRET}",
    f"apn_0a1b_{'é' * 64}",
    f"apn_0a1b_{'🔑' * 64}",
    f"apn_0a1b_{SECRET[:-1]}\ud800",
    f"apn_{'0' * 17}_{SECRET}",
    "apn_" * 100_000,
]


def test_what_is_no_key_is_refused_without_asking_the_database(ring, database):
    ring.create("k", Role.VIEWER)
    with statements(database) as asked:
        for token in MALFORMED:
            with pytest.raises(UnknownKey):
                ring.verify(token)
    assert asked == []


def test_every_refusal_reads_the_same(ring):
    """Nothing tells a guesser whether a prefix exists, or existed."""
    live, other, revoked = (ring.create(name, Role.VIEWER) for name in ("live", "other", "revoked"))
    ring.revoke(prefix_of(revoked))
    nearly = live[:-1] + ("0" if live[-1] != "0" else "1")
    mixed = f"apn_{prefix_of(live)}_{other.split('_')[2]}"
    refusals = []
    for token in (nearly, mixed, revoked, f"apn_{'0' * 12}_{SECRET}", "nonsense"):
        with pytest.raises(UnknownKey) as refusal:
            ring.verify(token)
        refusals.append((refusal.value.code, str(refusal.value)))
    assert len(set(refusals)) == 1
    assert isinstance(refusal.value, Unauthenticated)


def test_a_verified_key_is_believed_without_asking_again(ring, database, clock):
    key = ring.create("k", Role.VIEWER)
    principal = ring.verify(key)
    clock.now += CACHE_SECONDS - 0.01
    with statements(database) as asked:
        assert ring.verify(key) == ring.cached(key) == principal
    assert asked == []
    clock.now += 0.01
    with statements(database) as asked:
        assert ring.cached(key) is None
        assert ring.verify(key) == principal
    assert len(asked) == 1


def test_refusals_are_not_remembered(ring, database):
    with pytest.raises(UnknownKey):
        ring.verify(f"apn_0a1b_{SECRET}")
    with statements(database) as asked, pytest.raises(UnknownKey):
        ring.verify(f"apn_0a1b_{SECRET}")
    assert len(asked) == 1


def test_a_key_revoked_elsewhere_is_refused_within_the_cache_seconds(ring, database, clock):
    key = ring.create("k", Role.VIEWER)
    principal = ring.verify(key)
    KeyRing(database).revoke(prefix_of(key))
    clock.now += CACHE_SECONDS - 0.01
    assert ring.verify(key) == principal
    clock.now += 0.01
    with pytest.raises(UnknownKey):
        ring.verify(key)


def test_a_key_revoked_here_is_refused_at_once(ring):
    key, other = ring.create("k", Role.VIEWER), ring.create("other", Role.VIEWER)
    ring.verify(key)
    ring.revoke(prefix_of(key))
    assert ring.cached(key) is None
    with pytest.raises(UnknownKey):
        ring.verify(key)
    assert ring.verify(other).name == "other"


def test_revoking_twice_keeps_the_first_time(ring):
    prefix = prefix_of(ring.create("k", Role.VIEWER))
    ring.revoke(prefix)
    (key,) = ring.all_keys()
    ring.revoke(prefix)
    assert ring.all_keys()[0].revoked_at == key.revoked_at


def test_only_a_whole_prefix_that_exists_can_be_revoked(ring):
    key = ring.create("k", Role.VIEWER)
    for prefix in (prefix_of(key)[:6], "", "00000000", "%", "nul\0", "\ud800", "'; --", "ABCDEF", key):
        with pytest.raises(NoSuchKey) as refusal:
            ring.revoke(prefix)
        assert repr(prefix) in str(refusal.value)
    assert ring.verify(key).name == "k"


def test_threads_share_a_ring(ring):
    keys = [ring.create(f"k{i}", Role.VIEWER) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda i: ring.verify(keys[i % 8]).name, range(160)))
    assert names == [f"k{i % 8}" for i in range(160)]


def create_some(url: str) -> list[str]:
    database = Database(url)
    ring = KeyRing(database)
    keys = [ring.create(f"k{i}", Role.VIEWER) for i in range(25)]
    database.close()
    return keys


@pytest.mark.slow
def test_two_processes_create_keys_at_once(ring, database_url):
    created = [key for keys in race(create_some, database_url) for key in keys]
    assert len(created) == 50
    assert sorted(key.prefix for key in ring.all_keys()) == sorted(map(prefix_of, created))
    assert all(ring.verify(key).role is Role.VIEWER for key in created)
