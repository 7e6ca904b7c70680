"""Every command as a process of its own: what it says, its exit code, and its manners beside a running server."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import graphql
import pytest
import typer

from api.cli import app
from api.graphql.schema import make_schema
from tests.api.command_line import CommandLine, RunningServer
from tests.servers.tether import reserved_port

KEY = re.compile(r"apn_([0-9a-f]+)_[0-9a-f]{64}")
COUNT = "{ costs(timeRange: {preset: LAST_7_DAYS}) { totals { operations effectiveCost } } }"
HEAVY = {"alembic", "clickhouse_connect", "genai_prices", "graphql", "pyarrow", "starlette", "strawberry", "uvicorn"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def run(tmp_path, compiled) -> CommandLine:
    return CommandLine(tmp_path, compiled)


@pytest.fixture(scope="module")
def beside(tmp_path_factory, compiled) -> CommandLine:
    """A command line whose directory a server runs in."""
    return CommandLine(tmp_path_factory.mktemp("served"), compiled)


@pytest.fixture(scope="module")
def server(beside) -> Iterator[RunningServer]:
    with RunningServer(beside) as running:
        yield running


def event(name: str, cost: str = "0.25") -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {"tenant_id": "acme", "event_id": name, "start_time": now, "cost": {"amount": cost}}


def refused(finished: subprocess.CompletedProcess[str], *, code: int = 1) -> str:
    """The one sentence on standard error with which a command gave up."""
    assert (finished.returncode, finished.stdout) == (code, ""), finished.stderr
    assert "Traceback" not in finished.stderr
    return finished.stderr


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group, by the words that name it."""
    yield path, command
    for name, part in getattr(command, "commands", {}).items():
        yield from commands(part, *path, name)


def imported(finished: subprocess.CompletedProcess[str]) -> set[str]:
    """The packages that a command run with `-X importtime` has loaded."""
    assert finished.returncode == 0
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in finished.stderr.splitlines() if "|" in line}


@pytest.mark.slow
def test_help_teaches_every_command_and_option(run):
    found = list(commands(typer.main.get_command(app)))
    assert len(found) >= 12
    for path, command in found:
        shown = run(*path, "--help")
        assert shown.returncode == 0, path
        parts = getattr(command, "commands", {}).values()
        taught = [command.help, *((part.help or "").partition("\n\n")[0] for part in parts)]
        taught += [parameter.help for parameter in command.params]
        for text in taught:
            assert text, path
            assert " ".join(text.split()) in " ".join(re.sub("[│╭╰─]", " ", shown.stdout).split()), path
        assert all(parameter.opts[0].lstrip("-") in shown.stdout.lower() for parameter in command.params), path


def test_help_names_the_settings_it_reads(run):
    shown = run("serve", "--help").stdout
    assert all(f"APPORTION_{name}" in shown for name in ("HOST", "PORT", "DATA_DIR"))


def test_without_a_command_it_helps(run):
    assert "Start with `apportion demo`" in run().stdout


