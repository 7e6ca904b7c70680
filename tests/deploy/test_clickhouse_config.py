"""The server configuration of deploy/clickhouse, merged and enforced by a real ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.engines import connect
from tests.servers.clickhouse import ClickHouseServer

OVERRIDES = Path(__file__).resolve().parents[2] / "deploy" / "clickhouse"
PASSWORD = "s3cretOfThisTest"
SECTIONS = {"logger", "merge_tree", "query_log"}  # not listed by system.server_settings


def _elements(path: str) -> list[ET.Element]:
    return list(ET.parse(OVERRIDES / path).getroot())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    directory = tmp_path_factory.mktemp("configured")
    environment = {"CLICKHOUSE_PASSWORD": PASSWORD}
    with ClickHouseServer(directory, overrides=OVERRIDES, environment=environment) as server:
        yield server


@pytest.fixture
def client(server: ClickHouseServer) -> Iterator[Client]:
    with closing(connect(server.url("apportion", user="apportion", password=PASSWORD))) as client:
        yield client


def _changed(client: Client, table: str) -> dict[str, str]:
    """What the configuration changed in `settings`, `server_settings` or `merge_tree_settings`."""
    rows = client.query(f"SELECT name, value FROM system.{table} WHERE changed").result_rows
    return {str(name): str(value) for name, value in rows}


def test_the_configured_user_can_do_the_work_of_the_product(client: Client) -> None:
    client.command("CREATE TABLE t (n UInt8) ENGINE = ReplacingMergeTree ORDER BY n")
    client.insert("t", [[1], [1]], column_names=["n"])
    assert client.query("SELECT n FROM t FINAL").result_rows == [(1,)]


@pytest.mark.parametrize(("user", "password"), [("apportion", ""), ("apportion", "guess"), ("nobody", "")])
def test_nobody_else_gets_in(server: ClickHouseServer, user: str, password: str) -> None:
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        connect(server.url("apportion", user=user, password=password))


def test_the_user_without_password_is_for_the_machine_itself(client: Client) -> None:
    hosts = client.query("SELECT host_ip, host_names FROM system.users WHERE name = 'default'").result_rows
    assert hosts == [([], ["localhost"])]


def test_every_server_setting_is_known_and_in_force(client: Client) -> None:
    wanted = {
        e.tag: e.text for e in _elements("config.d/apportion.xml") if e.tag not in SECTIONS and "remove" not in e.attrib
    }
    assert wanted
    assert wanted.items() <= _changed(client, "server_settings").items()


def test_inserts_are_on_the_disk_when_acknowledged(client: Client) -> None:
    changed = _changed(client, "merge_tree_settings")
    assert (changed["fsync_after_insert"], changed["fsync_part_directory"]) == ("1", "1")


def test_every_profile_setting_is_in_force(client: Client) -> None:
    (profile,) = next(element for element in _elements("users.d/users.xml") if element.tag == "profiles")
    wanted = {setting.tag: setting.text for setting in profile}
    assert len(wanted) == 4
    assert wanted.items() <= _changed(client, "settings").items()