@pytest.mark.slow
def test_commands_load_only_what_they_need(run):
    run.key("viewer")  # migrates, which needs alembic once
    interpreter, *words = run.command("keys", "create", "--name", "k", "--role", "viewer")
    environment = run.environment()

    def loaded(*arguments: str) -> set[str]:
        command = [interpreter, "-X", "importtime", *arguments]
        return imported(subprocess.run(command, env=environment, capture_output=True, text=True, check=False))

    assert loaded("-m", "api.cli", "--help").isdisjoint(HEAVY | {"sqlalchemy", "sqlmodel"})
    creation = loaded(*words)
    assert "sqlalchemy" in creation
    assert creation.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "words",
    [
        ["explain"],
        ["keys", "explain"],
        ["keys", "create", "--name", "k"],
        ["keys", "create", "--name", "k", "--role", "emperor"],
        ["keys", "revoke"],
        ["serve", "--port", "65536"],
        ["serve", "--colour", "red"],
        ["prices", "add", "--provider", "p", "--unit", "u", "--price", "cheap", "--from", "2026-03-01T00:00:00Z"],
        ["prices", "add", "--provider", "p", "--unit", "u", "--price", "1", "--from", "yesterday"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_touches_nothing(run, words):
    sentence = refused(run(*words), code=2)
    assert "Usage: " in sentence
    assert "Error" in sentence
    assert list(run.directory.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"APPORTION_CURRENCY": "dollars"}, "APPORTION_CURRENCY: String should match pattern"),
        ({"APPORTION_MAX_TAGS": "-1"}, "APPORTION_MAX_TAGS: Input should be greater than or equal to 0"),
        ({"APPORTION_CORS_ORIGINS": "https://app.example"}, "cors_origins"),
        ({"APPORTION_DATABASE_URL": "mysql://me:secret@db/costs"}, "must look like postgresql+psycopg://"),
        ({"APPORTION_DATA_DIR": "/dev/null/here"}, "/dev/null/here cannot be used for data: "),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_unusable_setting_is_named(run, settings, said):
    sentence = refused(run("keys", "list", **settings))
    assert sentence.startswith("apportion: ")
    assert said in sentence
    assert "secret" not in sentence


def test_an_absent_database_is_told_with_the_drivers_reason(run):
    with reserved_port() as port:
        url = f"postgresql://me:secret@127.0.0.1:{port.getsockname()[1]}/costs"
        sentence = refused(run("keys", "list", APPORTION_DATABASE_URL=url))
    assert sentence.startswith("apportion: the relational database does not answer; retry shortly (")
    assert "Connection refused" in sentence
    assert "secret" not in sentence


def test_a_created_key_is_the_whole_standard_output(run):
    created = run("keys", "create", "--name", "[/] :smile: Zoë", "--role", "viewer", "--tenant", "acme")
    assert created.returncode == 0
    assert KEY.fullmatch(created.stdout.rstrip("\n"))
    assert created.stderr == "key '[/] :smile: Zoë' with role viewer; store it now, it is not shown again\n"
    listed = run("keys", "list").stdout
    row = [cell.strip() for cell in listed.splitlines()[3].split("│")[1:-1]]
    assert row[:6] == [KEY.match(created.stdout)[1], "[/] :smile: Zoë", "viewer", "acme", "", ""]
    assert row[7] == ""
    assert KEY.search(listed) is None


def test_an_unusable_key_is_refused(run):
    assert "the tenant of a key has 1 to 200" in refused(
        run("keys", "create", "--name", "k", "--role", "viewer", "--tenant", "")
    )


def test_revoking_shows_in_the_list_and_an_unknown_prefix_is_refused(run):
    prefix = KEY.fullmatch(run.key("viewer"))[1]
    assert run("keys", "revoke", prefix).stdout == f"key {prefix} is revoked\n"
    assert re.search(rf"│ {prefix} .*│ \d{{4}}-\d\d-\d\dT.* │ \d{{4}}-\d\d-\d\dT.* │", run("keys", "list").stdout)
    assert "no key has the prefix 'feedbeef'" in refused(run("keys", "revoke", "feedbeef"))


def add(run: CommandLine, **changed: str) -> subprocess.CompletedProcess[str]:
    options = {"provider": "openai", "model": "gpt-4o", "unit": "input_tokens", "price": "2.50", "per": "1000000"}
    options |= {"from": "2026-03-01T00:00:00Z", "note": "frame [contract] 7"} | changed
    return run("prices", "add", *(word for name, value in options.items() for word in (f"--{name}", value)))


def price_rows(run: CommandLine) -> list[list[str]]:
    lines = run("prices", "list").stdout.splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]


@pytest.mark.slow
def test_prices_are_added_listed_and_never_overwritten(run):
    added = add(run)
    assert (
        added.stdout == "price 1: 1000000 input_tokens of openai gpt-4o cost 2.5 USD from 2026-03-01T00:00:00+00:00\n"
    )
    again = refused(add(run, price="1.00"))
    assert "already has a price of input_tokens from 2026-03-01T00:00:00+00:00; add one with another" in again
    assert add(run, price="2", **{"from": "2026-04-01T02:00:00+02:00"}).returncode == 0
    assert "the price book is kept in USD" in refused(add(run, currency="EUR"))
    assert "price is not usable: it must not be negative" in refused(add(run, price="-1"))
    assert "has no time zone" in refused(add(run, **{"from": "2026-05-01"}))
    rows = price_rows(run)
    assert [(row[1], row[2], row[3], row[5], row[6], row[7], row[8], row[9]) for row in rows] == [
        ("openai", "gpt-4o", "input_tokens", price, "1000000", "USD", f"{start}T00:00:00+00:00", "frame [contract] 7")
        for price, start in (("2.5", "2026-03-01"), ("2", "2026-04-01"))
    ]


@pytest.mark.slow
def test_migrate_can_be_repeated(run):
    for _ in range(2):
        assert (run("migrate").stdout, run.directory.joinpath("events").is_dir()) == ("both stores are current\n", True)


@pytest.mark.slow
def test_schema_prints_the_schema(run):
    printed = run("schema")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout == make_schema().as_str() + "\n"
    assert graphql.build_schema(printed.stdout).query_type.name == "Query"


@pytest.mark.slow
def test_a_key_made_beside_a_running_server_works_until_revoked(beside, server):
    key, sent = beside.key("ingest", "--tenant", "acme"), event("beside")
    assert server.send(key, sent).json()["accepted"] == 1
    assert beside("keys", "revoke", KEY.fullmatch(key)[1]).returncode == 0
    deadline = time.monotonic() + 6
    while (status := server.send(key, sent).status_code) != 401 and time.monotonic() < deadline:
        assert status == 200
        time.sleep(0.2)
    assert status == 401


@pytest.mark.slow
@pytest.mark.parametrize("words", [["migrate"], ["serve", "--port", "0"]], ids=" ".join)
def test_a_directory_in_use_is_left_to_its_server(beside, server, words):
    sentence = refused(beside(*words))
    assert f"{beside.directory}/events is in use by another process" in sentence
    assert "APPORTION_CLICKHOUSE_URL" in sentence
    assert server.ask(beside.key("viewer"), COUNT).status_code == 200


@pytest.mark.slow
def test_a_port_in_use_is_told(run, server):
    sentence = refused(run("serve", "--port", str(server.port)))
    assert sentence == (
        f"apportion: port {server.port} of 127.0.0.1 is in use; choose another with --port, or 0 for a free one\n"
    )


@pytest.mark.slow
def test_an_address_of_another_machine_is_told(run):
    assert "cannot listen on port 0 of 192.0.2.1: " in refused(run("serve", "--port", "0", "--host", "192.0.2.1"))


@pytest.mark.slow
def test_a_server_told_to_stop_ends_well_and_finds_everything_again(run):
    with RunningServer(run) as first:
        key = KEY.search(first.greeting)[0]
        assert first.greeting.startswith("admin key, shown only now: ")
        assert first.send(key, event("a"), event("b"), event("c", "0.000000000001")).json()["accepted"] == 3
        assert first.stop(signal.SIGTERM) == 0
    with RunningServer(run) as second:
        assert KEY.search(second.greeting) is None
        assert second.greeting.startswith("Apportion listens on http://127.0.0.1:")
        totals = {"operations": 3, "effectiveCost": "0.500000000001"}
        assert second.ask(key, COUNT).json()["data"] == {"costs": {"totals": totals}}
        assert second.stop(signal.SIGINT) == 0
    assert "Traceback" not in (run.directory / "server.log").read_text()
